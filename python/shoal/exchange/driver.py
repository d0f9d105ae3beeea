"""Does what the pure parts of the exchange decide: joins peers' links, fetches and the server with the store.

Runs on the event loop of its node. `serve` is the one task of its own; fetches are tasks of whoever asks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import anyio

from shoal.exchange.limits import BLOCK_BYTES_MAX, FORGOTTEN_MAX, MIB
from shoal.exchange.link import Inbound, Link
from shoal.exchange.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal._core import CID, Block
    from shoal.exchange.fetch import Fetch
    from shoal.exchange.message import Data, Message
    from shoal.exchange.server import Send
    from shoal.exchange.store_access import ServingStore
    from shoal.peer import Peer, StreamUser

READ_BYTES_MAX: Final = 2 * MIB
"""Blocks read from the store in one go, of all peers. More would keep the first of them waiting for the last."""
DROPPED_MAX: Final = 256
"""Peers of which it is remembered why they were disconnected."""


class Exchange:
    """bitswap with all peers of a node."""

    def __init__(self, store: ServingStore) -> None:
        self._store = store
        self.server = Server()
        self._links: dict[str, Link] = {}
        self._fetches: list[Fetch] = []
        self._paused: dict[Inbound, None] = {}
        self._to_serve = anyio.Event()
        # Blocks that have just been stored and that a peer waits for.
        self._lookups: list[CID] = []
        self.dropped: dict[str, str] = {}
        """Peers that were disconnected for what they sent, and why: the last ones."""

    # Peers come and go

    def peer_open(self, peer: Peer) -> None:
        """A peer is connected."""
        if peer.id not in self._links:
            self._links[peer.id] = Link(peer, self)
            for fetch in self._fetches:
                self._tell_connected(fetch, peer.id)

    def peer_closed(self, peer: Peer) -> None:
        """A connection is over. If there is another one to the same peer, `peer_open` follows for it."""
        link = self._links.get(peer.id)
        if link is not None and link.peer is peer:
            self._forget(link)

    def peer_stream(self, peer: Peer, stream: int) -> StreamUser | None:
        """A peer begins a stream of bitswap."""
        link = self._links.get(peer.id)
        # What it says on a second connection counts as well; answers go on the first.
        return None if link is None else Inbound(link, peer, stream, self)

    def likely(self, peer: str) -> None:
        """A peer is said to have what is being fetched."""
        for fetch in self._fetches:
            if peer in self._links:
                fetch.session.peer_connected(peer, anyio.current_time(), is_likely=True)
                fetch.act()

    def _tell_connected(self, fetch: Fetch, peer: str) -> None:
        fetch.session.peer_connected(peer, anyio.current_time(), is_likely=peer in fetch.likely)
        fetch.act()

    def _forget(self, link: Link) -> None:
        self._links.pop(link.id, None)
        self._paused = {inbound: None for inbound in self._paused if inbound.link.id != link.id}
        self.server.peer_gone(link.id)
        for fetch in self._fetches:
            fetch.session.peer_gone(link.id, anyio.current_time())
            fetch.act()

    # Fetches

    def join(self, fetch: Fetch) -> None:
        """A fetch begins: all peers can be asked."""
        self._fetches.append(fetch)
        for peer in list(self._links):
            self._tell_connected(fetch, peer)

    def leave(self, fetch: Fetch) -> None:
        """It is over. What it has called back may still come, and is no other fetch's reason to blame the peer."""
        self._fetches.remove(fetch)
        for peer, link in self._links.items():
            link.called_back.update(dict.fromkeys(fetch.session.called_back(peer)))
            while len(link.called_back) > FORGOTTEN_MAX:
                del link.called_back[next(iter(link.called_back))]
        self._resume()

    def send_wants(self, peer: str, message: Message) -> None:
        """A session's message."""
        link = self._links.get(peer)
        if link is not None:
            link.send_wants(message)

    def drop(self, peer: str, reason: str) -> None:
        """A session has had enough of a peer."""
        if len(self.dropped) >= DROPPED_MAX:
            del self.dropped[next(iter(self.dropped))]
        self.dropped[peer] = reason
        link = self._links.get(peer)
        if link is not None:
            link.peer.close()

    def stored(self, blocks: Sequence[tuple[CID, Block]]) -> None:
        """Blocks are here now: peers that wait for them get them, and there is room for more."""
        awaited = [cid for cid, _ in blocks if self.server.is_awaited(cid)]
        if awaited:
            # Whether they may be served is asked as for any other.
            self._lookups += awaited
            self._to_serve.set()
        self._resume()

    def _resume(self) -> None:
        if self._paused and not any(fetch.is_full for fetch in self._fetches):
            paused, self._paused = self._paused, {}
            for inbound in paused:
                inbound.readable()

    # What links tell

    def may_read(self, inbound: Inbound) -> bool:
        """Whether there is room for what comes."""
        if any(fetch.is_full for fetch in self._fetches):
            self._paused[inbound] = None
            return False
        return True

    def received(self, link: Link, message: Message) -> None:
        """A whole message."""
        now = anyio.current_time()
        if message.want_blocks or message.want_haves or message.cancels or message.is_full:
            self.server.received(link.id, message)
            self._to_serve.set()
        for fetch, part in self._parts(link, message):
            accepted = fetch.session.received(link.id, part, now)
            if accepted:
                fetch.accepted(link.id, cast("list[tuple[CID, Block]]", accepted))
            fetch.act()

    def _parts(self, link: Link, message: Message) -> list[tuple[Fetch, Message]]:
        """To whom a message goes: its blocks to the fetch that asked for them, or else to the first, which judges the peer."""
        fetches = self._fetches
        if not message.blocks or (len(fetches) == 1 and not link.called_back):
            return [(fetch, message) for fetch in fetches]
        blocks: list[list[tuple[CID, Data]]] = [[] for _ in fetches]
        for cid, data in message.blocks if fetches else ():
            at = next((at for at, fetch in enumerate(fetches) if fetch.asked(link.id, cid)), None)
            if at is not None or link.called_back.pop(cid, self) is self:
                blocks[at or 0].append((cid, data))
        return [(fetch, message._replace(blocks=part)) for fetch, part in zip(fetches, blocks, strict=True)]

    def coming(self, link: Link, size: int) -> None:
        """A part of a message."""
        for fetch in self._fetches:
            fetch.session.coming(link.id, size, anyio.current_time())

    def written(self, link: Link, size: int) -> None:
        """Blocks are on their way: there is room for more."""
        self.server.written(link.id, size)
        self._to_serve.set()

    def interrupted(self, link: Link) -> None:
        """What was asked of a peer, or served to it, is lost: it is begun anew. The peer asks again for what it still wants."""
        self.server.peer_gone(link.id)
        for fetch in self._fetches:
            fetch.session.peer_gone(link.id, anyio.current_time())
            self._tell_connected(fetch, link.id)

    def lost(self, link: Link, reason: str) -> None:  # noqa: ARG002
        """A peer that does not speak bitswap, or has stopped to: it is neither asked nor served, and stays connected."""
        self._forget(link)

    # Serving

    async def serve(self) -> None:
        """Answers what peers want, for ever."""
        server = self.server
        while True:
            self._to_serve = anyio.Event()
            lookups = [*server.lookups(), *self._lookups]
            self._lookups.clear()
            if lookups:
                for cid, size in zip(lookups, await self._store.servable(lookups), strict=True):
                    server.found(cid, size if size is None or size <= BLOCK_BYTES_MAX else None)
            sends = self._sends()
            if sends:
                await self._send(sends)
            elif not lookups:
                await self._to_serve.wait()

    def _sends(self) -> list[Send]:
        sends: list[Send] = []
        size = 0
        while size < READ_BYTES_MAX and (send := self.server.next()) is not None:
            sends.append(send)
            size += send.size
        return sends

    async def _send(self, sends: list[Send]) -> None:
        made = await self._store.messages([(send.blocks, send.haves, send.dont_haves) for send in sends])
        for send, (data, unreadable) in zip(sends, made, strict=True):
            peer = str(send.peer)
            for cid in unreadable:
                self.server.unreadable(peer, cid)
            link = self._links.get(peer)
            if link is not None:
                link.send_blocks(data, send.size)
