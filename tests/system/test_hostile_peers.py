"""Peers that mean harm, against a live node on loopback: each is closed or ignored, memory stays, and an honest peer is served beside.

What hostile frames do to the machine under the node is in `rust/wire/tests`; here are sockets, tasks and memory.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
import pytest

import shoal
from shoal._core import Identity, bitswap_wants
from shoal.errors import FetchFailed
from shoal.peer import Peer, StreamUser
from shoal.swarm import OPENING_MAX, Swarm
from shoal.transport.tcp import TcpTransport

KIB = 1024
MIB = 1024 * KIB
BITSWAP = "/ipfs/bitswap/1.2.0"
GROWTH_MAX = 48 * MIB
"""What an attack may leave in memory: less than its own size in every test here, and more than an allocator's whims."""

pytestmark = [pytest.mark.anyio]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def node(tmp_path: Path, anyio_backend: str) -> AsyncIterator[shoal.Node]:
    async with shoal.Node(tmp_path / "node", listen=["/ip4/127.0.0.1/tcp/0"], serve="all") as node:
        yield node


def place_of(address: str) -> tuple[str, int]:
    words = address.split("/")
    return words[2], int(words[4])


async def address_of(node: shoal.Node) -> str:
    return (await node.id()).addrs[0]


async def until(is_so: Callable[[], object], seconds: float = 20.0) -> None:
    with anyio.fail_after(seconds):
        while not is_so():
            await anyio.sleep(0.01)


async def honest(node: shoal.Node, folder: Path) -> None:
    """An honest peer gets what it asks for."""
    data = os.urandom(2 * MIB)
    cid = (await node.add(data)).cid
    async with shoal.Node(folder) as other:
        with anyio.fail_after(30):
            await other.fetch(cid, peers=[await address_of(node)])
        assert await other.read(cid) == data


class Deaf:
    """The user of a stream who does nothing."""

    def opened(self, protocol: str) -> None: ...
    def readable(self) -> None: ...
    def writable(self) -> None: ...
    def gone(self, reason: str) -> None: ...


class Says(Deaf):
    """A stream that says one thing, as fast as it is taken, and hears nothing."""

    def __init__(self, peer: Peer, data: bytes, *, times: int = 1) -> None:
        self._peer = peer
        self._data = data
        self._times = times
        self._offset = 0
        self.said = 0
        self.end: str | None = None
        self.stream = peer.open([BITSWAP], self)

    def opened(self, protocol: str) -> None:
        self.writable()

    def readable(self) -> None:
        self._peer.read(self.stream, 64 * KIB)

    def writable(self) -> None:
        while self.said < self._times:
            written = self._peer.write(self.stream, self._data, self._offset)
            if written is None:
                return
            self._offset += written
            if self._offset < len(self._data):
                return
            self._offset = 0
            self.said += 1

    def gone(self, reason: str) -> None:
        self.end = reason


@asynccontextmanager
async def attacker(
    node: shoal.Node, *, answers: Callable[[Peer, int], StreamUser | None] | None = None
) -> AsyncIterator[Peer]:
    """A connection of somebody who keeps the rules until the streams are open."""
    swarm = Swarm(Identity.from_seed(os.urandom(32)), os.urandom(32), {"ip4": TcpTransport()}, agent="attacker/1")
    swarm.handle(BITSWAP, answers or (lambda _peer, _stream: Deaf()))
    async with anyio.create_task_group() as tasks:
        await tasks.start(swarm.run)
        yield await swarm.connect(None, [await address_of(node)])
        tasks.cancel_scope.cancel()


def framed(message: bytes) -> bytes:
    length, out = len(message), b""
    while length >= 0x80:
        out += bytes([length & 0x7F | 0x80])
        length >>= 7
    return out + bytes([length]) + message


@pytest.fixture
def memory(anyio_backend: str) -> Callable[[], int]:
    """How much the process has grown since."""
    gc.collect()
    before = psutil.Process().memory_info().rss

    def growth() -> int:
        gc.collect()
        return psutil.Process().memory_info().rss - before

    return growth


@pytest.mark.parametrize(
    "first",
    [b"", b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\x13/multistream/1.0.0\n\xff\xff\xff\xff\x7f", os.urandom(4096)],
)
async def test_whoever_talks_nonsense_first_is_closed_at_once(node: shoal.Node, first: bytes, tmp_path: Path) -> None:
    stream = await anyio.connect_tcp(*place_of(await address_of(node)))
    async with stream:
        await stream.send(first)
        if not first:
            await stream.send_eof()
        with anyio.fail_after(5):
            while True:
                try:
                    await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    break
    await honest(node, tmp_path / "other")


async def test_connections_that_never_say_who_they_are_bar_nobody(
    node: shoal.Node, tmp_path: Path, memory: Callable[[], int]
) -> None:
    place = place_of(await address_of(node))
    sockets = [socket.create_connection(place) for _ in range(OPENING_MAX - 16)]
    try:
        for each in sockets:
            each.send(b"\x13")
        await honest(node, tmp_path / "other")
        assert memory() < GROWTH_MAX
    finally:
        for each in sockets:
            each.close()
    assert node._network is not None
    swarm = node._network.swarm
    await until(lambda: not swarm._unproven)


async def test_a_byte_now_and_then_does_not_keep_a_handshake_open(node: shoal.Node) -> None:
    begun = anyio.current_time()
    stream = await anyio.connect_tcp(*place_of(await address_of(node)))
    async with stream:
        with anyio.fail_after(20):
            for byte in b"\x13/multistream/1.0.0\n" * 20:
                try:
                    await stream.send(bytes([byte]))
                except anyio.BrokenResourceError:
                    break
                await anyio.sleep(0.5)
    assert anyio.current_time() - begun < 17


async def test_a_flood_of_wants_is_cut_to_what_one_peer_may_want(
    node: shoal.Node, tmp_path: Path, memory: Callable[[], int]
) -> None:
    absent = [shoal.CID.of(at.to_bytes(4)) for at in range(4096)]
    wants = bitswap_wants(absent, [], [], False, 1)
    async with attacker(node) as peer:
        flood = Says(peer, wants, times=30)
        await until(lambda: flood.said == 30, 60)
        assert node._network is not None
        server = node._network.exchange.server
        assert server.held <= 16 * KIB
        await honest(node, tmp_path / "other")
        assert memory() < GROWTH_MAX
    await until(lambda: server.held == 0)


async def test_a_peer_that_wants_everything_and_reads_nothing_costs_a_little(
    node: shoal.Node, tmp_path: Path, memory: Callable[[], int]
) -> None:
    cids = [(await node.add(os.urandom(MIB))).cid for _ in range(40)]
    place = await address_of(node)
    before = memory()
    swarm = Swarm(Identity.from_seed(os.urandom(32)), os.urandom(32), {"ip4": TcpTransport()}, agent="attacker/1")

    swarm.handle(BITSWAP, lambda _peer, _stream: Deaf())
    async with anyio.create_task_group() as tasks:
        await tasks.start(swarm.run)
        peer = await swarm.connect(None, [place])
        asks = Says(peer, bitswap_wants(cids, [], [], False, 1), times=50)
        await until(lambda: asks.said == 50)
        await anyio.sleep(1)
        assert node._network is not None
        assert node._network.exchange.server.outstanding_bytes <= 2 * MIB
        # What is under way fills the deaf peer's window, in this very process.
        assert memory() - before < GROWTH_MAX
        await honest(node, tmp_path / "other")
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff\x7f",
        framed(b"\xff" * 100),
        b"\x80" * 64,
        framed(b"\x0a\xff\xff\xff\xff\x0f"),
    ],
)
async def test_a_bitswap_stream_that_cannot_be_read_ends_the_connection(
    node: shoal.Node, data: bytes, tmp_path: Path
) -> None:
    async with attacker(node) as peer:
        Says(peer, data)
        await until(lambda: peer.end_reason is not None, 5)
    await honest(node, tmp_path / "other")


async def test_blocks_that_nobody_asked_for_are_not_stored_and_their_senders_dropped(node: shoal.Node) -> None:
    unasked = os.urandom(1000)
    block = b"\x0a\x04\x01\x55\x1e\x20\x12\xe8\x07" + unasked
    message = framed(b"\x1a" + bytes([len(block) & 0x7F | 0x80, len(block) >> 7]) + block)
    before = (await node.stat()).blocks
    async with attacker(node) as peer:
        flood = Says(peer, message, times=100)
        await until(lambda: flood.said == 100 or flood.end is not None)
        await anyio.sleep(0.2)
        # No fetch is under way: it is ignored.
        assert (await node.stat()).blocks == before
        assert peer.end_reason is None
        async with anyio.create_task_group() as tasks:

            async def speak() -> None:
                await until(lambda: node._network is not None and node._network.exchange._fetches)
                Says(peer, message, times=100)

            tasks.start_soon(speak)
            with pytest.raises(FetchFailed):
                await node.fetch(shoal.CID.of(b"absent"), patience=2)
        await until(lambda: peer.end_reason is not None)
    assert (await node.stat()).blocks == before
    assert node._network is not None
    assert "not asked for" in next(iter(node._network.exchange.dropped.values()))


async def test_wrong_bytes_are_never_stored_however_often_they_are_sent(node: shoal.Node) -> None:
    wanted = shoal.CID.of(b"wanted", hash="blake3")
    wrong = framed(b"\x1a\x0c\x0a\x04\x01\x55\x1e\x20\x12\x04evil")

    def answers(peer: Peer, stream: int) -> StreamUser | None:
        class Liar(Deaf):
            def readable(self) -> None:
                if peer.read(stream, 64 * KIB)[0]:
                    Says(peer, wrong, times=3)

        return Liar()

    async with attacker(node, answers=answers) as peer:
        with pytest.raises(FetchFailed):
            await node.fetch(wanted, patience=3)
        await until(lambda: peer.end_reason is not None)
    assert not await node.block.has(wanted)
    assert not await node.block.has(shoal.CID.of(b"evil", hash="blake3"))


async def test_a_thousand_streams_at_once_are_no_burden(
    node: shoal.Node, tmp_path: Path, memory: Callable[[], int]
) -> None:
    async with attacker(node) as peer:
        streams: list[Says] = []
        for _ in range(1000):
            try:
                streams.append(Says(peer, b""))
            except shoal.errors.ConnectionLost:
                await anyio.sleep(0.01)
        await anyio.sleep(0.5)
        await honest(node, tmp_path / "other")
        assert memory() < GROWTH_MAX


async def test_a_thousand_connections_one_after_the_other_leave_nothing(
    node: shoal.Node, memory: Callable[[], int]
) -> None:
    for _ in range(100):
        async with attacker(node):
            pass
    assert node._network is not None
    swarm = node._network.swarm
    await until(lambda: not swarm.peers)
    await until(lambda: not swarm._unproven)
    assert not node._network.exchange._links
    assert memory() < GROWTH_MAX
