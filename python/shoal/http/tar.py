"""A directory or file as a tar, made as it is sent.

The one rule: a name or link that would leave the folder in which it is unpacked is refused, where it can be before anything is sent.
"""

from __future__ import annotations

import posixpath
import tarfile
from typing import TYPE_CHECKING, Any

from shoal.http.message import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.http.limits import Limits
    from shoal.results import Entry
    from shoal.store import Store

__all__ = ["check_names", "tar_buffers"]

_READ_BYTES = 131072
_CHECKED_MAX = 100_000
"""Entries looked at before the first byte; what comes behind them is checked as it is sent, and cuts the tar."""


class _Info(tarfile.TarInfo):
    """A directory's name is its name: the slash that Python puts behind it is one that `ipfs get` refuses."""

    def get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super().get_info()  # type: ignore[assignment]
        return info | {"name": info["name"].removesuffix("/")}


def check_names(store: Store, top: Entry) -> int:
    """Looks at the names below a directory, and returns how many bytes its files have. Raises `Refusal` 400 for one that is unsafe."""
    if top.kind != "directory":
        return top.size or 0
    total = 0
    for count, entry in enumerate(store.ls(top.cid, recursive=True)):
        if count >= _CHECKED_MAX:
            break
        _check(entry)
        total += entry.size or 0
    return total


def _check(entry: Entry) -> None:
    if entry.name in {"", ".", ".."} or "/" in entry.name or "\0" in entry.name:
        raise Refusal(400, "relative paths outside the root are not put into a tar: ask for ?format=car")
    if entry.kind == "unknown":
        raise Refusal(406, "what is not UnixFS cannot be put into a tar: ask for ?format=car")


def tar_buffers(store: Store, top: Entry, name: str, limits: Limits) -> Iterator[bytes]:
    """The tar. Everything in it is below `name`."""
    yield from _entry(store, top, name)
    if top.kind == "directory":
        for entry in store.ls(top.cid, recursive=True):
            _check(entry)
            if entry.path.count("/") > limits.depth_max:
                raise Refusal(400, "the directory is too deep")
            yield from _entry(store, entry, f"{name}/{entry.path}")
    yield b"\0" * 1024


def _entry(store: Store, entry: Entry, path: str) -> Iterator[bytes]:
    about = _Info(path)
    about.mtime = int(entry.mtime or 0)
    if entry.kind == "directory":
        about.type, about.mode = tarfile.DIRTYPE, 0o755 if entry.mode is None else entry.mode
        yield _header(about)
    elif entry.kind == "symlink":
        target = entry.target or ""
        if target.startswith("/") or _leaves(path, target):
            raise Refusal(400, "a link that leads outside the root is not put into a tar: ask for ?format=car")
        about.type, about.mode, about.linkname = tarfile.SYMTYPE, 0o777, target
        yield _header(about)
    else:
        about.mode, about.size = 0o644 if entry.mode is None else entry.mode, entry.size or 0
        yield _header(about)
        # As bodies of files do: nothing is kept open while the reader is slow.
        for at in range(0, about.size, _READ_BYTES):
            yield store.read(entry.cid, at, min(_READ_BYTES, about.size - at))
        if about.size % 512:
            yield b"\0" * (512 - about.size % 512)


def _leaves(path: str, target: str) -> bool:
    """Whether a link at `path` leads out of the first folder on it."""
    inside = path.partition("/")[2]
    return posixpath.normpath(posixpath.join(posixpath.dirname(inside), target)).startswith("..")


def _header(about: tarfile.TarInfo) -> bytes:
    return about.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
