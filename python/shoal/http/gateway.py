"""The gateway as an ASGI application over a `Node`: takes a request, has it answered in a thread, and sends the answer piece by piece.

For asyncio and trio, under any ASGI server, alone or mounted in a larger application.
The one rule: an answer that cannot be finished is cut, never ended as if it were whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from shoal.http.message import Answer, Refusal, Request
from shoal.http.route import Rules, answer_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from shoal.http.body import Body
    from shoal.node import Node

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

__all__ = ["Cut", "Gateway"]

T = TypeVar("T")


class Cut(Exception):
    """An answer was begun and cannot be finished. Raised into the server, which closes the connection without its proper end."""


class Gateway:
    """Content by hash over HTTP, read-only: `Gateway(node)` is an ASGI application.

    Serves what the node's store has, and nothing else: `/ipfs/CID/path` as files, directories, raw blocks, CARs and tars. What it
    answers to, and within which limits, is said by `rules`.

        >>> import anyio, httpx, shoal
        >>> async def main():
        ...     async with shoal.Node("/tmp/shoal-example") as node:
        ...         cid = (await node.add(b"hello")).cid
        ...         transport = httpx.ASGITransport(Gateway(node))
        ...         async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        ...             return (await client.get(f"/ipfs/{cid}")).text
        >>> anyio.run(main)
        'hello'
    """

    def __init__(self, node: Node, rules: Rules | None = None) -> None:
        self._node = node
        self._rules = rules if rules is not None else Rules()
        self._limiter: anyio.CapacityLimiter | None = None
        self._active = 0

    @property
    def active(self) -> int:
        """Requests under way."""
        return self._active

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _serve(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        limits = self._rules.limits
        if self._active >= limits.requests_max:
            refusal = Refusal(429, "too many requests are under way: try again in a few seconds", {"Retry-After": "5"})
            await _send_whole(send, Answer.refused(refusal), is_head=False)
            return
        self._active += 1
        try:
            with anyio.move_on_after(limits.response_seconds) as whole:
                await self._answer(scope, receive, send)
            if whole.cancelled_caught:
                raise Cut(f"the answer took longer than {limits.response_seconds} seconds")
        finally:
            self._active -= 1

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        rules, store = self._rules, self._node.store

        def work() -> tuple[Answer, bytes]:
            try:
                request = Request.parse(scope, rules.limits, trust_proxy=rules.trust_proxy)
            except Refusal as refusal:
                return Answer.refused(refusal), b""
            return answer_to(store, rules, request)

        answer, first = None, b""
        with anyio.move_on_after(rules.limits.retrieval_seconds):
            answer, first = await self._in_thread(work, abandon=True)
        if answer is None:
            refusal = Refusal(504, "the content could not be read in time: try again later", {"Retry-After": "10"})
            answer = Answer.refused(refusal)
        body, is_head = answer.body, scope["method"] == "HEAD"
        if isinstance(body, bytes) or is_head:
            await _send_whole(send, answer, is_head=is_head)
            return
        length = int(answer.headers.get("Content-Length", -1))
        if len(first) == length:
            answer.body = first
            await _send_whole(send, answer, is_head=False)
            return
        await send(_start(answer))
        await self._stream(body, first, receive, send)

    async def _stream(self, body: Body, first: bytes, receive: Receive, send: Send) -> None:
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
        limits = self._rules.limits
        piece, sent = first, 0
        while piece:
            with anyio.move_on_after(limits.stall_seconds) as patience:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if patience.cancelled_caught:
                raise Cut(f"the client took nothing for {limits.stall_seconds} seconds")
            sent += len(piece)
            # Nothing of the last piece is kept while the next is read.
            piece = b""
            most = limits.piece_bytes(sent, self._active)
            try:
                piece = await self._in_thread(lambda most=most: body.read(most))  # type: ignore[misc]
            except Exception as error:
                raise Cut("the content is damaged or not all here") from error
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _in_thread(self, work: Callable[[], T], *, abandon: bool = False) -> T:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._rules.limits.threads)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=abandon)


async def _live(receive: Receive, send: Send) -> None:
    """The server's start and stop: there is nothing to do, the node is opened by whoever made the gateway."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


def _start(answer: Answer) -> Message:
    headers = [
        (name.lower().encode("ascii"), value.encode("ascii", "replace")) for name, value in answer.headers.items()
    ]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _send_whole(send: Send, answer: Answer, *, is_head: bool) -> None:
    body = answer.body if isinstance(answer.body, bytes) else b""
    if answer.status not in {204, 304} and not (is_head and body == b""):
        answer.headers.setdefault("Content-Length", str(len(body)))
    await send(_start(answer))
    await send({"type": "http.response.body", "body": b"" if is_head else body, "more_body": False})
