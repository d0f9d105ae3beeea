"""An open file: content by hash behind the interface of a binary file. Seekable; every byte returned was verified."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from shoal.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import WriteableBuffer

    from shoal import _core
    from shoal._core import CID

__all__ = ["File"]

_READAHEAD_BYTES = 64 * 1024
"""What `readline` looks ahead."""


class File(io.RawIOBase):
    """A file of a store, open for reading. `Store.open` makes them.

    A read returns fewer bytes than asked only at the end of the file. Needs no buffer around it: what was verified last is kept.
    A small read verifies the 16 KiB groups that it touches, a large one whole blocks. Safe to use from several threads, which then
    share one position.
    """

    def __init__(self, reader: _core.FileReader) -> None:
        super().__init__()
        self._reader = reader
        self._read_at = reader.read_at
        self._size = reader.size
        self._position = 0

    @property
    def cid(self) -> CID:
        """The file's root."""
        return self._reader.cid

    @property
    def size(self) -> int:
        """Content bytes."""
        return self._size

    @property
    def file_mode(self) -> int | None:
        """Permission bits, where they were kept."""
        return self._reader.mode

    @property
    def mtime(self) -> float | None:
        """Modification time in seconds since 1970, where it was kept."""
        return self._reader.mtime

    def __repr__(self) -> str:
        return f"<shoal.File {self.cid} of {self.size} bytes{', closed' if self.closed else ''}>"

    def readable(self) -> bool:
        """True."""
        self._check()
        return True

    def seekable(self) -> bool:
        """True."""
        self._check()
        return True

    def tell(self) -> int:
        """The position, in bytes."""
        self._check()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves the position, also behind the end, and returns it."""
        # Seeking and reading by turns is what most programs do, many thousand times a second: no call more than is needed.
        if self.closed:
            self._check()
        if whence == 0:
            position = offset
        elif whence == os.SEEK_CUR:
            position = self._position + offset
        elif whence == os.SEEK_END:
            position = self._size + offset
        else:
            raise ValueError("whence is 0, 1 or 2")
        if position < 0:
            raise ValueError("a position is not negative")
        self._position = position
        return position

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, or all that are left."""
        if self.closed:
            self._check()
        left = self._size - self._position
        if left <= 0:
            return b""
        data = self._read_at(self._position, left if size is None or size < 0 or size > left else size)
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fills a buffer: how many bytes."""
        self._check()
        if self._position >= self._size:
            return 0
        count = self._reader.read_into_at(self._position, buffer)
        self._position += count
        return count

    def peek(self, size: int = 0, /) -> bytes:
        """The bytes ahead, without moving: at least one, unless at the end. (`readline` asks for it.)"""
        self._check()
        left = max(0, self._size - self._position)
        return self._read_at(self._position, min(left, max(size, _READAHEAD_BYTES))) if left else b""

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on, wherever the position is. Threads need not take turns.

        Raises `InvalidInput` (a ValueError) for a negative size.
        """
        self._check()
        if size < 0:
            raise InvalidInput("a size is not negative")
        return self._read_at(offset, size) if 0 <= offset < self._size else b""

    def read_ranges(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Many ranges, each an offset and a size in bytes, in the order asked for: the fastest way to read here and there.

        Like `read_at`, a range has fewer bytes only where the file ends. Other threads of Python run meanwhile. Memory is that of
        the answer.

        Raises `InvalidInput` (a ValueError) for a negative offset or size, and `NotFound` and `Damaged` as any read.
        """
        self._check()
        return self._reader.read_ranges(list(ranges))

    def _check(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")
