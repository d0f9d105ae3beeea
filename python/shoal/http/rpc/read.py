"""`cat`, `get`, `ls`, `refs` and `refs/local`: what is stored, as bytes, as an archive, and as lists."""

from __future__ import annotations

import datetime as dt
import zlib
from typing import TYPE_CHECKING, Any

from shoal.errors import NotADirectory, NotAFile, ShoalError
from shoal.http import tar
from shoal.http.body import BufferBody
from shoal.http.message import Answer
from shoal.http.rpc.call import Call, CommandError
from shoal.http.rpc.reply import FilesBody, message_of, records, stream, value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shoal import CID
    from shoal.http.rpc.reply import Record
    from shoal.results import Entry

__all__ = ["cat", "get", "ls", "refs", "refs_local"]

_FAR = 2**63 - 1
_TYPES = {"directory": 1, "file": 2, "symlink": 4, "unknown": 0}
_GO_SYMLINK, _GO_DIRECTORY = 1 << 27, 1 << 31
_NO_TIME = "0001-01-01T00:00:00Z"
_GZIP_PIECE = 131_072


def cat(call: Call) -> Answer:
    """The content of files, one after the other; `offset` and `length` are of all of it."""
    offset = call.integer("offset", "o", default=0, least=-_FAR, most=_FAR, kind="int64")
    length = call.integer("length", "l", default=_FAR, least=-_FAR, most=_FAR, kind="int64")
    if offset < 0:
        raise CommandError("cannot specify negative offset")
    if length < 0 and call.has("length"):
        raise CommandError("cannot specify negative length")
    spans: list[tuple[CID, int, int]] = []
    total = 0
    for text in call.all_arguments("ipfs-path"):
        entry = _file(call, text)
        size = entry.size or 0
        start = min(offset, size)
        offset -= start
        stop = min(size, start + length - total)
        spans.append((entry.cid, start, stop))
        total += max(0, stop - start)
    return stream(FilesBody(call.store, spans), "text/plain", total)


def _file(call: Call, text: str) -> Entry:
    entry = call.store.stat_path(call.path(text))
    if entry.kind == "directory":
        raise CommandError("this dag node is a directory")
    if entry.kind != "file":
        raise NotAFile(f"{entry.cid} is no file", cid=entry.cid)
    return entry


def get(call: Call) -> Answer:
    """A file or directory as a tar, or with `compress` and not `archive` a file alone under gzip."""
    path = call.path(call.argument("ipfs-path"))
    compresses = call.flag("compress", "C")
    level = call.integer("compression-level", "l", default=-1, least=-1, most=9)
    entry = call.store.stat_path(path)
    if entry.kind == "unknown":
        raise NotAFile(f"{entry.cid} is neither a file nor a directory", cid=entry.cid)
    total = tar.check_names(call.store, entry)
    if compresses and not call.flag("archive", "a"):
        if entry.kind != "file":
            raise CommandError("file is not regular: ask for archive=true as well")
        plain: Iterable[bytes | memoryview] = _pieces(call, entry)
    else:
        plain = tar.tar_buffers(call.store, entry, path.name, call.limits)
    if compresses:
        return stream(BufferBody(_gzipped(plain, level)), "application/gzip")
    return stream(BufferBody(iter(plain)), "application/x-tar", total)


def _pieces(call: Call, entry: Entry) -> Iterator[bytes]:
    for at in range(0, entry.size or 0, _GZIP_PIECE):
        yield call.store.read(entry.cid, at, _GZIP_PIECE)


def _gzipped(plain: Iterable[bytes | memoryview], level: int) -> Iterator[bytes]:
    packer = zlib.compressobj(level, wbits=31)
    for piece in plain:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def ls(call: Call) -> Answer:
    """The links of directories: all in one value, or with `stream` one a record."""
    # As in Kubo, either of the two reads the entries, and then both are told.
    types, sizes = call.flag("resolve-type", default=True), call.flag("size", default=True)
    found = [(text, _links(call, text, resolves=types or sizes)) for text in call.all_arguments("ipfs-path")]
    if call.flag("stream", "s"):
        return records(
            ({"Objects": [{"Hash": text, "Links": [link]}]} for text, links in found for link in links), call.limits
        )
    return value({"Objects": [{"Hash": text, "Links": list(links)} for text, links in found]})


def _links(call: Call, text: str, *, resolves: bool) -> Iterator[Record]:
    path = call.path(text)
    try:
        entries = call.store.ls(path, resolve=resolves)
    except NotADirectory:
        return iter(())
    return (_link(call, entry) for entry in entries)


def _link(call: Call, entry: Entry) -> Record:
    call.check()
    size = len((entry.target or "").encode("utf-8", "surrogateescape")) if entry.kind == "symlink" else entry.size or 0
    return {
        "Name": entry.name,
        "Hash": str(entry.cid),
        "Size": size,
        "Type": _TYPES[entry.kind],
        "Target": entry.target or "",
        "Mode": _go_mode(entry),
        "ModTime": _NO_TIME if entry.mtime is None else _go_time(entry.mtime),
    }


def _go_mode(entry: Entry) -> int:
    if entry.mode is None:
        return 0
    return entry.mode & 0o777 | {"directory": _GO_DIRECTORY, "symlink": _GO_SYMLINK}.get(entry.kind, 0)


def _go_time(seconds: float) -> str:
    try:
        moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return _NO_TIME
    fraction = f".{moment.microsecond:06d}".rstrip("0").rstrip(".")
    return moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + fraction + "Z"


def refs(call: Call) -> Answer:
    """The links below paths, each as a record; what cannot be read is a record too."""
    form = call.text("format", default="<dst>")
    if call.flag("edges", "e"):
        if call.has("format"):
            raise CommandError("using format argument with edges is not allowed")
        form = "<src> -> <dst>"
    recursive, unique = call.flag("recursive", "r"), call.flag("unique", "u")
    depth = call.integer("max-depth", default=-1, least=-1, most=2**31)
    paths = [call.path(text) for text in call.all_arguments("ipfs-path")]
    if not recursive:
        depth = 1

    def found() -> Iterator[Record]:
        for path in paths:
            try:
                rows = call.store.refs(path, recursive=recursive, unique=unique, depth_max=depth)
                for source, target, name in rows:
                    call.check()
                    text = form.replace("<src>", str(source)).replace("<dst>", str(target)).replace("<linkname>", name)
                    yield {"Ref": text, "Err": ""}
            except ShoalError as error:
                yield {"Ref": "", "Err": message_of(error, call.store)}

    return records(found(), call.limits)


def refs_local(call: Call) -> Answer:
    """The CIDs of all blocks here."""

    def found() -> Iterator[dict[str, Any]]:
        for cid in call.store.refs_local():
            call.check()
            yield {"Ref": str(cid), "Err": ""}

    return records(found(), call.limits)
