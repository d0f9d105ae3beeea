"""What every application of this room is: requests let in up to a number, each with a time, and the server's start and stop.

What a request is answered with is the application's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from shoal.http.message import Answer, Refusal
from shoal.http.sending import Cut, Sender, live, send_whole

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from shoal.http.limits import Limits
    from shoal.http.sending import Receive, Send


class Application:
    """An ASGI application over a node. A class that is one says what a request is answered with, in `_answer`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sender = Sender(limits)

    @property
    def active(self) -> int:
        """Requests under way."""
        return self._sender.active

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _serve(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        limits = self._limits
        if self._sender.active >= limits.requests_max:
            refusal = Refusal(429, "too many requests are under way: try again in a few seconds", {"Retry-After": "5"})
            await send_whole(send, self._unread(Answer.refused(refusal)), is_head=False)
            return
        self._sender.active += 1
        try:
            with anyio.move_on_after(limits.response_seconds) as whole:
                await self._answer(scope, receive, send)
            if whole.cancelled_caught:
                raise Cut(f"the answer took longer than {limits.response_seconds} seconds")
        finally:
            self._sender.active -= 1

    def _unread(self, answer: Answer) -> Answer:
        """The answer to a request whose body was not read."""
        return answer

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request."""
        raise NotImplementedError
