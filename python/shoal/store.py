"""The store, synchronous and local: a folder of blocks, and the verbs on it.

Not a cache and not a server: what `add` and `put` return is on the disk. Safe to share between threads, to pickle (the copy opens
the same folder), and to use in a forked child. Long calls let Ctrl-C through, and then leave the store as it was.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, overload

from shoal import _core
from shoal._core import CID, Block, Lease, Path, Profile
from shoal.blob import BlobApi
from shoal.content import length_of, open_source
from shoal.dag import DagApi
from shoal.errors import InvalidInput, SourceError
from shoal.file import File
from shoal.pin import PinApi
from shoal.reference import ReferenceApi
from shoal.results import Added, Collected, Damage, Entry, Exported, HurtPath, Progress, StoreStat, VerifyReport
from shoal.target import descriptor_of, write_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction
    from types import TracebackType
    from typing import Self, Unpack

    from shoal.content import AddKeywords, AnyCID, BytesLike, Content, PathLike, Source

__all__ = ["Store"]

_Watcher: TypeAlias = "Callable[[Progress], None] | None"

_BATCH_BYTES = 64 * 1024 * 1024
"""Most bytes of blocks that `put_many` holds before it commits them."""
_BATCH_BLOCKS = 4096
_DEPTH_MAX = 1024
"""Directories within directories that a listing follows, as everywhere in Shoal (rust/core/src/limits.rs)."""
_CAT_BYTES = 16 * 1024 * 1024
"""Bytes of a piece of `cat`: sixteen blocks of 1 MiB fill the widest SHA-256."""


class Store:
    """A folder of content-addressed blocks.

    `path` is the folder, made when there is none; without it, the environment's `SHOAL_PATH`, or else `~/.shoal`.
    One process writes at a time: a call that writes waits up to `lock_wait` seconds for another one, then raises `StoreLocked`.
    Readers need no lock. `pack_bytes_max` is the size at which a pack file is sealed (1 GiB unless given). `size_max` is the quota:
    the bytes that packs and blobs may have together. An add that needs room in it takes it from what no pin keeps, least recently used
    first; where only pinned data are left it raises `StoreFull`, and nothing was added.

        >>> store = Store("/tmp/shoal-example")
        >>> cid = store.add(b"some bytes").cid
        >>> store.read(cid, 5)
        b'bytes'
    """

    blob: BlobApi
    """Whole files under one CID: `export_slice`, `import_slice`, `present`, `export_outboard`, …"""
    dag: DagApi
    """Linked objects: `put`, `get`, `resolve`, `stat`, `export_car`, `import_car`."""
    pins: PinApi
    """What is kept: `add`, `rm`, `ls`."""
    pin: PinApi
    """The same as `pins`."""
    references: ReferenceApi
    """Files added without a copy: `ls`, `check`, `forget`."""

    def __init__(
        self,
        path: PathLike | None = None,
        *,
        read_only: bool = False,
        pack_bytes_max: int | None = None,
        size_max: int | None = None,
        lock_wait: float = 30.0,
    ) -> None:
        if path is None:
            path = os.environ.get("SHOAL_PATH") or "~/.shoal"
        folder = os.path.abspath(os.path.expanduser(os.fspath(path)))
        self._settings: dict[str, Any] = {
            "read_only": read_only,
            "pack_bytes_max": pack_bytes_max,
            "size_max": size_max,
            "lock_wait": lock_wait,
        }
        self._attach(_core.Store(folder, **self._settings), None)

    def _attach(self, core: _core.Store, operation: _core.Operation | None) -> None:
        self._core = core
        self._operation = operation
        self.blob = BlobApi(self)
        self.dag = DagApi(self)
        self.pins = self.pin = PinApi(self)
        self.references = ReferenceApi(self)

    def _under(self, operation: _core.Operation) -> Store:
        """The same store, its long calls counted and cancelled by `operation`."""
        store = Store.__new__(Store)
        store._settings = self._settings
        store._attach(self._core, operation)
        return store

    def _watch(self, phase: str, progress: _Watcher = None) -> _core._Watch:
        if progress is None:
            return {"operation": self._operation, "on_progress": None}
        report = progress
        return {"operation": self._operation, "on_progress": lambda *reading: report(Progress(phase, *reading))}

    @property
    def path(self) -> str:
        """The folder."""
        return self._core.path

    def __repr__(self) -> str:
        return f"Store({self.path!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self._settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the folder. Nothing is lost without it; files and blocks in hand stay readable."""
        self._core.close()

    # Files and directories

    def add(
        self,
        source: Source,
        *,
        profile: Profile | str = "blake3",
        name: str | None = None,
        only_hash: bool = False,
        nocopy: bool = False,
        pin: bool = True,
        pin_name: str | None = None,
        wrap: bool = False,
        hidden: bool = False,
        ignore: Sequence[str] = (),
        ignore_files: Sequence[PathLike] = (),
        dereference_symlinks: bool = False,
        empty_dirs: bool = True,
        preserve_mode: bool = False,
        preserve_mtime: bool = False,
        mode: int | None = None,
        mtime: float | Fraction | None = None,
        on_entry: Callable[[Added], None] | None = None,
        progress: _Watcher = None,
    ) -> Added:
        """Adds a file, a directory, or content, and returns its root. All of it is durable then; on any error none is kept.

        `source` is a path (str or PathLike), content (bytes-like), an open binary file (read from where it stands to its end),
        or an iterable of pieces. `profile` decides the CID. `only_hash` computes it and stores nothing.

        `nocopy` leaves files where they are and keeps only where in them each block is: less than 1 % of their size. Whatever reads
        such a block reads the file and checks it; from a file that changed, moved or became shorter it raises `Damaged` instead, which
        names it. Takes paths, and the profiles with raw leaves: blake3, blake3-cdc, unixfs-v1-2025. See `Store.references`.

        `wrap` puts the source into a directory of its own, content without a name under its CID. Names that begin with a dot are
        left out unless `hidden`; so is what matches `ignore` (patterns as in .gitignore) or the `ignore_files` of such patterns.
        `mode` (permission bits) and `mtime` (seconds since 1970; a Fraction for exact nanoseconds) are kept in the DAG when
        given, or taken from the files with `preserve_mode` and `preserve_mtime`.

        `on_entry` hears of every file and directory as it is finished, children first. `progress` is called some twenty times a
        second, and at the end. An exception in either stops the add, and nothing is kept.

        Raises `SourceError`, `UnknownProfile`, `StoreFull`, `StoreLocked`, `ReadOnly`.
        """
        path, pieces = open_source(source)
        options = _options(
            {
                "profile": profile,
                "only_hash": only_hash,
                "nocopy": nocopy,
                "pin": pin,
                "pin_name": pin_name,
                "wrap": wrap,
                "hidden": hidden,
                "ignore": ignore,
                "ignore_files": ignore_files,
                "dereference_symlinks": dereference_symlinks,
                "empty_dirs": empty_dirs,
                "preserve_mode": preserve_mode,
                "preserve_mtime": preserve_mtime,
                "mode": mode,
                "mtime": mtime,
            }
        )
        keywords: dict[str, Any] = {
            "options": options,
            "watch": self._watch("add", progress),
        }
        profile_name = options["profile"].name
        if path is not None:
            rename = _renamer(path, name, wrap=wrap)
            hear = None if on_entry is None else _hearer(on_entry, profile_name, rename, stored=not only_hash)
            roots, new_blocks, new_bytes = self._core.add([path], on_entry=hear, **keywords)
        else:
            if name is None:
                name = _name_of(source)
            rename = None
            hear = None if on_entry is None else _hearer(on_entry, profile_name, None, stored=not only_hash)
            length = length_of(source)
            roots, new_blocks, new_bytes = self._core.add_stream(pieces, name or "", length, on_entry=hear, **keywords)
        return _added(roots[0], profile_name, new_blocks, new_bytes, rename, stored=not only_hash)

    def add_many(self, sources: Iterable[PathLike], **keywords: Unpack[AddKeywords]) -> list[Added]:
        """Adds several paths as one: all of them are durable, or none is. With `wrap` all go into one directory, the one result.

        `new_blocks` and `new_bytes` of each result count the whole call. Takes the keywords of `add`, without `name`.
        """
        only_hash = keywords.get("only_hash", False)
        on_entry = keywords.pop("on_entry", None)
        progress = keywords.pop("progress", None)
        options = _options(_ADD_DEFAULTS | keywords)
        name = options["profile"].name
        hear = None if on_entry is None else _hearer(on_entry, name, None, stored=not only_hash)
        paths = [os.path.expanduser(os.fspath(source)) for source in sources]
        if not paths:
            return []
        watch = self._watch("add", progress)
        roots, new_blocks, new_bytes = self._core.add(paths, options=options, watch=watch, on_entry=hear)
        return [_added(root, name, new_blocks, new_bytes, None, stored=not only_hash) for root in roots]

    def open(self, content: Content) -> File:
        """Opens a file for reading: seekable, verified, whatever its size.

        Raises `NotFound` and `NotAFile` here, and `Damaged` when a read meets damage.
        """
        return File(self._core.open_file(content))

    def read(self, content: Content, offset: int = 0, length: int | None = None) -> bytes:
        """A file's bytes from `offset` on: `length` of them, or all. Fewer only at its end."""
        if offset < 0 or (length is not None and length < 0):
            raise InvalidInput("offset and length are not negative")
        reader = self._core.open_file(content)
        return reader.read_at(offset, reader.size if length is None else length)

    @overload
    def cat(
        self,
        content: Content,
        out: None = None,
        *,
        offset: int = 0,
        length: int | None = None,
        progress: _Watcher = None,
    ) -> Iterator[bytes]: ...
    @overload
    def cat(
        self,
        content: Content,
        out: int | BinaryIO,
        *,
        offset: int = 0,
        length: int | None = None,
        progress: _Watcher = None,
    ) -> int: ...
    def cat(
        self,
        content: Content,
        out: int | BinaryIO | None = None,
        *,
        offset: int = 0,
        length: int | None = None,
        progress: _Watcher = None,
    ) -> Iterator[bytes] | int:
        """A file's content, without ever holding more than a few blocks.

        Without `out`, an iterator of pieces. With a descriptor, or a file that has one, it goes straight there from Rust, and the
        number of bytes written is returned; with any other binary file it is written piece by piece.
        """
        if offset < 0 or (length is not None and length < 0):
            raise InvalidInput("offset and length are not negative")
        if out is None:
            return self._pieces(content, offset, length, self._watch("cat", progress))
        descriptor = out if isinstance(out, int) else descriptor_of(out)
        watch = self._watch("cat", progress)
        if descriptor is not None:
            return self._core.copy_to(content, descriptor, offset, length, watch=watch)
        written = 0
        for piece in self._pieces(content, offset, length, watch):
            written += write_all(out, piece)
        return written

    def _pieces(self, content: Content, offset: int, length: int | None, watch: _core._Watch) -> Iterator[bytes]:
        # Opened at once, so that what is not there is said by the call and not by the first step.
        reader = self._core.open_file(content)
        end = reader.size if length is None else min(reader.size, offset + length)
        return _steps(reader, offset, end, watch)

    def ls(self, content: Content, *, recursive: bool = False, resolve: bool = True) -> Iterator[Entry]:
        """The entries of a directory, sharded or not. With `recursive`, those of the directories in it too, each after its own.

        With `resolve` false, what the entries are is not looked up: kind "unknown", no sizes, and one block read per directory.
        Raises `NotFound` and `NotADirectory`.
        """
        return self._listing(self._core.entries(content, resolved=resolve or recursive), recursive=recursive)

    def _listing(self, batches: Iterator[list[_core._EntryRow]], *, recursive: bool) -> Iterator[Entry]:
        # Directories on the way down; not a recursion, for a stranger's may nest as deep as they like.
        above: list[tuple[str, Iterator[_core._EntryRow]]] = [("", itertools.chain.from_iterable(batches))]
        while above:
            prefix, rows = above[-1]
            row = next(rows, None)
            if row is None:
                above.pop()
                continue
            entry = Entry(*row, path=prefix + row[0])
            yield entry
            if recursive and entry.kind == "directory":
                if len(above) >= _DEPTH_MAX:
                    message = f"directories nest deeper than {_DEPTH_MAX} levels at {entry.cid}"
                    raise InvalidInput(message, cid=entry.cid)
                below = self._core.entries(entry.cid, resolved=True)
                above.append((f"{entry.path}/", itertools.chain.from_iterable(below)))

    def stat_path(self, content: Content) -> Entry:
        """What a path leads to. Reads one block of it at most."""
        row = self._core.about(content)
        return Entry(*row, path="")

    def resolve(self, content: Content) -> tuple[CID, str]:
        """The CID that a path leads to, and what is left of the path (nothing, below files and directories)."""
        return self._core.resolve(content)

    def get(
        self, content: Content, target: PathLike | None = None, *, force: bool = False, progress: _Watcher = None
    ) -> Exported:
        """Writes a file, a directory or a symbolic link, verified, to `target`, or to its last name or CID in this folder.

        Never writes outside `target`, and leaves nothing half-written: on any error what was there is as it was. `force` replaces
        files that are there, and adds to directories. Raises `ExportError`, `UnsafePath`, `NotFound`, `Damaged`.
        """
        if target is None:
            target = Path(content).name
        folder = os.path.abspath(os.path.expanduser(os.fspath(target)))
        return Exported(*self._core.get(content, folder, force=force, watch=self._watch("get", progress)))

    # Blocks

    def put(
        self, data: BytesLike, *, codec: str = "raw", hash: str = "blake3", cid: AnyCID | None = None, pin: bool = False
    ) -> CID:
        """Stores one block of at most 2 MiB and returns its CID. With `cid`, the data must match it.

        Each call is a commit of its own: for many blocks use `put_many`.
        """
        return self._core.put_many([(cid, data)], codec=codec, hash=hash, pin=pin, watch=self._watch("put"))[0]

    def put_many(
        self,
        blocks: Iterable[BytesLike | tuple[AnyCID, BytesLike]],
        *,
        codec: str = "raw",
        hash: str = "blake3",
    ) -> list[CID]:
        """Stores many blocks: bytes, or pairs of a CID and the bytes it must match. Their CIDs, in order.

        Committed some 64 MiB at a time, so memory does not follow the number of blocks.
        """
        cids: list[CID] = []
        batch: list[tuple[AnyCID | None, BytesLike]] = []
        batch_bytes = 0

        def flush() -> None:
            nonlocal batch_bytes
            if batch:
                cids.extend(self._core.put_many(batch, codec=codec, hash=hash, pin=False, watch=self._watch("put")))
                batch.clear()
                batch_bytes = 0

        for block in blocks:
            pair = block if isinstance(block, tuple) else (None, block)
            batch.append(pair)
            batch_bytes += memoryview(pair[1]).nbytes
            if batch_bytes >= _BATCH_BYTES or len(batch) >= _BATCH_BLOCKS:
                flush()
        flush()
        return cids

    def get_block(self, cid: AnyCID) -> Block:
        """A block, verified. Raises `NotFound` (a `KeyError`) or `Damaged`."""
        return self._core.block(cid)

    def get_many(self, cids: Iterable[AnyCID]) -> list[Block]:
        """Blocks, verified side by side, in the order asked. Raises for the first that is not here or is damaged."""
        return self._core.blocks(list(cids), watch=self._watch("get"))

    def has(self, cid: AnyCID) -> bool:
        """Whether a block is here. Does not read it."""
        return self._core.has(cid)

    def has_many(self, cids: Iterable[AnyCID]) -> list[bool]:
        """`has` of many, in the order asked."""
        return self._core.has_many(list(cids))

    def size(self, cid: AnyCID) -> int:
        """Bytes of a block, without reading it."""
        return self._core.size(cid)

    def delete(self, cid: AnyCID, *, force: bool = False) -> bool:
        """Deletes a block: whether it was here. Raises `Pinned` when a pin keeps it, unless `force`."""
        return self.delete_many([cid], force=force) > 0

    def delete_many(self, cids: Iterable[AnyCID], *, force: bool = False) -> int:
        """Deletes blocks: how many were here. When a pin keeps one of them, none is deleted and `Pinned` raised, unless `force`."""
        return self._core.delete(list(cids), force, self._watch("delete"))

    def refs(
        self, content: Content, *, recursive: bool = False, unique: bool = False, depth_max: int | None = None
    ) -> Iterator[tuple[CID, CID, str]]:
        """The links of a node, as (parent, child, name), in the order they stand there; with `recursive`, those of children too.

        `unique` lists each child once. `depth_max` bounds the depth: 1 means the root's own links. Raises `NotFound` where a child
        is not here.
        """
        if depth_max is not None and depth_max < 0:
            depth_max = None
        batches = self._core.refs(content, recursive, unique, depth_max, self._watch("refs"))
        return (row for batch in batches for row in batch)

    def refs_local(self) -> Iterator[CID]:
        """The CIDs of all blocks here, pack by pack, as they were put. One that stands in two packs comes twice."""
        batches = self._core.cids()
        return (cid for batch in batches for cid in batch)

    # The store

    def verify(
        self,
        *,
        bytes_per_second: int | None = None,
        resume: PathLike | None = None,
        repair_from: PathLike | None = None,
        progress: _Watcher = None,
    ) -> VerifyReport:
        """Hashes every block again and walks every pin: what is damaged, what is missing, which pins and files are hurt.

        `bytes_per_second` bounds how fast it reads. `resume` names a file in which it notes what was found sound, so that a run that
        was stopped goes on from there; the file goes when a run is complete. `repair_from` is another store's folder or a CAR file:
        what is damaged or missing is taken from there, checked against its CID, and nothing else.
        Raises nothing for damage: look at the report.
        """
        if bytes_per_second is not None and bytes_per_second < 1:
            msg = "bytes_per_second is at least 1"
            raise InvalidInput(msg)
        file, source = (
            None if given is None else os.path.expanduser(os.fspath(given)) for given in (resume, repair_from)
        )
        row = self._core.verify(bytes_per_second, file, source, self._watch("verify", progress))
        blocks, size, damaged, missing, roots, ok, hurt, *counts = row
        paths = [HurtPath(root, "/".join(names), offset, cid, is_gone) for root, names, offset, cid, is_gone in hurt]
        return VerifyReport(blocks, size, [Damage(*each) for each in damaged], missing, roots, ok, paths, *counts)

    def lease(self) -> Lease:
        """Keeps what is looked up through it from `gc`, until it is closed.

        >>> with Store("/tmp/shoal-example") as store:
        ...     cid = store.put(b"not pinned")
        ...     with store.lease() as lease:
        ...         assert lease.has(cid)
        ...         freed = store.gc()
        ...         store.has(cid)
        True
        """
        return self._core.lease(self._watch("lease"))

    def gc(self, *, dry_run: bool = False, progress: _Watcher = None) -> Collected:
        """Deletes every block that no pin keeps and gives back its room; with `dry_run`, only counts.

        Others of this process read, add and pin meanwhile; writers that began before are waited for, and what later ones look for or
        put stays. Other processes wait to write. Raises `NotFound` or `Damaged` when a pinned DAG cannot be walked to its end; nothing
        was deleted then.
        """
        freed, freed_bytes, kept, kept_bytes, packs, dropped = self._core.collect(dry_run, self._watch("gc", progress))
        return Collected(freed, freed_bytes, kept, kept_bytes, dry_run, packs, dropped)

    def stat(self) -> StoreStat:
        """What the store holds, in counts and bytes."""
        return StoreStat(*self._core.stat())


_ADD_DEFAULTS: dict[str, Any] = {
    "profile": "blake3",
    "only_hash": False,
    "nocopy": False,
    "pin": True,
    "pin_name": None,
    "wrap": False,
    "hidden": False,
    "ignore": (),
    "ignore_files": (),
    "dereference_symlinks": False,
    "empty_dirs": True,
    "preserve_mode": False,
    "preserve_mtime": False,
    "mode": None,
    "mtime": None,
}


def _options(keywords: dict[str, Any]) -> _core._AddOptions:
    """The keywords of `add` as Rust takes them, checked."""
    options = {name: keywords[name] for name in _ADD_DEFAULTS}
    unknown = keywords.keys() - _ADD_DEFAULTS.keys()
    if unknown:
        message = f"add takes no keyword {min(unknown)!r}"
        raise TypeError(message)
    if isinstance(options["profile"], str):
        options["profile"] = Profile.named(options["profile"])
    if isinstance(options["ignore"], str):
        raise TypeError("ignore is a sequence of patterns, not one string")
    options["ignore"] = list(options["ignore"])
    for rule in options["ignore"]:
        if isinstance(rule, str) and not _is_text(rule):
            message = f"the ignore rule {rule!r} is not text that can be written as UTF-8"
            raise InvalidInput(message)
    options["ignore_files"] = [os.fspath(file) for file in options["ignore_files"]]
    for file in options["ignore_files"]:
        try:
            open(file, "rb").close()
        except OSError as error:
            message = f"cannot read the ignore rules {file}: {error.strerror}"
            raise SourceError(message, errno=error.errno, filename=file) from None
    mode, mtime = options["mode"], options["mtime"]
    if mode is not None and not 0 <= mode <= 0o7777:
        raise InvalidInput("mode is permission bits, 0 to 0o7777")
    if mtime is not None:
        if not -1e15 < mtime < 1e15:
            raise InvalidInput("mtime is a number of seconds since 1970")
        seconds = math.floor(mtime)
        options["mtime"] = (seconds, min(round((mtime - seconds) * 1_000_000_000), 999_999_999))
    return options  # type: ignore[return-value]  # the defaults name all of its keys


def _reopen(path: str, settings: dict[str, Any]) -> Store:
    return Store(path, **settings)


def _is_text(rule: str) -> bool:
    try:
        rule.encode()
    except UnicodeEncodeError:
        return False
    return True


def _name_of(source: object) -> str | None:
    """The name of an open file, where it has one that is a path."""
    name = getattr(source, "name", None)
    return os.path.basename(name) if isinstance(name, str) and not name.startswith("<") else None


def _renamer(path: str, name: str | None, *, wrap: bool) -> Callable[[str], str] | None:
    """How names of entries change when a path is added under another name."""
    own = os.path.basename(os.path.abspath(path))
    if name is None or name == own:
        return None
    if wrap:
        raise InvalidInput("a path is wrapped under its own name; to change that, add its content")

    def rename(entry: str) -> str:
        head, slash, rest = entry.partition("/")
        return name + slash + rest if head else entry

    return rename


def _added(
    row: _core._AddedRow,
    profile: str,
    new_blocks: int,
    new_bytes: int,
    rename: Callable[[str], str] | None,
    *,
    stored: bool,
) -> Added:
    cid, name, kind, content_bytes, dag_bytes, files = row
    return Added(
        cid=cid,
        name=name if rename is None else rename(name),
        bytes=content_bytes,
        new_bytes=new_bytes,
        new_blocks=new_blocks,
        files=files,
        dag_bytes=dag_bytes,
        profile=profile,
        stored=stored,
        kind=kind,
    )


def _hearer(
    on_entry: Callable[[Added], None], profile: str, rename: Callable[[str], str] | None, *, stored: bool
) -> Callable[..., None]:
    def hear(*row: Any) -> None:  # an _AddedRow, taken apart
        on_entry(_added(row, profile, 0, 0, rename, stored=stored))

    return hear


def _steps(reader: _core.FileReader, offset: int, end: int, watch: _core._Watch) -> Iterator[bytes]:
    total = max(0, end - offset)
    report, operation = watch["on_progress"], watch["operation"]
    done = 0
    while offset < end:
        if operation is not None:
            operation.check()
        piece = reader.read_at(offset, min(_CAT_BYTES, end - offset))
        offset += len(piece)
        done += len(piece)
        yield piece
        if report is not None:
            report(done, total, int(offset >= end), 1, None)
