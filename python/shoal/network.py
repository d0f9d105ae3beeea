"""What a node is to others: its key, its connections and its exchange. Started when it is first needed, as tasks of the node."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import anyio
import anyio.to_thread

from shoal._core import canonical_peer_id
from shoal.discovery.base import Announcement
from shoal.errors import ConnectionLost, Incomplete, InvalidInput, NotFound, ShoalError, Unreachable
from shoal.exchange.driver import Exchange
from shoal.exchange.fetch import Fetch
from shoal.exchange.limits import PATIENCE_SECONDS
from shoal.exchange.link import READABLE
from shoal.exchange.store_access import FetchingStore, ServingStore
from shoal.results import Fetched, NodeId, PeerInfo
from shoal.swarm import Swarm, split_address
from shoal.transfer import TransferProgress
from shoal.transport.tcp import TcpTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from anyio.abc import TaskGroup, TaskStatus

    from shoal._core import CID, Identity, Lease
    from shoal.content import Content
    from shoal.discovery.base import Discovery, Found
    from shoal.peer import Peer
    from shoal.store import Store
    from shoal.transfer import Transfer
    from shoal.transport.base import Transport

T = TypeVar("T")

THREADS: Final = 4
"""Threads that read and store blocks for the exchange: one for each side, and two for what waits on a disk."""
FOUND_MAX: Final = 64
"""Peers that were found and are not connected to yet: what a network full of strangers costs. More are found again."""
FOUND_PEERS_MAX: Final = 128
"""Peers from which on nobody is connected to only because it was found."""
REDIAL_SECONDS_MIN: Final = 0.25
"""After which a peer of a fetch is dialled again when its connection is lost: a node that restarts takes about as long."""
REDIAL_SECONDS_MAX: Final = 8.0
"""And at most, after others in vain."""
STEPS_MAX: Final = 1024
"""Blocks fetched one by one along a path: names below each other, and the shards of large directories between them."""


class Network:
    """A node's key, connections and exchange. `run` it in the node's task group."""

    def __init__(
        self,
        store: Store,
        identity: Identity,
        *,
        agent: str,
        serve: Literal["all", "shared"] = "shared",
        transports: Mapping[str, Transport] | None = None,
        security: Sequence[Literal["tls", "noise"]] = ("tls", "noise"),
        discoveries: Sequence[Discovery] = (),
        bytes_per_second: int | None = None,
    ) -> None:
        self._store = store
        self._agent = agent
        self._limiter = anyio.CapacityLimiter(THREADS)
        self.serving = ServingStore(store._core, self._limiter, serves_all=serve == "all")
        places = transports if transports is not None else dict.fromkeys(("ip4", "ip6", "ip6zone"), TcpTransport())
        self.swarm = Swarm(
            identity, os.urandom(32), places, agent=agent, security=security, bytes_per_second=bytes_per_second
        )
        self.exchange = Exchange(self.serving)
        self._discoveries = tuple(discoveries)
        self._found: dict[str, Found] = {}
        self._has_found = anyio.Event()
        for protocol in READABLE:
            self.swarm.handle(protocol, self.exchange.peer_stream)
        self.swarm.on_open.append(self.exchange.peer_open)
        self.swarm.on_closed.append(self.exchange.peer_closed)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.swarm.run)
            tasks.start_soon(self.exchange.serve, name="shoal serve")
            for discovery in self._discoveries:
                tasks.start_soon(self._discover, discovery, name=f"shoal {discovery.name}")
            if self._discoveries:
                tasks.start_soon(self._connect_found, name="shoal connect")
            task_status.started()

    async def _discover(self, discovery: Discovery) -> None:
        """Runs a discovery, and begins it anew whenever this node listens somewhere else."""
        while True:
            listened = self.swarm.listened
            addresses = tuple(self.swarm.bound)
            announce = Announcement(self.swarm.id, addresses) if addresses else None
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(discovery.run, announce, self._take_found)
                await listened.wait()
                tasks.cancel_scope.cancel()

    def _take_found(self, found: Found) -> None:
        if found.peer != self.swarm.id and (found.peer in self._found or len(self._found) < FOUND_MAX):
            self._found[found.peer] = found
            self._has_found.set()

    async def _connect_found(self) -> None:
        """Connects to who was found, a few at a time. Who cannot be reached is tried when it is found again."""
        while True:
            await self._has_found.wait()
            self._has_found = anyio.Event()
            found, self._found = self._found, {}
            async with anyio.create_task_group() as tasks:
                for each in found.values():
                    if len(self.swarm.peers) < FOUND_PEERS_MAX:
                        tasks.start_soon(self._connect_one, each)

    async def _connect_one(self, found: Found) -> None:
        with suppress(ShoalError):
            await self.swarm.connect(found.peer, found.addresses)

    async def _run(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    # Looking

    def id(self) -> NodeId:
        """What this node is to others."""
        addrs = [f"{address}/p2p/{self.swarm.id}" for address in self.swarm.addresses]
        return NodeId(self.swarm.id, addrs, self.swarm.protocols, self._agent)

    def peers(self) -> list[PeerInfo]:
        """Who is connected."""
        return [_about(peer) for peer in self.swarm.peers]

    # Doing

    async def connect(self, address: str, *more: str) -> str:
        """Connects to a peer by addresses that may end in its id, `/ip4/…/tcp/…/p2p/ID`: its id.

        Raises `InvalidAddress`, and `Unreachable` where nobody answers as that peer.
        """
        named = {peer for place in (address, *more) if (peer := split_address(place)[1]) is not None}
        if len(named) > 1:
            raise InvalidInput("these are addresses of different peers; connect to one at a time")
        return (await self.swarm.connect(next(iter(named), None), (address, *more))).id

    async def ping(self, peer_id: str) -> float:
        """Seconds that 32 bytes take to a connected peer and back. Raises `Unreachable` where it is not connected or silent."""
        peer = self.swarm.peer(canonical_peer_id(peer_id))
        if peer is None:
            raise Unreachable(f"peer {peer_id} is not connected; connect to one of its addresses first")
        try:
            took = await peer.ping()
        except ConnectionLost as error:
            raise Unreachable(f"peer {peer_id} is not connected any more; connect to it again") from error
        if took is None and peer.end_reason is not None:
            raise Unreachable(f"the connection to peer {peer_id} ended before the answer came: {peer.end_reason}")
        if took is None:
            raise Unreachable(f"peer {peer_id} is connected, and did not answer a ping in 10 s")
        return took

    async def share(self, root: CID) -> None:
        """Lets peers fetch what is under a root. Raises `NotFound` or `Incomplete` where it is not all here."""
        if root not in self.serving.shared:
            watch = self._store._watch("share")
            self.serving.shared[root] = await self._run(lambda: self._store._core.members(root, watch))

    def unshare(self, root: CID) -> bool:
        """Takes that back; whether it was shared. What is under way is finished."""
        return self.serving.shared.pop(root, None) is not None

    async def fetch(
        self,
        content: Content,
        transfer: Transfer[T],
        *,
        ways: Sequence[Sequence[str]] = (),
        bytes_total: int | None = None,
        patience: float = PATIENCE_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109 - it ends the session, which then says why
        pin: bool = False,
        finish: Callable[[CID], Awaitable[None]] | None = None,
    ) -> Fetched:
        """Brings everything under `content` into the store, and pins it if asked. `ways`: for each peer that is said to have it, the
        addresses that it may be at. A connection to one of them that is lost is made again. `finish` is called with the root while all
        that came is still kept from every collection.
        """
        begun_at = anyio.current_time()
        ends_at = None if timeout is None else begun_at + timeout
        fetches: list[Fetch] = []
        transfer.report = lambda: self._progress(fetches, bytes_total)

        likely: set[str] = set()

        def begin(root: CID, lease: Lease, *, is_alone: bool = False) -> Fetch:
            store = FetchingStore(self._store._core, lease, self._limiter)
            seed = int.from_bytes(os.urandom(4))
            fetch = Fetch(self.exchange, store, root, seed=seed, patience=patience, ends_at=ends_at, is_alone=is_alone)
            fetch.likely = likely
            fetches.append(fetch)
            return fetch

        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            try:
                await self._reach(ways, likely, tasks)
                root = await self._fetch_under_lease(content, begin, pin=pin, finish=finish)
            except Exception as error:  # noqa: BLE001 - a task group would wrap it
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        first_at = min((fetch.first_at for fetch in fetches if fetch.first_at is not None), default=None)
        return Fetched(
            root,
            sum(fetch.stored_bytes for fetch in fetches),
            sum(fetch.stored_blocks for fetch in fetches),
            anyio.current_time() - begun_at,
            None if first_at is None else first_at - begun_at,
            _by_peer(fetches),
            sum(fetch.session.statistics.duplicate_bytes for fetch in fetches),
        )

    async def _fetch_under_lease(
        self,
        content: Content,
        begin: Callable[..., Fetch],
        *,
        pin: bool,
        finish: Callable[[CID], Awaitable[None]] | None,
    ) -> CID:
        lease = await self._run(self._store.lease)
        try:
            root = await self._resolve(content, lambda cid: begin(cid, lease, is_alone=True))
            await begin(root, lease).run()
            if pin:
                await self._run(lambda: self._store.pin.add(root))
            if finish is not None:
                await finish(root)
        finally:
            with anyio.CancelScope(shield=True):
                await self._run(lease.close)
        return root

    async def _reach(self, ways: Sequence[Sequence[str]], likely: set[str], tasks: TaskGroup) -> None:
        """Connects to the peers of a fetch, and keeps at it in `tasks`. Raises what was wrong where nobody can be asked at all."""
        errors: list[ShoalError] = []

        async def first(way: Sequence[str]) -> None:
            try:
                likely.add(await self.connect(*way))
            except ShoalError as error:
                errors.append(error)

        async with anyio.create_task_group() as tries:
            for way in ways:
                tries.start_soon(first, way)
        if errors and not self.swarm.peers:
            raise errors[0]
        for way in ways:
            tasks.start_soon(self._stay_connected, way, likely, name="shoal reconnect")

    async def _stay_connected(self, way: Sequence[str], likely: set[str]) -> None:
        """Connects again to a peer whose connection is lost, for as long as it has done nothing wrong."""
        seconds = REDIAL_SECONDS_MIN
        while True:
            try:
                peer = await self.connect(*way)
            except ShoalError:
                seconds = min(2 * seconds, REDIAL_SECONDS_MAX)
            else:
                seconds = REDIAL_SECONDS_MIN
                likely.add(peer)
                self.exchange.likely(peer)
                await self.swarm.lost(peer)
                if peer in self.exchange.dropped:
                    return
            await anyio.sleep(seconds)

    async def _resolve(self, content: Content, begin: Callable[[CID], Fetch]) -> CID:
        """The CID that a path leads to; blocks on the way that are not here are fetched."""
        before: CID | None = None
        for _ in range(STEPS_MAX):
            try:
                cid, rest = await self._run(lambda: self._store.resolve(content))
            except (Incomplete, NotFound) as error:
                missing = error.cid
                # The same one twice is here, or cannot be had: the error says what is wrong with it.
                if missing is None or missing == before:
                    raise
                before = missing
                await begin(missing).run()
            else:
                if rest:
                    raise InvalidInput(f"{content} leads into an object, not to one; leave out {rest!r}")
                return cid
        raise InvalidInput(f"{content} is a path of more than {STEPS_MAX} steps")

    def _progress(self, fetches: list[Fetch], bytes_total: int | None) -> TransferProgress:
        size, blocks = sum(fetch.stored_bytes for fetch in fetches), sum(fetch.stored_blocks for fetch in fetches)
        peers, waiting = _by_peer(fetches), None
        if fetches and not peers:
            count = len(self.swarm.peers)
            waiting = f"asking {count} peer{'s' if count != 1 else ''}" if count else "no peer is connected"
        return TransferProgress("get", size, bytes_total, blocks, None, None, peers, waiting)


def _by_peer(fetches: Sequence[Fetch]) -> dict[str, int]:
    """Bytes that each peer gave to any of them."""
    given: Counter[str] = Counter()
    for fetch in fetches:
        given.update(fetch.by_peer)
    return dict(given)


def _about(peer: Peer) -> PeerInfo:
    said = peer.identified
    return PeerInfo(
        peer.id,
        peer.address,
        "out" if peer.is_dialed else "in",
        peer.security,
        None if said is None else said.agent,
        [] if said is None else said.protocols,
        peer.round_trip,
        peer.received_bytes,
        peer.sent_bytes,
    )
