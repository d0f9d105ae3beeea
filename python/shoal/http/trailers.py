"""Trailers for HTTP/1.1 under uvicorn, which has none of its own: a line behind the last chunk says why an answer failed midway.

Kubo's clients look for it (`X-Stream-Error`). The one rule: where the server is not as known here, nothing is promised, and an answer
that fails is cut as before. To be dropped once uvicorn knows the extension for HTTP/1.1 itself (0.54 does for HTTP/2 only).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from shoal.http.sending import Message, Receive, Send

    App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

__all__ = ["with_trailers"]

_LAST_CHUNK = b"0\r\n\r\n"
_EXTENSION = "http.response.trailers"


class _LastChunk:
    """A transport that puts trailers into the last chunk."""

    def __init__(self, transport: asyncio.Transport, lines: bytes) -> None:
        self._transport = transport
        self._lines = lines

    def write(self, data: bytes) -> None:
        self._transport.write(b"0\r\n" + self._lines + b"\r\n" if data == _LAST_CHUNK else data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def with_trailers(app: App) -> App:
    """The application, served by uvicorn, with the extension `http.response.trailers` where it can be had."""

    async def serve(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        cycle = getattr(send, "__self__", None)
        transport = getattr(cycle, "transport", None)
        if (
            scope["type"] != "http"
            or scope.get("http_version") != "1.1"
            or not isinstance(transport, asyncio.Transport)
        ):
            await app(scope, receive, send)
            return
        has_trailers = False

        async def sending(message: Message) -> None:
            nonlocal has_trailers
            kind = message["type"]
            if kind == "http.response.start":
                has_trailers = bool(message.get("trailers"))
            if has_trailers and kind == "http.response.body" and not message.get("more_body", False):
                # The last chunk comes with the trailers.
                if message.get("body"):
                    await send({**message, "more_body": True})
                return
            if kind != _EXTENSION:
                await send(message)
                return
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in message["headers"])
            cycle.transport = _LastChunk(transport, lines)  # type: ignore[union-attr]
            try:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                cycle.transport = transport  # type: ignore[union-attr]

        extensions = {**(scope.get("extensions") or {}), _EXTENSION: {}}
        await app({**scope, "extensions": extensions}, receive, sending)

    return serve
