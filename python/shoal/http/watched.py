"""Any of our applications, watched: `/healthz`, `/metrics`, and a line of JSON for each request.

The one rule: nothing that a client sent as a secret is counted, logged or told.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Any, TextIO

import anyio
import anyio.to_thread

from shoal.errors import ShoalError
from shoal.http.limits import Limits
from shoal.http.message import Answer, Refusal, Request
from shoal.http.metrics import METRICS_TYPE, Metrics
from shoal.http.sending import send_whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from shoal.http.sending import Message, Receive, Send
    from shoal.node import Node
    from shoal.results import StoreStat

    App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

__all__ = ["Watched"]

_STAT_SECONDS = 5.0
_LOGGED_MAX = 1024
"""Characters of a path in the log."""


class Watched:
    """An application, and around it what says how it does.

    `/healthz` says 200 while the store answers, and is open to whoever reaches the socket: it tells nothing else. `/metrics` is
    given where `admit` is, to whom it lets in; it raises `Refusal` for the others. `route` names a request by one of few words.
    """

    def __init__(
        self,
        app: App,
        node: Node,
        metrics: Metrics,
        *,
        room: str,
        route: Callable[[tuple[str, ...]], str],
        admit: Callable[[Request], None] | None = None,
        log: TextIO | None = None,
    ) -> None:
        self._app = app
        self._node = node
        self._metrics = metrics
        self._room = room
        self._route = route
        self._admit = admit
        self._log = log

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = sent = 0

        async def counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        began = time.monotonic()
        self._metrics.begin(self._room)
        try:
            if scope["path"] in {"/healthz", "/metrics"} and (answer := await self._status(scope)) is not None:
                await send_whole(counted, answer, is_head=scope["method"] == "HEAD")
            else:
                await self._app(scope, receive, counted)
        finally:
            seconds = time.monotonic() - began
            names = tuple(name for name in scope["path"].split("/") if name)
            self._metrics.end(self._room, self._route(names), status, sent, seconds)
            if self._log is not None:
                self._write(self._log, scope, status, sent, seconds)

    async def _status(self, scope: MutableMapping[str, Any]) -> Answer | None:
        """The answer to a question about the server; None where it is none that is answered here."""
        is_health = scope["path"] == "/healthz"
        if not is_health and self._admit is None:
            return None
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        try:
            request = Request.parse(scope, Limits())
            if not is_health and self._admit is not None:
                self._admit(request)
            if request.method not in {"GET", "HEAD"}:
                raise Refusal(405, "this only tells: use GET or HEAD", {"Allow": "GET, HEAD"})
        except Refusal as refusal:
            return Answer.refused(refusal)
        about = await self._stat()
        if is_health:
            word = "ok" if about is not None else "the store does not answer"
            text = json.dumps({"status": word}).encode() + b"\n"
            return Answer(200 if about is not None else 503, headers | {"Content-Type": "application/json"}, text)
        return Answer(200, headers | {"Content-Type": METRICS_TYPE}, self._metrics.text(about).encode())

    async def _stat(self) -> StoreStat | None:
        store = self._node.store
        with anyio.move_on_after(_STAT_SECONDS):
            try:
                return await anyio.to_thread.run_sync(store.stat, abandon_on_cancel=True)
            except (ShoalError, OSError):
                return None
        return None

    def _write(self, log: TextIO, scope: MutableMapping[str, Any], status: int, sent: int, seconds: float) -> None:
        client = scope.get("client") or ("", 0)
        record = {
            "time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            "room": self._room,
            "client": client[0],
            "method": scope["method"],
            # Without the query, in which a client may have put what is nobody's business.
            "path": scope["path"][:_LOGGED_MAX],
            "status": status,
            "bytes": sent,
            "seconds": round(seconds, 6),
        }
        # As ASCII: no control character reaches a terminal.
        log.write(json.dumps(record) + "\n")
        log.flush()
