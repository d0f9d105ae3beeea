"""The connections of a node: listening, dialling, who is connected, and what is let in.

Peers are known by their ids. Two connections to one peer are possible (both dialled at once): the first serves until it ends.
Every bound here has its reason beside it; `docs/network.md` has them in one table.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import anyio

from shoal._core import WireConfig, canonical_peer_id
from shoal.errors import InvalidAddress, InvalidInput, StreamClosed, Unreachable
from shoal.peer import Peer
from shoal.rate import RateLimit
from shoal.transport.dial import ATTEMPT_SECONDS, race

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from anyio.abc import TaskGroup, TaskStatus

    from shoal._core import Identity
    from shoal.peer import StreamUser
    from shoal.transport.base import Listener, Stream, Transport

_log = logging.getLogger("shoal")

PEERS_MAX: Final = 4096
"""Connections at one time; from here on idle ones make way. Each takes some 50 KiB and a file handle. Kubo trims from 96 on, for it
dials a whole network."""
IDLE_SECONDS: Final = 60.0
"""An inbound connection on which nothing was asked or given for so long makes way for another when there are too many."""
OPENING_MAX: Final = 256
"""Inbound connections that have not proved who they are: what a flood of them may take. More wait in the system's backlog."""
CONNECTIONS_PER_PEER_MAX: Final = 4
"""Of one peer: two cross each other when both dial, and one may be half dead. go-libp2p allows eight."""
DIAL_SECONDS: Final = 15.0
"""For reaching a peer and agreeing with it. go-libp2p: the same."""
ADDRESSES_MAX: Final = 16
"""Addresses of ours that peers are told: what fits into the 4 KiB that all read, many times over."""


@dataclass(frozen=True)
class SwarmEvent:
    """What happened to a connection."""

    kind: Literal["connected", "identified", "disconnected"]
    peer: str
    address: str
    reason: str | None = None
    sent_bytes: int = 0
    """Over the connection, once it is over."""
    received_bytes: int = 0


class Swarm:
    """All connections. `run` it in a task group; it ends what it began when that is cancelled."""

    def __init__(
        self,
        identity: Identity,
        tls_secret: bytes,
        transports: Mapping[str, Transport],
        *,
        agent: str,
        security: Sequence[Literal["tls", "noise"]] = ("tls", "noise"),
        bytes_per_second: int | None = None,
    ) -> None:
        self.identity = identity
        self.id = identity.peer_id
        self._tls_secret = tls_secret
        # By the first protocol of the addresses that they are for.
        self._transports = transports
        self._agent = agent
        self._security = security
        # Of all connections together.
        self._receive_limit = RateLimit(bytes_per_second) if bytes_per_second else None
        self._send_limit = RateLimit(bytes_per_second) if bytes_per_second else None
        self._protocols: dict[str, Callable[[Peer, int], StreamUser | None]] = {}
        self._listeners: list[Listener] = []
        self.bound: list[str] = []
        """Where it listens, as it was asked to: a wildcard is one."""
        self.listened = anyio.Event()
        """Set when it begins to listen somewhere else, and then replaced."""
        self._peers: dict[str, list[Peer]] = {}
        self._waiting: dict[Peer, anyio.Event] = {}
        self._dialing: dict[str, anyio.Event] = {}
        self._opening = anyio.Semaphore(OPENING_MAX)
        self._unproven: set[Peer] = set()
        self._tasks: TaskGroup | None = None
        self._config: WireConfig | None = None
        self.on_open: list[Callable[[Peer], None]] = []
        self.on_closed: list[Callable[[Peer], None]] = []
        self.on_event: list[Callable[[SwarmEvent], None]] = []

    # Looking

    @property
    def addresses(self) -> list[str]:
        """Where others can reach this node, without its id."""
        return [address for listener in self._listeners for address in listener.addresses]

    @property
    def protocols(self) -> list[str]:
        """What peers may begin streams for."""
        return list(self._protocols)

    @property
    def peers(self) -> list[Peer]:
        """The connection in use to each peer."""
        return [connections[0] for connections in self._peers.values()]

    def peer(self, peer_id: str) -> Peer | None:
        """The connection in use to a peer."""
        connections = self._peers.get(peer_id)
        return connections[0] if connections else None

    async def lost(self, peer_id: str) -> None:
        """Waits until there is no connection to a peer."""
        changed = anyio.Event()

        def tell(_peer: Peer) -> None:
            changed.set()

        self.on_closed.append(tell)
        try:
            while self.peer(peer_id) is not None:
                await changed.wait()
                changed = anyio.Event()
        finally:
            self.on_closed.remove(tell)

    # Doing

    def handle(self, protocol: str, begun: Callable[[Peer, int], StreamUser | None]) -> None:
        """Lets peers begin streams of a protocol."""
        self._protocols[protocol] = begun
        self._config = None

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Holds the connections' tasks until cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                task_status.started()
                await anyio.sleep_forever()
        finally:
            self._tasks = None
            for listener in self._listeners:
                await listener.aclose()
            self._listeners.clear()

    async def listen(self, address: str) -> list[str]:
        """Begins to listen, and tells all peers. Returns where it can be reached. Raises `InvalidAddress`, `CannotListen`."""
        tasks = self._running()
        listener = await self._transport(address).listen(address)
        self._listeners.append(listener)
        self._config = None
        self.bound += _bound(address, listener.addresses)
        self.listened.set()
        self.listened = anyio.Event()
        tasks.start_soon(self._accept, listener, name=f"shoal accept {address}")
        for peer in self.peers:
            peer.push_addresses([address for address in self.addresses if _is_told(address)][:ADDRESSES_MAX])
        return listener.addresses

    async def connect(self, peer_id: str | None, addresses: Iterable[str]) -> Peer:
        """A connection to a peer: the one there is, or a new one to the first address that answers as that peer.

        Raises `Unreachable` where none does.
        """
        if peer_id == self.id:
            raise InvalidInput("that is this node itself; connect to another one")
        if peer_id is not None and (there := self.peer(peer_id)) is not None:
            return there
        if peer_id is None:
            return await self._dial(peer_id, addresses)
        begun = self._dialing.get(peer_id)
        if begun is not None:
            # Someone dials it already.
            await begun.wait()
            there = self.peer(peer_id)
            if there is not None:
                return there
        self._dialing[peer_id] = anyio.Event()
        try:
            return await self._dial(peer_id, addresses)
        finally:
            self._dialing.pop(peer_id).set()

    def disconnect(self, peer_id: str) -> bool:
        """Closes all connections to a peer; whether there was one."""
        connections = list(self._peers.get(peer_id, ()))
        for peer in connections:
            peer.close()
        return bool(connections)

    # Coming in and going out

    def _running(self) -> TaskGroup:
        if self._tasks is None:
            raise StreamClosed("the node's network is not running")
        return self._tasks

    def _transport(self, address: str) -> Transport:
        name = address.lstrip("/").partition("/")[0]
        if name not in self._transports:
            raise InvalidAddress(f"no transport for {address!r}; one that there is for is /ip4/127.0.0.1/tcp/0")
        return self._transports[name]

    def _wire_config(self) -> WireConfig:
        if self._config is None:
            self._config = WireConfig(
                self.identity,
                self._tls_secret,
                protocols=self.protocols,
                agent=self._agent,
                addresses=[address for address in self.addresses if _is_told(address)][:ADDRESSES_MAX],
                security=self._security,
            )
        return self._config

    async def _accept(self, listener: Listener) -> None:
        tasks = self._running()
        while True:
            await self._opening.acquire()
            try:
                stream = await listener.accept()
            except StreamClosed:
                self._opening.release()
                return
            if sum(map(len, self._peers.values())) >= PEERS_MAX and not self._make_room():
                self._opening.release()
                await stream.aclose()
                continue
            peer = self._peer(stream, is_dialed=False)
            self._unproven.add(peer)
            tasks.start_soon(self._hold, peer, name="shoal peer")

    def _make_room(self) -> bool:
        """Closes the connection that has been idle for longest, of those that came in; whether there was one."""
        since = anyio.current_time() - IDLE_SECONDS
        idle = [peer for each in self._peers.values() for peer in each if not peer.is_dialed and peer.used_at < since]
        if not idle:
            return False
        min(idle, key=lambda peer: peer.used_at).close()
        return True

    async def _dial(self, peer_id: str | None, addresses: Iterable[str]) -> Peer:
        """The first of several addresses that answers as the peer. Agreeing on keys is part of the race: who answers may be another."""
        given = list(addresses)

        async def attempt(address: str) -> Peer:
            place, named = split_address(address)
            if peer_id is not None and named is not None and named != peer_id:
                raise Unreachable(f"{place} is the address of another peer, {named}")
            stream = await self._transport(place).dial(place, timeout=ATTEMPT_SECONDS)
            return await self._upgrade(stream, peer_id or named)

        async def discard(peer: Peer) -> None:
            peer.close()

        if len(given) == 1:
            # Its own error says more than that of a race does.
            with anyio.move_on_after(DIAL_SECONDS):
                return await attempt(given[0])
            raise Unreachable(f"{given[0]} did not agree with this node within {DIAL_SECONDS:.0f} s")
        return await race(given, attempt, discard, timeout=DIAL_SECONDS)

    async def _upgrade(self, stream: Stream, expected: str | None) -> Peer:
        peer = self._peer(stream, is_dialed=True, expected=expected)
        opened = self._waiting[peer] = anyio.Event()
        self._running().start_soon(self._hold, peer, name="shoal peer")
        try:
            await opened.wait()
        except BaseException:
            peer.close()
            raise
        finally:
            self._waiting.pop(peer, None)
        if not peer.is_open:
            raise Unreachable(f"{peer.address} answered, and then: {peer.end_reason}")
        return peer

    def _peer(self, stream: Stream, *, is_dialed: bool, expected: str | None = None) -> Peer:
        return Peer(
            stream,
            self._wire_config(),
            self,
            is_dialed=is_dialed,
            expected=expected,
            receive_limit=self._receive_limit,
            send_limit=self._send_limit,
        )

    async def _hold(self, peer: Peer) -> None:
        """Runs a connection to its end."""
        try:
            await peer.run()
        except Exception:  # noqa: BLE001
            # A mistake of ours ends the connection that met it, and no other.
            _log.exception("a connection to %s ended by a fault of Shoal; please report it", peer.address)
        finally:
            self._settle(peer)
            self._forget(peer)

    def _settle(self, peer: Peer) -> None:
        """A connection that came in is open, or over: another one may come."""
        if peer in self._unproven:
            self._unproven.remove(peer)
            self._opening.release()

    # As the handler of peers

    def peer_open(self, peer: Peer) -> None:
        """A peer has proved who it is."""
        self._settle(peer)
        connections = self._peers.setdefault(peer.id, [])
        connections.append(peer)
        if peer.id == self.id or len(connections) > CONNECTIONS_PER_PEER_MAX:
            peer.close()
        elif len(connections) == 1:
            for tell in self.on_open:
                tell(peer)
            self._event(SwarmEvent("connected", peer.id, peer.address))
        waiting = self._waiting.get(peer)
        if waiting is not None:
            waiting.set()

    def peer_identified(self, peer: Peer) -> None:
        """A peer has said what it is."""
        self._event(SwarmEvent("identified", peer.id, peer.address))

    def peer_stream(self, peer: Peer, stream: int, protocol: str) -> StreamUser | None:
        """A peer began a stream."""
        begun = self._protocols.get(protocol)
        return None if begun is None else begun(peer, stream)

    def peer_closing(self, peer: Peer) -> None:
        """A connection that this side closes is not used any more, though it may take seconds to end."""
        self._take_out(peer)

    def _forget(self, peer: Peer) -> None:
        waiting = self._waiting.get(peer)
        if waiting is not None:
            waiting.set()
        self._take_out(peer)

    def _take_out(self, peer: Peer) -> None:
        connections = self._peers.get(peer.id, [])
        if peer not in connections:
            return
        was_first = connections[0] is peer
        connections.remove(peer)
        if was_first:
            for tell in self.on_closed:
                tell(peer)
        if connections and was_first:
            for tell in self.on_open:
                tell(connections[0])
        if not connections:
            del self._peers[peer.id]
            ended = SwarmEvent(
                "disconnected",
                peer.id,
                peer.address,
                peer.end_reason or "closed by us",
                peer.sent_bytes,
                peer.received_bytes,
            )
            self._event(ended)

    def _event(self, event: SwarmEvent) -> None:
        for tell in self.on_event:
            tell(event)


def split_address(address: str) -> tuple[str, str | None]:
    """An address without the peer at its end, and that peer."""
    place, _, peer = address.partition("/p2p/")
    return place, canonical_peer_id(peer) if peer else None


def _bound(asked: str, concrete: Sequence[str]) -> list[str]:
    """What was asked for, with the port that it got: discoveries tell a wildcard's addresses as they are at each time."""
    port = concrete[0].split("/")[4] if concrete and _is_told(concrete[0]) else ""
    words = asked.split("/")
    if port and len(words) >= 5 and words[2] in {"0.0.0.0", "::"}:  # noqa: S104 - it is compared with, not bound
        words[4] = port
        return ["/".join(words[:5])]
    return list(concrete)


def _is_told(address: str) -> bool:
    """Whether an address means something to others: places in memory do not."""
    return address.startswith(("/ip4/", "/ip6/"))
