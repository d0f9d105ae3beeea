"""A request's body on its way from the server to a thread that reads it.

The one rule: no more of it is in memory than a piece, and no wait for the next has no end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.from_thread

from shoal.errors import Cancelled
from shoal.http.message import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.http.limits import RpcLimits
    from shoal.http.sending import Receive

__all__ = ["Feed"]

_GATHER_BYTES = 1024 * 1024
_GATHER_SECONDS = 0.02
"""A piece of a large body is many of the server's: each crossing into the thread costs as much as reading a hundred KiB."""


class Feed:
    """The body of one request."""

    def __init__(self, receive: Receive, limits: RpcLimits) -> None:
        self._receive = receive
        self._limits = limits
        self._is_closed = False
        self._waiting: anyio.CancelScope | None = None
        self.is_over = False
        """Whether all of it was received."""

    def pieces(self) -> Iterator[bytes]:
        """The body, for a thread that may wait. Raises `Cancelled` when the client goes, `Refusal` when it falls silent."""
        while piece := anyio.from_thread.run(self._pull):
            yield piece

    def close(self) -> None:
        """Ends the wait of whoever reads."""
        self._is_closed = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def drain(self) -> None:
        """Reads on for a little, so that a client that is still sending gets to read the answer."""
        left = self._limits.drain_bytes
        with anyio.move_on_after(self._limits.drain_seconds):
            while left > 0 and not self.is_over:
                left -= len(await self._step())

    async def _pull(self) -> bytes:
        found: list[bytes] = []
        with anyio.move_on_after(self._limits.stall_seconds) as self._waiting:
            while not found and not self.is_over and not self._is_closed:
                if piece := await self._step():
                    found.append(piece)
        if self._is_closed:
            raise Cancelled("the call was ended")
        if not found and not self.is_over:
            raise Refusal(408, f"nothing of the body came for {self._limits.stall_seconds:g} seconds")
        size = sum(map(len, found))
        with anyio.move_on_after(_GATHER_SECONDS):
            while size < _GATHER_BYTES and not self.is_over:
                piece = await self._step()
                found.append(piece)
                size += len(piece)
        return b"".join(found)

    async def _step(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_over = True
            raise Cancelled("the client has gone")
        self.is_over = not message.get("more_body", False)
        return bytes(message.get("body", b""))
