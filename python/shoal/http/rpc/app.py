"""The RPC as an ASGI application over a `Node`: lets a request in, runs its verb in a thread, and sends what that answers.

For asyncio and trio, under any ASGI server. What decides is in the other files of this folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.to_thread

from shoal.http.application import Application
from shoal.http.message import Answer, Refusal, Request
from shoal.http.rpc.call import Call, CommandError
from shoal.http.rpc.feed import Feed
from shoal.http.rpc.guard import admit, cors_headers
from shoal.http.rpc.multipart import Multipart, boundary_of
from shoal.http.rpc.reply import Pushed, failed, json_bytes, message_of
from shoal.http.rpc.verbs import VERBS, later
from shoal.http.sending import Cut, send_whole, start_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

    from shoal.http.rpc.guard import RpcRules
    from shoal.http.rpc.multipart import Part
    from shoal.http.rpc.reply import Record
    from shoal.http.rpc.verbs import Verb
    from shoal.http.sending import Message, Receive, Send, Sender
    from shoal.node import Node

__all__ = ["Rpc"]

_ALLOW = "OPTIONS, POST"


class Rpc(Application):
    """Kubo's RPC over a node's store: `Rpc(node, rules)` is an ASGI application. `stop` is called by the verb `shutdown`.

    Every call must be a POST and carry the rules' token.

        >>> import anyio, httpx, shoal
        >>> from shoal.http.rpc import Rpc, RpcRules
        >>> async def main():
        ...     async with shoal.Node("/tmp/shoal-example") as node:
        ...         transport = httpx.ASGITransport(Rpc(node, RpcRules(token="a secret")))
        ...         headers = {"Authorization": "Bearer a secret"}
        ...         async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        ...             answer = await client.post("/api/v0/add", files={"file": ("hello.txt", b"hello\\n")})
        ...             return answer.json()["Hash"]
        >>> anyio.run(main)
        'QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN'
    """

    def __init__(self, node: Node, rules: RpcRules, stop: Callable[[], None] | None = None) -> None:
        super().__init__(rules.limits)
        self._node = node
        self._rules = rules
        self._stop = stop
        self._long: anyio.CapacityLimiter | None = None

    def _unread(self, answer: Answer) -> Answer:
        return _closing(answer)

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        feed = Feed(receive, self._rules.limits)
        try:
            await self._answer_from(scope, feed, receive, send)
        finally:
            feed.close()

    async def _answer_from(self, scope: MutableMapping[str, Any], feed: Feed, receive: Receive, send: Send) -> None:
        rules = self._rules
        try:
            request = Request.parse(scope, rules.limits)
        except Refusal as refusal:
            await self._refuse(Answer.refused(refusal), {}, feed, send)
            return
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **cors_headers(rules, request)}
        try:
            admit(rules, request)
            verb = _verb_of(request)
            boundary = request.headers.get("content-type", "")
            call = Call(self._node.store, rules, request.query_text, lambda: _parts(feed, boundary, call))
            if (stop := self._stop) is not None:
                call.stop = lambda: anyio.from_thread.run_sync(stop)
            patience = call.seconds("timeout")
        except Refusal as refusal:
            await self._refuse(Answer.refused(refusal), headers, feed, send)
            return
        if verb is None:
            await send_whole(send, Answer(204, headers | {"Allow": _ALLOW}), is_head=False)
            return
        sent = _Sent(self._sender, headers, scope, send)
        error: Exception | None = None
        with anyio.move_on_after(patience) as timer:
            try:
                await self._run(verb, call, sent, receive)
            except (Cut, anyio.get_cancelled_exc_class()):
                call.is_gone = True
                raise
            except Exception as failure:  # noqa: BLE001 - whatever it is, the client is told that it failed
                error = failure
        if timer.cancelled_caught:
            call.is_gone = True
            error = CommandError("context deadline exceeded")
        if error is None:
            return
        if sent.is_begun:
            await sent.fail(error, message_of(error, None))
            return
        answer = await self._sender.in_thread(lambda: failed(error, call.store))
        await self._refuse(answer, headers, feed, send)

    async def _run(self, verb: Verb, call: Call, sent: _Sent, receive: Receive) -> None:
        def work() -> tuple[Answer, bytes]:
            answer = verb.run(call)
            whole = isinstance(answer.body, bytes | Pushed)
            return answer, b"" if whole else answer.body.read(call.limits.piece_bytes_min)  # type: ignore[union-attr]

        if verb.is_long:
            answer, first = await self._with_watch(call, receive, work)
        else:
            answer, first = await self._sender.in_thread(work, abandon=True)
        if isinstance(answer.body, Pushed):
            pushed = answer.body
            await self._in_long_thread(
                lambda: pushed.work(lambda record: anyio.from_thread.run(sent.push, answer, record))
            )
            await sent.end(answer)
        elif isinstance(answer.body, bytes):
            await sent.whole(answer)
        else:
            await sent.stream(answer, first, receive)

    async def _with_watch(
        self, call: Call, receive: Receive, work: Callable[[], tuple[Answer, bytes]]
    ) -> tuple[Answer, bytes]:
        """Runs what may take minutes; when the client goes, the work is told."""
        result: tuple[Answer, bytes] | None = None
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                call.is_gone = True

            tasks.start_soon(watch)
            try:
                result = await self._in_long_thread(work)
            except Exception as error:  # noqa: BLE001 - raised below: a task group would wrap it
                failure = error
            tasks.cancel_scope.cancel()
        if result is None:
            raise failure or CommandError("context canceled")
        return result

    async def _in_long_thread(self, work: Callable[[], Any]) -> Any:
        if self._long is None:
            self._long = anyio.CapacityLimiter(self._rules.limits.uploads_max)
        if self._long.available_tokens <= 0:
            raise CommandError("too many calls that send or check data are under way: try again later", status=429)
        return await anyio.to_thread.run_sync(work, limiter=self._long)

    async def _refuse(self, answer: Answer, headers: dict[str, str], feed: Feed, send: Send) -> None:
        """An error, told once the client has stopped sending, or has sent enough."""
        try:
            await feed.drain()
        except Exception:  # noqa: BLE001 - it has gone
            return
        answer.headers |= headers
        await send_whole(send, answer if feed.is_over else _closing(answer), is_head=False)


class _Sent:
    """What of one answer was sent."""

    def __init__(self, sender: Sender, headers: dict[str, str], scope: MutableMapping[str, Any], send: Send) -> None:
        self._sender = sender
        self._headers = headers
        self._send = send
        self._has_trailers = "http.response.trailers" in (scope.get("extensions") or {})
        self.is_begun = False

    async def push(self, answer: Answer, record: Record) -> None:
        """One record of an answer that is made while the request is read."""
        await self._begin(answer)
        await self._sender.send_piece(json_bytes(record), self._send)

    async def whole(self, answer: Answer) -> None:
        """An answer whose body is all here."""
        answer.headers |= self._headers
        self.is_begun = True
        await send_whole(self._send, answer, is_head=False)

    async def stream(self, answer: Answer, first: bytes, receive: Receive) -> None:
        """An answer whose body is read piece by piece."""
        await self._begin(answer)
        try:
            await self._sender.stream(answer.body, first, receive, self._send)  # type: ignore[arg-type]
        except Cut as cut:
            if not isinstance(cut.__cause__, Exception):
                raise
            await self.fail(cut.__cause__, message_of(cut.__cause__, None))
            return
        await self._trail([])

    async def end(self, answer: Answer) -> None:
        """The end of what was pushed."""
        await self._begin(answer)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._trail([])

    async def fail(self, error: Exception, message: str) -> None:
        """The end of an answer that fails midway: told in a trailer where the server can; else the connection is cut."""
        if not self._has_trailers:
            raise Cut("the call failed when some of its answer was sent") from error
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        text = " ".join(message.encode("ascii", "replace").decode().split())[:1024]
        await self._trail([(b"x-stream-error", text.encode())])

    async def _begin(self, answer: Answer) -> None:
        if self.is_begun:
            return
        self.is_begun = True
        answer.headers |= self._headers
        if self._has_trailers:
            answer.headers["Trailer"] = "X-Stream-Error"
        start: Message = start_of(answer)
        await self._send({**start, "trailers": True} if self._has_trailers else start)

    async def _trail(self, headers: list[tuple[bytes, bytes]]) -> None:
        if self._has_trailers:
            await self._send({"type": "http.response.trailers", "headers": headers, "more_trailers": False})


def _verb_of(request: Request) -> Verb | None:
    """The verb that a request asks for; None for OPTIONS. Raises `Refusal`."""
    if request.method == "OPTIONS":
        return None
    if request.names[:2] != ("api", "v0") or len(request.names) < 3:
        raise Refusal(404, "404 page not found")
    if request.method != "POST":
        raise Refusal(405, "405 - Method Not Allowed", {"Allow": _ALLOW})
    name = "/".join(request.names[2:])
    verb = VERBS.get(name) or later(name)
    if verb is None:
        raise Refusal(404, "404 page not found")
    return verb


def _parts(feed: Feed, content_type: str, call: Call) -> Iterator[Part]:
    return Multipart(feed.pieces(), boundary_of(content_type), call.limits).parts()


def _closing(answer: Answer) -> Answer:
    answer.headers["Connection"] = "close"
    return answer
