"""Async views of what a store yields piece by piece: iterators and open files. All reading happens in the node's threads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
    from types import TracebackType
    from typing import Any, Protocol, Self

    from shoal._core import CID
    from shoal.content import Content
    from shoal.file import File
    from shoal.store import Store

    class Run(Protocol):
        """Runs a function in one of the node's threads."""

        def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


__all__ = ["AsyncFile", "Pulled"]

T = TypeVar("T")


class Pulled(Generic[T]):
    """An async iterator over what a plain iterator yields, fetched by the handful.

    Not an async generator: it can be left half-way without ceremony.
    """

    def __init__(self, run: Run, make: Callable[[], Iterator[T]], batch: int) -> None:
        self._run = run
        self._make: Callable[[], Iterator[T]] | None = make
        self._iterator: Iterator[T] | None = None
        self._batch = batch
        self._ready: list[T] = []
        """Last first."""
        self._error: BaseException | None = None
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if not self._ready and not self._is_over:
            await self._run(self._pull)
        if self._ready:
            return self._ready.pop()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        raise StopAsyncIteration

    def _pull(self) -> None:
        found: list[T] = []
        try:
            if self._make is not None:
                make, self._make = self._make, None
                self._iterator = make()
            assert self._iterator is not None  # noqa: S101
            for item in self._iterator:
                found.append(item)
                if len(found) >= self._batch:
                    break
            else:
                self._is_over = True
        except BaseException as error:  # noqa: BLE001
            # What came before it is handed out first.
            self._error = error
            self._is_over = True
        found.reverse()
        self._ready = found


class AsyncFile:
    """A file of a store, open for reading. `Node.open` makes them: use as `async with node.open(cid) as file`, or await it.

    Every byte returned was verified. A read returns fewer bytes than asked only at the end of the file.
    """

    def __init__(self, run: Run, store: Store, content: Content) -> None:
        self._run = run
        self._open = lambda: store.open(content)
        self._file: File | None = None

    def __await__(self) -> Generator[Any, Any, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        if self._file is None:
            self._file = await self._run(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the file."""
        self._opened.close()

    @property
    def _opened(self) -> File:
        if self._file is None:
            raise ValueError("the file is not open yet; use `async with` or await it")
        return self._file

    @property
    def cid(self) -> CID:
        """The file's root."""
        return self._opened.cid

    @property
    def size(self) -> int:
        """Content bytes."""
        return self._opened.size

    async def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes, or all that are left."""
        file = self._opened
        return await self._run(lambda: file.read(size))

    async def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on, wherever the position is. Tasks need not take turns."""
        file = self._opened
        return await self._run(lambda: file.read_at(offset, size))

    async def read_ranges(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """Many ranges, each an offset and a size in bytes, in the order asked for; see `File.read_ranges`."""
        file, wanted = self._opened, list(ranges)
        return await self._run(lambda: file.read_ranges(wanted))

    async def readline(self) -> bytes:
        """The next line, with its end."""
        file = self._opened
        return await self._run(file.readline)

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves the position, also behind the end, and returns it."""
        return self._opened.seek(offset, whence)

    async def tell(self) -> int:
        """The position, in bytes."""
        return self._opened.tell()

    def __aiter__(self) -> Pulled[bytes]:
        """Lines."""
        file = self._opened
        return Pulled(self._run, lambda: iter(file), 256)
