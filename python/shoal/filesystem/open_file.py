"""A file below a CID, open for reading, as programs that use fsspec want it: `shoal.File` that knows where it came from.

No cache of blocks stands before the store's own: a read asks Rust for those bytes, and what it verified last is kept there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.errors import NotFound
from shoal.file import File
from shoal.filesystem.content import incomplete

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import WriteableBuffer

    from shoal import _core
    from shoal.filesystem.system import ShoalFileSystem

__all__ = ["ContentFile"]


class ContentFile(File):
    """A `shoal.File` with the filesystem and path that it was opened from. Can be pickled: the copy opens the same CID.

    Raises `Incomplete` where a block is not in the store, and `Damaged` where one is hurt.
    """

    mode = "rb"

    def __init__(self, reader: _core.FileReader, fs: ShoalFileSystem, path: str) -> None:
        super().__init__(reader)
        self.fs = fs
        self.path = path

    @property
    def full_name(self) -> str:
        """The address: "shoal://bafy…/a/b"."""
        return str(self.fs.unstrip_protocol(self.path))

    @property
    def details(self) -> dict[str, Any]:
        """The same as `info()`."""
        return self.info()

    def info(self) -> dict[str, Any]:
        """What the filesystem says of it."""
        return dict(self.fs.info(self.path))

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.fs, self.path, 0 if self.closed else self.tell())

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, or all that are left."""
        try:
            return super().read(size)
        except NotFound as error:
            raise incomplete(error, self.path) from error

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fills a buffer: how many bytes."""
        try:
            return super().readinto(buffer)
        except NotFound as error:
            raise incomplete(error, self.path) from error

    def peek(self, size: int = 0, /) -> bytes:
        """The bytes ahead, without moving."""
        try:
            return super().peek(size)
        except NotFound as error:
            raise incomplete(error, self.path) from error

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on, wherever the position is."""
        try:
            return super().read_at(offset, size)
        except NotFound as error:
            raise incomplete(error, self.path) from error

    def read_ranges(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Many ranges, each an offset and a size in bytes, in the order asked for."""
        try:
            return super().read_ranges(ranges)
        except NotFound as error:
            raise incomplete(error, self.path) from error


def _reopen(fs: ShoalFileSystem, path: str, position: int) -> ContentFile:
    file: ContentFile = fs.open(path, "rb")
    file.seek(position)
    return file
