"""An open file: content by hash behind the interface of a binary file. Seekable; every byte returned was verified."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from shoal import _core
    from shoal._core import CID

__all__ = ["File"]

_READAHEAD_BYTES = 64 * 1024
"""What `readline` looks ahead."""


class File(io.RawIOBase):
    """A file of a store, open for reading. `Store.open` makes them.

    A read returns fewer bytes than asked only at the end of the file. Needs no buffer around it: the verified block last read
    is kept. Safe to use from several threads, which then share one position.
    """

    def __init__(self, reader: _core.FileReader) -> None:
        super().__init__()
        self._reader = reader
        self._position = 0

    @property
    def cid(self) -> CID:
        """The file's root."""
        return self._reader.cid

    @property
    def size(self) -> int:
        """Content bytes."""
        return self._reader.size

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
        self._check()
        if whence == os.SEEK_SET:
            position = offset
        elif whence == os.SEEK_CUR:
            position = self._position + offset
        elif whence == os.SEEK_END:
            position = self.size + offset
        else:
            raise ValueError("whence is 0, 1 or 2")
        if position < 0:
            raise ValueError("a position is not negative")
        self._position = position
        return position

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, or all that are left."""
        self._check()
        left = max(0, self.size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        data = self._reader.read_at(self._position, wanted)
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fills a buffer: how many bytes."""
        self._check()
        if self._position >= self.size:
            return 0
        count = self._reader.read_into_at(self._position, buffer)
        self._position += count
        return count

    def peek(self, size: int = 0, /) -> bytes:
        """The bytes ahead, without moving: at least one, unless at the end. (`readline` asks for it.)"""
        self._check()
        left = max(0, self.size - self._position)
        return self._reader.read_at(self._position, min(left, max(size, _READAHEAD_BYTES))) if left else b""

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on, wherever the position is. Threads need not take turns."""
        self._check()
        return self._reader.read_at(offset, size) if 0 <= offset < self.size else b""

    def _check(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")
