"""`add`: files and folders from a request's body into the store, as they come.

Each file goes to the store by its stream while it is received; what is remembered is names and CIDs. A lease keeps the files until
the directories above them are made and pinned, so that no collection takes them away in between.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from shoal import Profile
from shoal.errors import InvalidInput
from shoal.http.message import Answer, Refusal
from shoal.http.rpc.call import Call, CommandError
from shoal.http.rpc.directory import Child, Meta, directory, symlink
from shoal.http.rpc.reply import Pushed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal import Lease
    from shoal.http.rpc.multipart import Part
    from shoal.http.rpc.reply import Emit

__all__ = ["add", "profile_of"]

_PROGRESS_BYTES = 262_144
_PROGRESS_SECONDS = 0.05
_HASHES = ("sha2-256", "sha2-512", "blake3")
_NOT_HERE = {
    "nocopy": "the RPC reads no files of this machine; send their content",
    "to-files": "mutable files come with the node; add, and keep the CID",
}


@dataclass
class _Folder:
    """A directory that is still growing."""

    entries: dict[str, _Folder | Child] = field(default_factory=dict)
    meta: Meta = field(default_factory=Meta)


def add(call: Call) -> Answer:
    """Adds the files of the body, with Kubo's options and their defaults, so that the CIDs are Kubo's."""
    call.refuse(_NOT_HERE)
    options = _Options(call)
    return Answer(
        200,
        {"Content-Type": "application/json", "X-Chunked-Output": "1"},
        Pushed(lambda emit: _Adding(call, options, emit).run()),
    )


def profile_of(call: Call, *, keeps_metadata: bool) -> Profile:
    """The rules that Kubo would follow for these options: those of 2015 but for what the options change, and imply."""
    base = Profile.UNIXFS_V0_2015
    hash_name = call.text("hash", default="sha2-256").lower()
    if hash_name not in _HASHES:
        raise CommandError(f"unrecognized hash function: known are {', '.join(_HASHES)}")
    version = call.integer("cid-version", "cid-ver", default=-1, least=-1, most=2**31)
    if version > 1:
        raise CommandError(f"unknown CID version: {version}")
    if hash_name != "sha2-256" and version == 0:
        raise CommandError("CIDv0 only supports sha2-256")
    if version < 0:
        version = 0 if hash_name == "sha2-256" else 1
    raw_leaves = call.flag("raw-leaves", default=version > 0)
    if keeps_metadata:
        if call.has("raw-leaves") and raw_leaves:
            raise CommandError("raw leaves cannot carry a mode or a time: leave out raw-leaves")
        raw_leaves = False
    changes: dict[str, Any] = {
        "cid_version": version,
        "hash": hash_name,
        "raw_leaves": raw_leaves,
        "chunker": call.text("chunker", "s", default=base.chunker),
        "layout": "trickle" if call.flag("trickle", "t") else "balanced",
        "file_links_max": call.integer("max-file-links", default=base.file_links_max, least=2, most=8192),
        "directory_links_max": call.integer("max-directory-links", default=0, least=0, most=1_000_000),
        "hamt_fanout": call.integer("max-hamt-fanout", default=base.hamt_fanout, least=8, most=1024),
        "inline_bytes_max": call.integer("inline-limit", default=32, least=0, most=128) if call.flag("inline") else 0,
    }
    if changes["chunker"] == "default":
        changes["chunker"] = base.chunker
    try:
        return base.replace(**{name: value for name, value in changes.items() if value != getattr(base, name)})
    except InvalidInput as error:
        raise CommandError(str(error)) from None


class _Options:
    def __init__(self, call: Call) -> None:
        self.keeps_mode = call.flag("preserve-mode")
        self.keeps_mtime = call.flag("preserve-mtime")
        seconds = call.integer("mtime", default=0, least=-(10**14), most=10**14)
        nanoseconds = call.integer("mtime-nsecs", default=0, least=0, most=999_999_999)
        # For all that has none of its own.
        self.meta = Meta(
            _octal(call.text("mode")) if call.has("mode") else None,
            (seconds, nanoseconds) if call.has("mtime") else None,
        )
        keeps = self.keeps_mode or self.keeps_mtime or self.meta != Meta()
        self.profile = profile_of(call, keeps_metadata=keeps)
        self.only_hash = call.flag("only-hash", "n")
        self.pins = call.flag("pin", default=True) and not self.only_hash
        self.pin_name = call.text("pin-name") or None
        self.wraps = call.flag("wrap-with-directory", "w")
        self.progress = call.flag("progress", "p")
        self.silent = call.flag("silent")

    def meta_of(self, part: Part) -> Meta:
        mode, mtime = self.meta.mode, self.meta.mtime
        if self.keeps_mode and "mode" in part.meta:
            mode = _octal(part.meta["mode"])
        if self.keeps_mtime and "mtime" in part.meta:
            mtime = (_number(part.meta["mtime"]), _number(part.meta.get("mtime-nsecs", "0")) % 1_000_000_000)
        return Meta(mode, mtime)


class _Adding:
    """One add under way."""

    def __init__(self, call: Call, options: _Options, emit: Emit) -> None:
        self._call = call
        self._store = call.store
        self._options = options
        self._emit = emit
        self._root = _Folder()
        self._entries = 0
        self._lease: Lease | None = None

    def run(self) -> None:
        if self._options.only_hash:
            self._receive()
            return
        with self._store.lease() as self._lease:
            self._receive()

    def _receive(self) -> None:
        has_parts = False
        for part in self._call.parts():
            has_parts = True
            self._take(part)
        if not has_parts:
            raise Refusal(400, "file argument 'path' is required")
        if self._options.wraps:
            done = [self._made_directory("", self._root, dict(self._finished(self._root)))]
        else:
            done = [self._finish(name, child) for name, child in self._root.entries.items()]
        for root in done if self._options.pins else ():
            self._store.pins.add(root.cid, name=self._options.pin_name)

    def _take(self, part: Part) -> None:
        self._entries += 1
        if self._entries > self._call.limits.entries_max:
            raise CommandError(f"one add has at most {self._call.limits.entries_max} files and directories")
        if part.kind == "directory":
            self._folder(part.names).meta = self._options.meta_of(part)
            return
        *above, name = part.names or ("",)
        child = self._link(part) if part.kind == "symlink" else self._file(part)
        self._told("/".join(part.names) or str(child.cid), child)
        self._folder(tuple(above)).entries[name or str(child.cid)] = child

    def _folder(self, names: tuple[str, ...]) -> _Folder:
        folder = self._root
        for name in names:
            below = folder.entries.setdefault(name, _Folder())
            if not isinstance(below, _Folder):
                raise CommandError("a name is both a file's and a directory's")
            folder = below
        return folder

    def _link(self, part: Part) -> Child:
        target = part.read(self._call.limits.symlink_bytes_max, "the target of a symbolic link")
        child, blocks = symlink(self._options.profile, target, self._options.meta_of(part))
        self._put(blocks)
        return child

    def _file(self, part: Part) -> Child:
        options, meta = self._options, self._options.meta_of(part)
        pieces = self._counted(part) if options.progress and not options.silent else part.pieces
        mtime = None if meta.mtime is None else meta.mtime[0] + Fraction(meta.mtime[1], 1_000_000_000)
        added = self._store.add(
            pieces, profile=options.profile, only_hash=options.only_hash, pin=False, mode=meta.mode, mtime=mtime
        )
        if self._lease is not None:
            self._lease.keep(added.cid)
        return Child(added.cid, added.dag_bytes)

    def _counted(self, part: Part) -> Iterator[bytes]:
        """The pieces of a file, told as they pass."""
        name, passed, told, at = "/".join(part.names), 0, 0, time.monotonic()
        for piece in part.pieces:
            yield piece
            passed += len(piece)
            now = time.monotonic()
            if passed - told >= _PROGRESS_BYTES and now - at >= _PROGRESS_SECONDS:
                self._emit({"Name": name, "Bytes": passed})
                told, at = passed, now
        if passed != told or not passed:
            self._emit({"Name": name, "Bytes": passed})

    def _finish(self, path: str, child: _Folder | Child) -> Child:
        """A folder's own blocks, once those below it are made."""
        if isinstance(child, Child):
            return child
        return self._made_directory(path, child, dict(self._finished(child, path)))

    def _finished(self, folder: _Folder, path: str = "") -> Iterator[tuple[str, Child]]:
        for name, child in sorted(folder.entries.items()):
            yield name, self._finish(f"{path}/{name}" if path else name, child)

    def _made_directory(self, path: str, folder: _Folder, entries: dict[str, Child]) -> Child:
        child, blocks = directory(self._options.profile, entries, folder.meta)
        self._put(blocks)
        self._told(path, child)
        # Its entries are in its blocks now.
        folder.entries = dict(entries)
        return child

    def _put(self, blocks: list[tuple[Any, bytes]]) -> None:
        if not self._options.only_hash and blocks:
            self._store.put_many(blocks)
            if self._lease is not None:
                # The blocks alone: what they link is kept already, and is not walked once more for each directory above it.
                self._lease.has_many([cid for cid, _ in blocks])

    def _told(self, name: str, child: Child) -> None:
        self._call.check()
        if not self._options.silent:
            self._emit({"Name": name, "Hash": str(child.cid), "Size": str(child.dag_bytes)})


def _octal(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777 or len(text) > 6:
        raise CommandError("a mode is three or four octal digits, such as 0644")
    return mode


def _number(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 15:
        raise CommandError("mtime and mtime-nsecs are whole numbers")
    return int(text)
