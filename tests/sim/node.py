"""A node as the exchange sees it: a session, a server, a dict of blocks, and connections to others. What a driver will do, without I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.exchange.message import Link as DagLink, Message
from shoal.exchange.server import Server
from shoal.exchange.session import Session
from sim.dag import Dag, Painted, cid_of
from sim.link import Line, Link, Way

if TYPE_CHECKING:
    from sim.world import World

ENTRY_BYTES = 44
PRESENCE_BYTES = 42
BLOCK_HEADER_BYTES = 10
LOOKUP_SECONDS = 0.0002
# What a session and a server may remember, whatever others do.
SESSION_HELD_MAX = 200_000
SERVER_HELD_PER_PEER_MAX = 8 * 1024


def wire_bytes(message: Message) -> int:
    entries = len(message.want_blocks) + len(message.want_haves) + len(message.cancels)
    presences = len(message.haves) + len(message.dont_haves)
    blocks = sum(len(data) + BLOCK_HEADER_BYTES for _, data in message.blocks)
    return ENTRY_BYTES * entries + PRESENCE_BYTES * presences + blocks


class Connection:
    """Two nodes and a link each way."""

    def __init__(self, world: World, a: Node, b: Node, there: Way, back: Way) -> None:
        self.ends = (a, b)
        self.is_open = True
        self._world = world
        self.links = {
            a.name: Link(world, there, a.uplink, self.cut),
            b.name: Link(world, back, b.uplink, self.cut),
        }

    def clog(self, until: float) -> None:
        for link in self.links.values():
            link.clog(until)

    def cut(self) -> None:
        """Both ends notice, and what is under way is lost."""
        if self.is_open:
            self.is_open = False
            a, b = self.ends
            self._world.note("cut", a.name, b.name)
            a.disconnected(b.name)
            b.disconnected(a.name)


class Node:
    """An honest node."""

    is_honest = True

    def __init__(self, world: World, name: str, dag: Dag, *, uplink: float | None = None) -> None:
        self.world = world
        self.name = name
        self.dag = dag
        self.uplink = Line(uplink) if uplink else None
        self.blocks: dict[str, Painted] = {}
        self.private: set[str] = set()
        self.server = Server()
        self.session: Session | None = None
        self.connections: dict[str, Connection] = {}
        self.failures: list[tuple[str, str]] = []
        self.dropped: list[tuple[str, str]] = []
        self.finished_at: float | None = None
        self.held_most = 0
        self._wakes_at: float | None = None
        self._is_pumping = False

    # Life

    def holds(self, *cids: str) -> Node:
        self.blocks.update((cid, self.dag.blocks[cid]) for cid in cids)
        return self

    def holds_all(self) -> Node:
        return self.holds(*self.dag.blocks)

    def fetch(self, *, ends_at: float | None = None, patience: float = 30.0, likely: tuple[str, ...] = ()) -> None:
        now = self.world.now
        root = self.dag.link(self.dag.root, is_here=self.dag.root in self.blocks)
        seed = self.world.seed ^ sum(self.name.encode())
        self.session = Session([root], now, seed=seed, ends_at=ends_at, patience=patience)
        for name in self.connections:
            self.session.peer_connected(name, now, is_likely=name in likely)
        self.pump()

    def connect(self, other: Node, there: Way | None = None, back: Way | None = None) -> Connection:
        connection = Connection(self.world, self, other, there or Way(), back or there or Way())
        for one, peer in ((self, other), (other, self)):
            one.connections[peer.name] = connection
        return connection

    def tell_connected(self, peer: str, *, is_likely: bool = False) -> None:
        if self.session is not None:
            self.session.peer_connected(peer, self.world.now, is_likely=is_likely)
            self.pump()

    def disconnected(self, peer: str) -> None:
        if self.connections.pop(peer, None) is None:
            return
        self.server.peer_gone(peer)
        if self.session is not None:
            self.session.peer_gone(peer, self.world.now)
        self.pump()

    # Messages

    def transmit(self, peer: str, message: Message, size: int = 0) -> None:
        """Sends. `size`: what the server is told when it is written."""
        connection = self.connections.get(peer)
        if connection is None:
            return
        other = next(end for end in connection.ends if end is not self)

        def arrived() -> None:
            if connection.is_open:
                other.receive(self.name, message)

        def written() -> None:
            if connection.is_open:
                self.server.written(peer, size)
                self.pump()

        def coming(piece: int) -> None:
            if connection.is_open and other.session is not None:
                other.session.coming(self.name, piece, self.world.now)

        connection.links[self.name].send(wire_bytes(message), arrived, written if size else lambda: None, coming)

    def receive(self, peer: str, message: Message) -> None:
        world = self.world
        # What a block is called is found out from its bytes, as on the wire.
        blocks = [(cid_of(data), data) for _, data in message.blocks]
        world.note(peer, ">", self.name, *message.want_blocks[:2], len(message.cancels), *(cid for cid, _ in blocks))
        self.server.received(peer, message)
        if self.session is not None:
            for cid, data in self.session.received(peer, message._replace(blocks=blocks), world.now):
                assert self.dag.blocks[cid] == data, f"{self.name} took what is not a block of the DAG"
                assert cid not in self.blocks, f"{self.name} was given {cid} twice"
                self.blocks[cid] = data
                if cid not in self.private:
                    self.server.stored(cid, len(data))
                if self.dag.children[cid]:
                    self._tell_links(cid)
        self.pump()

    def _tell_links(self, cid: str) -> None:
        links: list[DagLink] = [self.dag.link(child, is_here=child in self.blocks) for child in self.dag.children[cid]]
        assert self.session is not None
        self.session.links(cid, links, self.world.now)

    # Doing what was decided

    def pump(self) -> None:
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while self._pump_session():
                pass
            self._pump_server()
        finally:
            self._is_pumping = False

    def _pump_session(self) -> bool:
        """Whether there may be more to do at once."""
        session, world = self.session, self.world
        if session is None:
            return False
        actions = session.actions()
        for peer, message in actions.messages:
            self.transmit(peer, message)
        for peer, reason in actions.drops:
            world.note(self.name, "drops", peer, reason)
            self.dropped.append((peer, reason))
            if peer in self.connections:
                self.connections[peer].cut()
        for cid in actions.walks:
            assert cid in self.blocks, f"{self.name} is to walk {cid}, which is not here"
            self._tell_links(cid)
        for cid, reason in actions.failures:
            world.note(self.name, "gives up", cid, reason)
            self.failures.append((cid, reason))
        if session.is_done and self.finished_at is None:
            self.finished_at = world.now
            world.note(self.name, "done")
        self.held_most = max(self.held_most, session.held)
        assert session.held <= SESSION_HELD_MAX
        assert session.in_flight_bytes >= 0
        self._wake(session.deadline())
        return bool(actions.walks or actions.drops)

    def _wake(self, at: float | None) -> None:
        if at is None or self._wakes_at == at:
            return
        self._wakes_at = at

        def wake() -> None:
            if self._wakes_at == at and self.session is not None:
                self._wakes_at = None
                self.session.on_time(self.world.now)
                self.pump()

        self.world.at(at, wake)

    def _pump_server(self) -> None:
        lookups = self.server.lookups()
        if lookups:
            self.world.after(LOOKUP_SECONDS, lambda: self._look_up(lookups))
        assert self.server.held <= SERVER_HELD_PER_PEER_MAX * (len(self.connections) + 1)
        while (send := self.server.next()) is not None:
            blocks = [(cid, self.blocks[cid]) for cid in send.blocks]
            self.transmit(send.peer, Message(blocks=blocks, haves=send.haves, dont_haves=send.dont_haves), send.size)

    def _look_up(self, cids: list[str]) -> None:
        for cid in cids:
            data = None if cid in self.private else self.blocks.get(cid)
            self.server.found(cid, None if data is None else len(data))
        self.pump()

    # Afterwards

    @property
    def has_all(self) -> bool:
        return all(cid in self.blocks for cid in self.dag.blocks)
