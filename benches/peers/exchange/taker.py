"""A peer that asks for blocks and throws them away: the cheapest that a serving node can have, so that it is what is measured."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import anyio

from shoal._core import BitswapReader, Identity, bitswap_wants
from shoal.exchange.link import PRIORITY_FIRST, PROTOCOLS, READABLE
from shoal.exchange.message import Message
from shoal.swarm import Swarm
from shoal.transport.tcp import TcpTransport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup

    from shoal._core import CID
    from shoal.network import Network
    from shoal.peer import Peer

DIALS_AT_ONCE = 32
TAKE_SECONDS = 300


class Taker:
    """Wants that go out `wants` at a time, and are followed by others as blocks come."""

    def __init__(self, cids: Sequence[CID], wants: int) -> None:
        self._cids = cids
        self._asked = 0
        self._wants = wants
        self.blocks = 0
        self.bytes = 0
        self._peer: Peer | None = None
        self._stream = 0
        self._unwritten = b""
        self._over = anyio.Event()
        self._why: str | None = None

    async def run(self, swarm: Swarm, address: str) -> dict[str, object]:
        for protocol in READABLE:
            swarm.handle(protocol, lambda peer, stream: Answers(self, peer, stream))
        peer = self._peer = await swarm.connect(None, [address])
        started = time.perf_counter()
        self._stream = peer.open(PROTOCOLS, self)
        with anyio.fail_after(TAKE_SECONDS):
            await self._over.wait()
        if self._why is not None:
            raise ConnectionError(self._why)
        return {"seconds": time.perf_counter() - started, "blocks": self.blocks, "bytes": self.bytes}

    def _ask(self) -> None:
        """Half of the wants at least in one message, or the last of them."""
        room = self._wants - (self._asked - self.blocks)
        if self._unwritten or self._asked == len(self._cids) or room < self._wants // 2:
            return
        cids = self._cids[self._asked : self._asked + room]
        self._unwritten = bitswap_wants(cids, [], [], is_full=False, priority=PRIORITY_FIRST)
        self._asked += len(cids)
        self.writable()

    def opened(self, protocol: str) -> None:
        self._ask()

    def writable(self) -> None:
        assert self._peer is not None
        if self._unwritten:
            self._unwritten = self._unwritten[self._peer.write(self._stream, self._unwritten) or 0 :]

    def readable(self) -> None:
        """A peer has nothing to say on our stream."""

    def gone(self, reason: str) -> None:
        self.fail(reason)

    def fail(self, reason: str) -> None:
        if self.blocks < len(self._cids):
            self._why = f"after {self.blocks} of {len(self._cids)} blocks: {reason}"
        self._over.set()

    def came(self, blocks: Sequence[tuple[CID, object]], size: int) -> None:
        self.blocks += len(blocks)
        self.bytes += size
        if self.blocks >= len(self._cids):
            self._over.set()
        self._ask()


class Answers:
    """The stream on which a peer sends blocks."""

    def __init__(self, taker: Taker, peer: Peer, stream: int) -> None:
        self._taker, self._peer, self._stream = taker, peer, stream
        self._reader = BitswapReader()

    def opened(self, protocol: str) -> None:
        """It is the peer's."""

    def writable(self) -> None:
        """Nothing is said on it."""

    def readable(self) -> None:
        size = 1
        while size:
            messages, _, size = self._reader.read(self._peer.machine, self._stream, anyio.current_time())
            self._peer.progress()
            for parts in messages:
                blocks = Message._make(parts).blocks
                self._taker.came(blocks, sum(len(data) for _, data in blocks))

    def gone(self, reason: str) -> None:
        self._taker.fail(reason)


async def connect_many(network: Network, tasks: TaskGroup, address: str, count: int) -> int:
    """Connects as `count` peers, each with a key of its own. Their connections last as long as `tasks`."""
    limiter = anyio.CapacityLimiter(DIALS_AT_ONCE)
    secret = os.urandom(32)
    transport = TcpTransport()
    opened = 0

    async def connect() -> None:
        nonlocal opened
        async with limiter:
            swarm = Swarm(Identity.from_seed(os.urandom(32)), secret, {"ip4": transport}, agent="idle")
            await tasks.start(swarm.run)
            await swarm.connect(None, [address])
            opened += 1

    async with anyio.create_task_group() as dials:
        for _ in range(count):
            dials.start_soon(connect)
    return opened
