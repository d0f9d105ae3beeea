"""Sending an answer piece by piece: whole ones at once, long ones as fast as their reader takes them, and not faster.

The one rule: an answer that cannot be finished is cut, never ended as if it were whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from shoal.http.body import Body
    from shoal.http.limits import Limits
    from shoal.http.message import Answer

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

__all__ = ["Cut", "Sender", "live", "send_whole", "start_of"]

T = TypeVar("T")


class Cut(Exception):
    """An answer was begun and cannot be finished. Raised into the server, which closes the connection without its proper end."""


class Sender:
    """What the answers of one application share: threads, and the bytes on their way."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._limiter: anyio.CapacityLimiter | None = None
        self.active = 0
        """Requests under way."""

    async def stream(self, body: Body, first: bytes, receive: Receive, send: Send) -> None:
        """Sends a body. Stops when the client has gone."""
        failure: Cut | None = None
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            try:
                await self._pump(body, first, send)
            except Cut as error:
                # Raised below: a task group would wrap it.
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _pump(self, body: Body, first: bytes, send: Send) -> None:
        piece, sent = first, 0
        while piece:
            await self.send_piece(piece, send)
            sent += len(piece)
            # Nothing of the last piece is kept while the next is read.
            piece = b""
            most = self._limits.piece_bytes(sent, self.active)
            try:
                piece = await self.in_thread(lambda most=most: body.read(most))  # type: ignore[misc]
            except Exception as error:
                raise Cut("the content is damaged or not all here") from error
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send_piece(self, piece: bytes, send: Send) -> None:
        """Sends some of a body, which the client must take within a bounded time."""
        with anyio.move_on_after(self._limits.stall_seconds) as patience:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if patience.cancelled_caught:
            raise Cut(f"the client took nothing for {self._limits.stall_seconds} seconds")

    async def in_thread(self, work: Callable[[], T], *, abandon: bool = False) -> T:
        """Runs what blocks in one of the threads that all answers share."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._limits.threads)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=abandon)


async def live(receive: Receive, send: Send) -> None:
    """The server's start and stop: there is nothing to do, the node is opened by whoever made the application."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


def start_of(answer: Answer) -> Message:
    """The message that begins an answer."""
    headers = [
        (name.lower().encode("ascii"), value.encode("ascii", "replace")) for name, value in answer.headers.items()
    ]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def send_whole(send: Send, answer: Answer, *, is_head: bool) -> None:
    """Sends an answer whose body is all here."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    if answer.status not in {204, 304} and not (is_head and body == b""):
        answer.headers.setdefault("Content-Length", str(len(body)))
    await send(start_of(answer))
    await send({"type": "http.response.body", "body": b"" if is_head else body, "more_body": False})
