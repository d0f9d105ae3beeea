"""Fetches through a bad network: slow, far, cut, half-open, killed, stopped, full. Each completes, or ends with a sentence that says why.

A proxy on loopback stands between two nodes and does to their bytes what a network does. Its dice are seeded.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest

import shoal
from shoal.errors import FetchFailed, StoreFull, Unreachable

KIB = 1024
MIB = 1024 * KIB

pytestmark = [pytest.mark.anyio]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


class Proxy:
    """A way to a node. What it does to the bytes can be changed while they are under way."""

    def __init__(self, target: str, seed: int = 1) -> None:
        words = target.split("/")
        self._target = (words[2], int(words[4]))
        self._peer = target.partition("/p2p/")[2]
        self._dice = random.Random(seed)
        self.delay = 0.0
        """Seconds that each piece is under way, in each direction, and as much again at most by the dice."""
        self.rate: float | None = None
        """Bytes per second, each way."""
        self.passed = 0
        """Bytes that were carried."""
        self._may_pass = anyio.Event()
        self._may_pass.set()
        self._open: list[anyio.abc.SocketStream] = []
        self.address = ""

    def cut(self) -> None:
        """Nothing goes through from here on; nobody is told."""
        self._may_pass = anyio.Event()

    def mend(self) -> None:
        """It goes on where it was."""
        self._may_pass.set()

    async def reset(self) -> None:
        """Ends every connection."""
        for stream in self._open:
            await stream.aclose()
        self._open.clear()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        self.address = f"/ip4/127.0.0.1/tcp/{port}/p2p/{self._peer}"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._carry)
            yield self
            tasks.cancel_scope.cancel()
        await listener.aclose()

    async def _carry(self, near: anyio.abc.SocketStream) -> None:
        try:
            far = await anyio.connect_tcp(*self._target)
        except OSError:
            await near.aclose()
            return
        self._open += [near, far]
        async with near, far, anyio.create_task_group() as tasks:
            tasks.start_soon(self._way, near, far, tasks.cancel_scope)
            tasks.start_soon(self._way, far, near, tasks.cancel_scope)

    async def _way(
        self, source: anyio.abc.SocketStream, target: anyio.abc.SocketStream, scope: anyio.CancelScope
    ) -> None:
        sender, pieces = anyio.create_memory_object_stream[tuple[float, bytes]](64)

        async def read() -> None:
            with sender:
                try:
                    async for data in source:
                        due = anyio.current_time() + self.delay * (1 + self._dice.random())
                        await sender.send((due, data))
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            with pieces:
                async for due, data in pieces:
                    await anyio.sleep_until(due)
                    if self.rate is not None:
                        await anyio.sleep(len(data) / self.rate)
                    await self._may_pass.wait()
                    self.passed += len(data)
                    try:
                        await target.send(data)
                    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                        scope.cancel()
            scope.cancel()


class Pair:
    """A node that has something, one that wants it, and the way between them."""

    def __init__(self, giver: shoal.Node, taker: shoal.Node, proxy: Proxy) -> None:
        self.giver, self.taker, self.proxy = giver, taker, proxy

    async def offer(self, size: int) -> shoal.CID:
        self.data = os.urandom(size)
        cid = (await self.giver.add(self.data)).cid
        await self.giver.serve(cid)
        return cid


@pytest.fixture
async def pair(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Pair]:
    with anyio.fail_after(100):
        async with shoal.Node(tmp_path / "giver") as giver, shoal.Node(tmp_path / "taker") as taker:
            (address,) = await giver.listen()
            async with Proxy(address).running() as proxy:
                yield Pair(giver, taker, proxy)


async def until(is_so: Callable[[], object], seconds: float = 30.0) -> None:
    with anyio.fail_after(seconds):
        while not is_so():
            await anyio.sleep(0.005)


async def test_a_far_peer_is_used_to_the_full_and_nothing_comes_twice(pair: Pair) -> None:
    cid = await pair.offer(8 * MIB)
    pair.proxy.delay = 0.05
    fetched = await pair.taker.fetch(cid, peers=[pair.proxy.address])
    assert fetched.duplicate_bytes == 0
    assert await pair.taker.read(cid) == pair.data
    # Block by block it would be a quarter of a second each, at the least.
    assert fetched.seconds < 0.15 * 8 * 4


async def test_a_narrow_way_is_enough(pair: Pair) -> None:
    cid = await pair.offer(6 * MIB)
    pair.proxy.rate = 4e6
    fetched = await pair.taker.fetch(cid, peers=[pair.proxy.address], patience=5)
    assert fetched.duplicate_bytes == 0
    assert await pair.taker.read(cid) == pair.data


async def test_a_way_that_is_cut_for_some_seconds_is_waited_for(pair: Pair) -> None:
    cid = await pair.offer(48 * MIB)
    fetch = pair.taker.fetch(cid, peers=[pair.proxy.address])

    async def interrupt() -> None:
        await until(lambda: pair.proxy.passed > 2 * MIB)
        pair.proxy.cut()
        await anyio.sleep(5)
        pair.proxy.mend()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(interrupt)
        fetched = await fetch
    assert fetched.seconds > 4
    assert fetched.duplicate_bytes <= 2 * MIB
    assert await pair.taker.read(cid) == pair.data


async def test_a_way_that_is_cut_for_good_ends_the_fetch_with_its_reason(pair: Pair) -> None:
    cid = await pair.offer(48 * MIB)
    fetch = pair.taker.fetch(cid, peers=[pair.proxy.address], patience=3)

    async def interrupt() -> None:
        await until(lambda: pair.proxy.passed > 2 * MIB)
        pair.proxy.cut()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(interrupt)
        begun = anyio.current_time()
        with pytest.raises(FetchFailed, match="goes on from there"):
            await fetch
    assert anyio.current_time() - begun < 20
    before = (await pair.taker.stat()).bytes
    pair.proxy.mend()
    await pair.proxy.reset()
    rest = await pair.taker.fetch(cid, peers=[pair.proxy.address])
    assert await pair.taker.read(cid) == pair.data
    assert rest.bytes + before <= len(pair.data) + MIB


async def test_a_connection_that_breaks_is_made_again(pair: Pair) -> None:
    cid = await pair.offer(48 * MIB)
    fetch = pair.taker.fetch(cid, peers=[pair.proxy.address])

    async def interrupt() -> None:
        for passed in (2 * MIB, 12 * MIB, 24 * MIB):
            await until(lambda passed=passed: pair.proxy.passed > passed)
            await pair.proxy.reset()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(interrupt)
        fetched = await fetch
    # What was under way is lost with the connection, and what was stored does not come again.
    assert fetched.bytes < len(pair.data) + 64 * KIB
    assert await pair.taker.read(cid) == pair.data


async def test_a_peer_that_is_stopped_gives_way_to_another(pair: Pair, tmp_path: Path) -> None:
    cid = await pair.offer(32 * MIB)
    async with shoal.Node(tmp_path / "other") as other:
        await other.add(pair.data)
        await other.serve(cid)
        (second,) = await other.listen()
        first = await pair.taker.connect(pair.proxy.address)
        fetch = pair.taker.fetch(cid)

        async def interrupt() -> None:
            await until(lambda: pair.proxy.passed > MIB)
            pair.proxy.cut()
            await pair.taker.connect(second)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(interrupt)
            fetched = await fetch
        assert await pair.taker.read(cid) == pair.data
        assert set(fetched.peers) == {first, (await other.id()).id}
        assert fetched.duplicate_bytes <= len(pair.data) // 50 + 2 * MIB


PEER = textwrap.dedent(
    """
    import sys, anyio, shoal
    async def main():
        async with shoal.Node(sys.argv[1], listen=["/ip4/127.0.0.1/tcp/0"]) as node:
            cid = (await node.add(sys.argv[2])).cid
            await node.serve(cid)
            print(cid, (await node.id()).addrs[0], flush=True)
            await anyio.sleep_forever()
    anyio.run(main)
    """
)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_process_that_is_killed_or_stopped_ends_in_a_reason(
    tmp_path: Path, how: signal.Signals, anyio_backend: str
) -> None:
    data = os.urandom(64 * MIB)
    (tmp_path / "data").write_bytes(data)
    process = subprocess.Popen(
        [sys.executable, "-c", PEER, str(tmp_path / "giver"), str(tmp_path / "data")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = await anyio.to_thread.run_sync(process.stdout.readline)
        cid, address = line.split()
        async with shoal.Node(tmp_path / "taker") as taker:
            fetch = taker.fetch(cid, peers=[address], patience=2)

            async def interrupt() -> None:
                await until(lambda: fetch.progress.bytes)
                process.send_signal(how)

            begun = anyio.current_time()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(interrupt)
                with pytest.raises(FetchFailed, match="goes on from there"):
                    await fetch
            assert anyio.current_time() - begun < 30
            if how == signal.SIGSTOP:
                process.send_signal(signal.SIGCONT)
                await taker.fetch(cid, peers=[address])
                assert await taker.read(cid) == data
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def test_a_disk_that_is_full_ends_the_fetch_and_nothing_else(pair: Pair, tmp_path: Path) -> None:
    cid = await pair.offer(16 * MIB)
    async with shoal.Node(tmp_path / "small", size_max=4 * MIB) as small:
        with pytest.raises(StoreFull):
            await small.fetch(cid, peers=[pair.proxy.address])
        assert await small.peers()
        other = (await pair.giver.add(b"small enough")).cid
        await pair.giver.serve(other)
        await small.fetch(other)
        assert await small.read(other) == b"small enough"


async def test_nobody_at_an_address_is_told_at_once(pair: Pair) -> None:
    begun = anyio.current_time()
    with pytest.raises(Unreachable, match="refused"):
        await pair.taker.fetch(shoal.CID.of(b"x"), peers=["/ip4/127.0.0.1/tcp/1"])
    assert anyio.current_time() - begun < 5
