"""Long calls of a node that wait for peers: awaited or iterated like every `Operation`, with word of who gives how much."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from shoal.errors import Cancelled
from shoal.operation import Operation
from shoal.results import Progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import CapacityLimiter
    from anyio.abc import TaskGroup

    from shoal.store import Store

__all__ = ["Transfer", "TransferProgress"]

T = TypeVar("T")


@dataclass(frozen=True)
class TransferProgress(Progress):
    """How far a fetch is."""

    peers: dict[str, int] = field(default_factory=dict)
    """Bytes that each peer has given, by its id."""
    waiting: str | None = None
    """What is being tried, while nothing comes."""


class Transfer(Operation[T]):
    """A fetch that has not ended yet. `await` it for its result; before that, `async for` it for `TransferProgress`.

    When its waiter is cancelled it stops: what came is stored, and the same call goes on from there.
    """

    def __init__(
        self,
        phase: str,
        work: Callable[[Transfer[T]], Awaitable[T]],
        store: Store,
        tasks: TaskGroup,
        limiter: CapacityLimiter,
        running: set[Operation[Any]],
    ) -> None:
        super().__init__(phase, lambda _store: None, store, tasks, limiter, running)  # type: ignore[arg-type, return-value]
        self._await = work
        self._scope = anyio.CancelScope()
        self.report: Callable[[], TransferProgress] = lambda: TransferProgress(phase, 0, None, 0, None, None)
        """Says how far it is; set by the work."""

    @property
    def progress(self) -> TransferProgress:
        """How far it is now."""
        return self.report()

    def cancel(self) -> None:
        """Stops it soon; awaiting it then raises `shoal.errors.Cancelled`."""
        super().cancel()
        self._scope.cancel()

    async def _run(self) -> None:
        try:
            with self._scope:
                self._value = await self._await(self)
            if self._scope.cancelled_caught:
                self._error = Cancelled("stopped on request; what came is stored, and the same call goes on from there")
        except anyio.get_cancelled_exc_class():
            self._error = Cancelled("the node was closed")
            raise
        except Exception as error:  # noqa: BLE001
            self._error = error
        finally:
            self._running.discard(self)
            self._done.set()
