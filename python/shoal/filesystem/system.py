"""The filesystem itself: paths, and for each verb of fsspec whether it concerns content below a CID or a draft.

A path is `CID/a/b` or, on a filesystem opened with `write=True`, `DRAFT/a/b`. Content is never written to and a draft is no content.
Pins are not named by paths: several may have one name, and a name that changes its meaning is what a CID is not.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
import weakref
from glob import has_magic
from typing import TYPE_CHECKING, Any

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from fsspec.utils import isfilelike, stringify_path

from shoal._core import CID
from shoal.errors import Incomplete, InvalidCID
from shoal.filesystem.content import Content
from shoal.filesystem.draft import DraftFile, Drafts
from shoal.filesystem.open_file import ContentFile
from shoal.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal._core import Profile

__all__ = ["ShoalFileSystem"]

_PREFIXES = ("shoal://", "ipfs://", "shoal::", "ipfs::", "/ipfs/")

_stores: weakref.WeakValueDictionary[tuple[str, bool, float], Store] = weakref.WeakValueDictionary()


class ShoalFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files and directories of a store, named by CID: `shoal://bafy…/a/b`.

    `store` is the store's folder; without it, the environment's `SHOAL_PATH`, or else `~/.shoal`. It is opened for reading only, and
    is not made, unless `write` is true. `lock_wait` is for how many seconds a commit waits for another process that writes.

    Every byte read was verified. What a path below a CID leads to never changes, so `ukey` and `checksum` are the CID, and infos
    carry it as "cid". Symbolic links are followed within their root; `ls` shows one to a directory as type "link".

    With `write`, paths that do not begin with a CID are drafts: `open("shoal://new/a.csv", "wb")`, `put`, `mkdir`, `mv`, `rm` work on
    the draft `new`, and `commit("new")` returns its CID. A file is in its draft once it is closed. Drafts are folders inside the store's,
    so other threads and processes can write to the same one, and are no content: not verified, pinned, or durable before the commit.

    Raises what files raise (`FileNotFoundError`, `IsADirectoryError`, …), `Incomplete` where a block is not in the store, `Damaged`
    where one is hurt, and an `OSError` with `EROFS` for a write below a CID.

        >>> from shoal.filesystem import ShoalFileSystem
        >>> fs = ShoalFileSystem("/tmp/shoal-example", write=True)
        >>> fs.pipe("shoal://new/a/b.txt", b"some bytes")
        >>> cid = fs.commit("new")
        >>> fs.cat_file(f"shoal://{cid}/a/b.txt", start=-5)
        b'bytes'
    """

    protocol = ("shoal", "ipfs")
    root_marker = ""

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        *,
        write: bool = False,
        lock_wait: float = 30.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._store_path = None if store is None else os.path.abspath(os.path.expanduser(os.fspath(store)))
        self._write = write
        self._lock_wait = lock_wait
        self._store: Store | None = None
        self.store  # noqa: B018  # a folder that is no store is said now

    # Where things are

    @property
    def store(self) -> Store:
        """The store. Filesystems of one folder share it."""
        path = self._store_path
        if path is None:
            path = os.path.abspath(os.path.expanduser(os.environ.get("SHOAL_PATH") or "~/.shoal"))
        store = self._store
        if store is None or store.path != path:
            self._store = store = _shared(path, write=self._write, lock_wait=self._lock_wait)
        return store

    @property
    def drafts(self) -> Drafts:
        """The store's drafts."""
        return Drafts(self.store.path)

    @property
    def fsid(self) -> str:
        """Which store this is."""
        return f"shoal:{self.store.path}"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text: str = stringify_path(path)
        for prefix in _PREFIXES:
            if text.startswith(prefix):
                text = text.removeprefix(prefix)
                break
        if "//" in text:
            text = "/".join(part for part in text.split("/") if part)
        return text.strip("/")

    def _content(self, path: str) -> Content | None:
        """What a path below a CID names; None for a path that does not begin with one."""
        root, *names = path.split("/")
        try:
            return Content(self.store, CID(root), tuple(names))
        except InvalidCID:
            return None

    def _draft(self, path: str) -> str:
        """Where on disk a path in a draft is, to be looked at."""
        if not self._write:
            message = "a path begins with a CID; for a draft, open the filesystem with write=True"
            raise FileNotFoundError(errno.ENOENT, message, path)
        try:
            return self.drafts.place(tuple(path.split("/")))
        except ValueError as error:
            raise FileNotFoundError(errno.ENOENT, str(error), path) from None

    def _to_write(self, path: str) -> tuple[str, ...]:
        """The names of a path in a draft that is to be changed."""
        if not self._write:
            raise OSError(errno.EROFS, "to write drafts, open the filesystem with write=True", path)
        if not path or self._content(path) is not None:
            message = "what is below a CID never changes; copy it into a draft, change that, and commit it"
            raise OSError(errno.EROFS, message, path)
        return tuple(path.split("/"))

    # Looking

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """What a path leads to: "name", "size" in bytes, "type" ("file", "directory", or "other").

        For content also "cid", "islink", and where they were kept "mode" and "mtime"; for a link "destination".
        """
        path = self._strip_protocol(path)
        if not path:
            return {"name": "", "size": 0, "type": "directory"}
        content = self._content(path)
        if content is not None:
            return content.info()
        return self._draft_info(path)

    def _draft_info(self, path: str) -> dict[str, Any]:
        place = self._draft(path)
        try:
            info: dict[str, Any] = LocalFileSystem().info(place)
        except OSError as error:
            raise type(error)(error.errno, error.strerror, path) from None
        return info | {"name": path}

    def ls(self, path: str, detail: bool = True, **_options: Any) -> list[Any]:
        """The entries of a directory; of a file, itself. At the top: the pinned roots, then the drafts."""
        path = self._strip_protocol(path)
        content = self._content(path)
        if not path:
            listing = self._roots()
        elif content is not None:
            listing = content.listing()
        else:
            listing = [self._draft_info(path)]
            if listing[0]["type"] == "directory":
                names = sorted(os.listdir(self._draft(path)))
                listing = [self._draft_info(f"{path}/{name}") for name in names]
        return listing if detail else [info["name"] for info in listing]

    def _roots(self) -> list[dict[str, Any]]:
        listing = []
        for pin in self.store.pins.ls(kind="recursive"):
            try:
                listing.append(Content(self.store, pin.cid, ()).info())
            except (OSError, Incomplete):  # a link that is a root leads nowhere; and a pin may be hurt
                listing.append({"name": str(pin.cid), "size": None, "type": "other", "cid": str(pin.cid)})
        if self._write:
            listing += [self._draft_info(name) for name in self.drafts.names()]
        return listing

    def exists(self, path: str, **_options: Any) -> bool:
        """Whether a path leads to something. False where the root is not in the store; `Incomplete` where a block on the way is not."""
        path = self._strip_protocol(path)
        content = self._content(path) if path else None
        if content is not None and not content.is_here():
            return False
        try:
            self.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def isfile(self, path: str) -> bool:
        """Whether a path leads to a file. Raises as `exists` does."""
        return self.exists(path) and self.info(path)["type"] == "file"

    def isdir(self, path: str) -> bool:
        """Whether a path leads to a directory. Raises as `exists` does."""
        return self.exists(path) and self.info(path)["type"] == "directory"

    def ukey(self, path: str) -> str:
        """What changes when the content does: the CID. fsspec's caches ask for it."""
        info = self.info(path)
        return str(info["cid"]) if "cid" in info else str(super().ukey(path))

    def checksum(self, path: str) -> str:
        """The CID; of a draft's file, something that changes when it does."""
        return self.ukey(path)

    def created(self, path: str) -> dt.datetime:
        """When a draft's file was made. Content has no such time."""
        return _time(self.info(path).get("created"))

    def modified(self, path: str) -> dt.datetime:
        """When it was last modified, where that was kept (`preserve_mtime`)."""
        return _time(self.info(path).get("mtime"))

    # Reading

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        cache_type: str | None = None,
        **_options: Any,
    ) -> Any:
        if mode in {"wb", "xb", "ab"}:
            return DraftFile(self, path, self._to_write(path), mode, autocommit=autocommit)
        if mode != "rb":
            message = f"files are opened with mode 'rb', or in a draft with 'wb', 'xb' or 'ab', not {mode!r}"
            raise ValueError(message)
        if cache_type is not None:
            return AbstractBufferedFile(
                self, path, mode, block_size or "default", cache_type=cache_type, cache_options=cache_options
            )
        content = self._content(path)
        if content is not None:
            return ContentFile(content.reader(), self, path)
        return LocalFileSystem().open(self._draft(path), "rb")

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_options: Any) -> bytes:
        """A file's bytes from `start` to `end`, which count from its end when negative."""
        [data] = self.cat_ranges([path], [start], [end], on_error="raise")
        return bytes(data)

    def cat_ranges(
        self,
        paths: list[str],
        starts: int | Sequence[int | None] | None,
        ends: int | Sequence[int | None] | None,
        max_gap: int | None = None,  # noqa: ARG002
        on_error: str = "return",
        **_options: Any,
    ) -> list[Any]:
        """Ranges of files, in the order asked for; those of one file in one call. With `on_error` "return", errors stand in their places.

        `max_gap` changes nothing: ranges cost no round trips that joining them would save.
        """
        if not isinstance(paths, list):
            raise TypeError("paths is a list")
        starts = list(starts) if isinstance(starts, list | tuple) else [starts] * len(paths)  # type: ignore[list-item]
        ends = list(ends) if isinstance(ends, list | tuple) else [ends] * len(paths)  # type: ignore[list-item]
        if not len(paths) == len(starts) == len(ends):
            raise ValueError("there are as many starts and ends as paths")
        places: dict[str, list[int]] = {}
        for place, path in enumerate(paths):
            places.setdefault(self._strip_protocol(path), []).append(place)
        answers: list[Any] = [None] * len(paths)
        for path, wanted in places.items():
            try:
                found: Sequence[Any] = self._ranges(path, [(starts[place], ends[place]) for place in wanted])
            except Exception as error:
                if on_error != "return":
                    raise
                found = [error] * len(wanted)
            for place, answer in zip(wanted, found, strict=True):
                answers[place] = answer
        return answers

    def _ranges(self, path: str, ranges: list[tuple[int | None, int | None]]) -> list[bytes]:
        with self._open(path) as file:
            size = file.size
            spans = [(_within(start, size, 0), _within(end, size, size)) for start, end in ranges]
            wanted = [(start, max(0, end - start)) for start, end in spans]
            if isinstance(file, ContentFile):
                return file.read_ranges(wanted) if len(wanted) > 1 else [file.read_at(*wanted[0])]
            found = []
            for start, length in wanted:
                file.seek(start)
                found.append(file.read(length))
            return found

    def get_file(
        self, rpath: str, lpath: Any = None, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **options: Any
    ) -> None:
        """Copies a file to disk: whole or not at all. Directories are made, not filled (`get` with `recursive` does)."""
        rpath = self._strip_protocol(rpath)
        content = self._content(rpath)
        if content is None or outfile is not None or isfilelike(lpath):
            super().get_file(rpath, lpath, callback=callback, outfile=outfile, **options)
            return
        entry = content.entry()
        if entry.kind == "directory":
            os.makedirs(lpath, exist_ok=True)
            return
        target = os.path.abspath(os.fspath(lpath))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        callback.set_size(entry.size)
        content.get(target, lambda progress: callback.absolute_update(progress.bytes))

    # Writing drafts

    def mkdir(self, path: str, create_parents: bool = True, **_options: Any) -> None:
        """Makes a directory in a draft, or a draft."""
        path = self._strip_protocol(path)
        names = self._to_write(path)
        place = self.drafts.place(names)
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, "this is there already", path)
        if create_parents or len(names) == 1:
            os.makedirs(place)
        else:
            os.mkdir(place)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Makes a directory in a draft, and those above it."""
        os.makedirs(self.drafts.place(self._to_write(self._strip_protocol(path))), exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        """Removes an empty directory of a draft, or an empty draft."""
        names = self._to_write(self._strip_protocol(path))
        os.rmdir(self.drafts.place(names))
        if len(names) == 1:
            self._forget(names[0])

    def rm_file(self, path: str) -> None:
        """Removes a file of a draft, or an empty directory."""
        path = self._strip_protocol(path)
        names = self._to_write(path)
        place = self.drafts.place(names)
        if os.path.isdir(place) and not os.path.islink(place):
            self.rmdir(path)
            return
        os.unlink(place)
        if len(names) == 1:
            self._forget(names[0])

    def _forget(self, name: str) -> None:
        shutil.rmtree(os.path.dirname(self.drafts.place((name,))), ignore_errors=True)

    def _rm(self, path: str) -> None:
        self.rm_file(path)

    def cp_file(self, path1: str, path2: str, **_options: Any) -> None:
        """Copies a file, out of a draft or from below a CID, into a draft. A directory is made, not filled."""
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        self._to_write(target)
        if self.isdir(source):
            self.makedirs(target, exist_ok=True)
            return
        content = self._content(source)
        if content is None:
            with self._open(source) as read, self._open(target, "wb") as write:
                shutil.copyfileobj(read, write, self.blocksize)
            return
        cid = content.entry().cid
        with self._open(target, "wb") as write:
            self.store.cat(cid, write)

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **options: Any) -> None:
        """Moves within drafts. A file is renamed, and so is a draft's directory with `recursive`; all else is copied and removed."""
        for path in path1 if isinstance(path1, list) else [path1]:
            self._to_write(self._strip_protocol(path))
        plain = isinstance(path1, str) and isinstance(path2, str) and not has_magic(path1) and maxdepth is None
        if not plain or not self._rename(path1, path2, recursive=recursive):
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **options)

    def _rename(self, path1: str, path2: str, *, recursive: bool) -> bool:
        """Moves by renaming, and says whether it could."""
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        is_directory = self.isdir(source)
        if path2.endswith("/") or self.isdir(target):
            if is_directory and path1.endswith("/"):
                return False
            target = f"{target}/{source.rpartition('/')[2]}"
        names = self._to_write(target)
        if (is_directory and (not recursive or self.exists(target))) or "/" not in source:
            return False
        try:
            os.replace(self.drafts.place(self._to_write(source)), self.drafts.make_parents(names))
        except OSError as error:
            raise type(error)(error.errno, error.strerror, path1) from None
        return True

    def touch(self, path: str, truncate: bool = True, **_options: Any) -> None:
        """Makes an empty file in a draft; unless `truncate`, one that is there is only given the present time."""
        path = self._strip_protocol(path)
        place = self.drafts.place(self._to_write(path))
        if not truncate and os.path.lexists(place):
            os.utime(place)
        else:
            self._open(path, "wb").close()

    def commit(
        self, draft: str, *, profile: Profile | str = "blake3", pin: bool = True, pin_name: str | None = None
    ) -> CID:
        """Adds a draft to the store and returns its CID. It is durable then, and the draft is gone.

        All of the draft counts, names that begin with a dot and empty directories too; modes and times do not. If the add fails, the
        draft is as it was. Files that are still open are not in it, and say so when they are closed.
        """
        draft = self._strip_protocol(draft)
        names = self._to_write(draft)
        if len(names) != 1:
            message = f"a draft is committed whole: commit({names[0]!r})"
            raise ValueError(message)
        store = self.store
        return self.drafts.take(
            draft,
            lambda place: store.add(place, profile=profile, hidden=True, pin=pin, pin_name=pin_name).cid,
        )

    def discard(self, draft: str) -> None:
        """Throws a draft away, and what is still being written to it."""
        draft = self._strip_protocol(draft)
        self.drafts.remove(*self._to_write(draft))


def _shared(path: str, *, write: bool, lock_wait: float) -> Store:
    """The store of a folder, open once however many filesystems are on it: fsspec makes one for each thread."""
    # Without a lock, which a fork might find held: two threads at once open two, and one of them is soon forgotten.
    key = (path, write, lock_wait)
    store = _stores.get(key)
    if store is None:
        store = _stores[key] = Store(path, read_only=not write, lock_wait=lock_wait)
    return store


def _within(place: int | None, size: int, default: int) -> int:
    """A start or end as Python's slices have it."""
    if place is None:
        return default
    return max(0, place + size) if place < 0 else min(place, size)


def _time(seconds: float | None) -> dt.datetime:
    if seconds is None:
        raise NotImplementedError("no such time was kept with this content")
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
