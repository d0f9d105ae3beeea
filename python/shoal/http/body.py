"""Bodies that are read piece by piece, in a thread: parts of a file, or whatever an iterator of buffers yields.

The one rule: a body holds no more bytes in memory than the piece that is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from shoal.errors import InvalidInput
from shoal.http.leaves import Leaves, NotPlain
from shoal.http.unixfs import DAG_PB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal import CID
    from shoal.store import Store

__all__ = ["Body", "BufferBody", "FileBody"]

_FAST_BYTES = 1024 * 1024
"""A piece that only a reader gets which takes what it is given, while not too many others do; and a part that is worth it. Of smaller
pieces the store checks only the groups that they touch, by their tree, which costs less than whole blocks: measured with 64 readers."""


class Body(Protocol):
    """What an answer's body can do."""

    length: int | None
    """Bytes in all; None where nobody knows before the end."""

    def read(self, most: int, /) -> bytes:
        """The next bytes, at most so many; none at the end. Raises for what is not there or damaged: the answer is cut then."""


class FileBody:
    """Parts of a file, with what stands between them.

    The file is opened anew for each piece: an open one keeps the block that it verified last, and two thousand slow readers would
    keep two thousand of those. A reader that takes large pieces, and has much to come, has its leaves read ahead.
    """

    def __init__(self, store: Store, cid: CID, parts: list[bytes | tuple[int, int]]) -> None:
        self._store = store
        self._cid = cid
        # Last first.
        self._parts = parts[::-1]
        self.length: int | None = sum(len(part) if isinstance(part, bytes) else part[1] - part[0] for part in parts)
        self._leaves: Leaves | None = None
        # A blob is one raw CID too, and no block.
        self._is_plain = cid.codec_code == DAG_PB

    def read(self, most: int, /) -> bytes:
        pieces: list[bytes] = []
        while self._parts and most > 0:
            part = self._parts.pop()
            if isinstance(part, bytes):
                piece = part
            else:
                start, stop = part
                piece = self._span(start, stop, most)
                if not piece:
                    raise EOFError("the file is shorter than its root says")
                if start + len(piece) < stop:
                    self._parts.append((start + len(piece), stop))
            pieces.append(piece)
            most -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _span(self, start: int, stop: int, most: int) -> bytes:
        """The next bytes of a part."""
        if most < _FAST_BYTES or stop - start < _FAST_BYTES:
            self._leaves = None
        elif self._is_plain:
            try:
                if self._leaves is None:
                    self._leaves = Leaves(self._store, self._cid, start, stop)
                return self._leaves.read(most)
            except (NotPlain, InvalidInput):
                self._leaves, self._is_plain = None, False
        return self._store.read(self._cid, start, min(most, stop - start))


class BufferBody:
    """What an iterator yields, cut and joined to pieces. Blocks stay where the store has mapped them until they are sent."""

    def __init__(self, buffers: Iterator[bytes | memoryview], length: int | None = None) -> None:
        self._buffers = buffers
        self._held: memoryview | None = None
        self.length = length

    def read(self, most: int, /) -> bytes:
        pieces: list[memoryview] = []
        while most > 0:
            if self._held is None:
                buffer = next(self._buffers, None)
                if buffer is None:
                    break
                self._held = memoryview(buffer)
            piece = self._held[:most]
            self._held = self._held[most:] if len(self._held) > most else None
            pieces.append(piece)
            most -= len(piece)
        return b"".join(pieces)
