"""The gateway as an ASGI application over a `Node`: takes a request, has it answered in a thread, and sends the answer piece by piece.

For asyncio and trio, under any ASGI server, alone or mounted in a larger application.
The one rule: an answer that cannot be finished is cut, never ended as if it were whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from shoal.http.application import Application
from shoal.http.message import Answer, Refusal, Request
from shoal.http.route import Rules, answer_to
from shoal.http.sending import Cut, send_whole, start_of

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from shoal.http.sending import Receive, Send
    from shoal.node import Node

__all__ = ["Cut", "Gateway"]


class Gateway(Application):
    """Content by hash over HTTP, read-only: `Gateway(node)` is an ASGI application.

    Serves what the node's store has, and nothing else: `/ipfs/CID/path` as files, directories, raw blocks, CARs and tars. What it
    answers to, and within which limits, is said by `rules`.

        >>> import anyio, httpx, shoal
        >>> from shoal.http import Gateway
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
        super().__init__(self._rules.limits)

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
            answer, first = await self._sender.in_thread(work, abandon=True)
        if answer is None:
            refusal = Refusal(504, "the content could not be read in time: try again later", {"Retry-After": "10"})
            answer = Answer.refused(refusal)
        body, is_head = answer.body, scope["method"] == "HEAD"
        if isinstance(body, bytes) or is_head:
            await send_whole(send, answer, is_head=is_head)
            return
        length = int(answer.headers.get("Content-Length", -1))
        if len(first) == length:
            answer.body = first
            await send_whole(send, answer, is_head=False)
            return
        await send(start_of(answer))
        await self._sender.stream(body, first, receive, send)
