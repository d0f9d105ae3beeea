"""Long calls of a `Node`: started once, watched and awaited, cancelled with whoever waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread

from shoal._core import Operation as Handle
from shoal.errors import Cancelled
from shoal.results import Progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Generator, Iterator
    from typing import Self

    from anyio import CapacityLimiter
    from anyio.abc import TaskGroup

    from shoal.content import BytesLike
    from shoal.store import Store

__all__ = ["Operation"]

T = TypeVar("T")

_INTERVAL_SECONDS = 0.1
"""How often progress comes."""


class Operation(Generic[T]):
    """A long call that has not ended yet. `await` it for its result; before that, `async for` it for `Progress`.

    It starts when it is first awaited or iterated. When that wait is cancelled (by a time-out, a cancel scope, Ctrl-C), the work is
    stopped and waited for, and leaves things as they were. Leaving the node does the same to operations that nobody awaited.

        >>> async def add(node):
        ...     operation = node.add("dataset/")
        ...     async for progress in operation:
        ...         print(progress.bytes, "bytes")
        ...     return await operation
    """

    def __init__(
        self,
        phase: str,
        work: Callable[[Store], T],
        store: Store,
        tasks: TaskGroup,
        limiter: CapacityLimiter,
        running: set[Operation[Any]],
    ) -> None:
        self._phase = phase
        self._handle = Handle()
        self._work = lambda: work(store._under(self._handle))
        self._tasks = tasks
        self._limiter = limiter
        self._running = running
        self._done = anyio.Event()
        self._is_started = False
        self._is_told = False
        self._is_stopping = False
        self._pulling: anyio.CancelScope | None = None
        self._value: T
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        state = "done" if self._done.is_set() else "running" if self._is_started else "not started"
        return f"<shoal.Operation {self._phase}, {state}>"

    def cancel(self) -> None:
        """Stops the work soon; awaiting it then raises `shoal.errors.Cancelled`. Nothing of it is kept."""
        self._is_stopping = True
        self._handle.cancel()
        if self._pulling is not None:
            self._pulling.cancel()

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        return Progress(self._phase, *self._handle.progress())

    def __await__(self) -> Generator[Any, Any, T]:
        return self._result().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Progress:
        self._start()
        try:
            with anyio.move_on_after(_INTERVAL_SECONDS):
                await self._done.wait()
        except BaseException:
            await self._stop()
            raise
        if not self._done.is_set():
            return self.progress
        if self._error is None and not self._is_told:
            self._is_told = True
            return self.progress
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def _result(self) -> T:
        self._start()
        try:
            await self._done.wait()
        except BaseException:
            await self._stop()
            raise
        if self._error is not None:
            raise self._error
        return self._value

    def _pulled(self, source: AsyncIterable[BytesLike]) -> Iterator[BytesLike]:
        """The pieces of an async iterable, which the work's thread asks the event loop for. A wait for one can be cancelled."""
        pieces = aiter(source)

        async def step() -> BytesLike | None:
            with anyio.CancelScope() as self._pulling:
                if self._is_stopping:
                    self._pulling.cancel()
                try:
                    return await anext(pieces)
                except StopAsyncIteration:
                    return None
            raise Cancelled("stopped on request")

        while (piece := anyio.from_thread.run(step)) is not None:
            yield piece

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._running.add(self)
            self._tasks.start_soon(self._run, name=f"shoal {self._phase}")

    async def _run(self) -> None:
        """The task that holds the thread. Keeps whatever comes out of it for whoever awaits the operation."""
        try:
            self._value = await anyio.to_thread.run_sync(self._work, limiter=self._limiter)
        except anyio.get_cancelled_exc_class():
            # Before a thread was free.
            self._error = Cancelled("stopped before it began")
            raise
        except BaseException as error:  # noqa: BLE001
            self._error = error
        finally:
            self._running.discard(self)
            self._done.set()

    async def _stop(self) -> None:
        """Makes the end come soon, and waits for it whatever happens: nothing of the work outlives its waiter."""
        self.cancel()
        with anyio.CancelScope(shield=True):
            await self._done.wait()
