"""What callers may pass: the types of arguments, and what kind of source they gave."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypedDict

from shoal._core import CID, Path, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from fractions import Fraction

    from _typeshed import ReadableBuffer

    from shoal.results import Added, Progress

__all__ = ["AddKeywords", "AnyCID", "BytesLike", "Content", "PathLike", "Source", "length_of", "open_source"]

BytesLike: TypeAlias = "ReadableBuffer"
"""`bytes`, or anything else with the buffer protocol."""
PathLike: TypeAlias = "str | os.PathLike[str]"
AnyCID: TypeAlias = "CID | str | bytes"
"""A CID, its text or its bytes."""
Content: TypeAlias = "CID | Path | str"
"""What is asked for: a CID, a path below one ("bafy…/a/b", "/ipfs/bafy…/a/b", "ipfs://bafy…/a/b"), or a `Path`."""
Source: TypeAlias = "str | os.PathLike[str] | BytesLike | BinaryIO | Iterable[BytesLike]"
"""What can be added: a path (str or PathLike), content (bytes-like), an open binary file, or an iterable of pieces."""

_PIECE_BYTES = 1024 * 1024
"""Bytes handed to Rust at a time: enough to forget the cost of a call."""


class AddKeywords(TypedDict, total=False):
    """The keywords of `Store.add`."""

    profile: Profile | str
    only_hash: bool
    nocopy: bool
    pin: bool
    pin_name: str | None
    wrap: bool
    hidden: bool
    ignore: Sequence[str]
    ignore_files: Sequence[PathLike]
    dereference_symlinks: bool
    empty_dirs: bool
    preserve_mode: bool
    preserve_mtime: bool
    mode: int | None
    mtime: float | Fraction | None
    on_entry: Callable[[Added], None] | None
    progress: Callable[[Progress], None] | None


def open_source(source: Source) -> tuple[str, None] | tuple[None, Iterator[BytesLike]]:
    """A source as a path, or as an iterator of pieces."""
    if isinstance(source, str | os.PathLike):
        return os.path.expanduser(os.fspath(source)), None
    if isinstance(source, bytes):
        return None, iter((source,))
    read = getattr(source, "read", None)
    if read is not None:
        return None, _read_all(read)
    try:
        view = memoryview(source)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        pass
    else:
        return None, _slices(view)
    if isinstance(source, Iterable):
        return None, _gathered(source)
    message = (
        f"what can be added is a path, bytes, an open binary file or an iterable of bytes, not {type(source).__name__}"
    )
    raise TypeError(message)


def length_of(source: Source) -> int | None:
    """How many bytes a source will give, where that is known before it is read: of content, and of no path."""
    if isinstance(source, str | os.PathLike) or hasattr(source, "read"):
        return None
    try:
        with memoryview(source) as view:  # type: ignore[arg-type]  # that is the question
            return view.nbytes
    except TypeError:
        return None


def _read_all(read: Any) -> Iterator[BytesLike]:
    while True:
        piece = read(_PIECE_BYTES)
        if piece is None:
            raise BlockingIOError("the file does not block, and has nothing to read just now")
        if isinstance(piece, str):
            raise TypeError("the file is open as text; open it in binary mode")
        if not piece:
            return
        yield piece


def _slices(view: memoryview) -> Iterator[BytesLike]:
    if not view.nbytes:
        return
    with view, view.cast("B") as flat:
        for start in range(0, len(flat), _PIECE_BYTES):
            yield bytes(flat[start : start + _PIECE_BYTES])


def _gathered(pieces: Iterable[Any]) -> Iterator[BytesLike]:
    """Pieces as they come, small ones joined."""
    held: list[bytes] = []
    held_bytes = 0
    for piece in pieces:
        if isinstance(piece, str):
            raise TypeError("an iterable to add yields bytes, not str")
        view = memoryview(piece)
        if not held and view.nbytes >= _PIECE_BYTES // 4:
            yield piece
            continue
        held.append(bytes(view))
        held_bytes += view.nbytes
        if held_bytes >= _PIECE_BYTES:
            yield b"".join(held)
            held, held_bytes = [], 0
    if held:
        yield b"".join(held)
