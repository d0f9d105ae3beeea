"""A Shoal node and a Kubo daemon fetch from each other over real sockets, and stay together through what daemons do.

Each case moves content that no other case has, so that all of it has to cross the wire; it is then written out by the side
that fetched it and compared whole. Small shapes go through the whole cross product, large ones once for each direction and
profile. SHOAL_CONNECTED_SECONDS says how long the two stay connected with traffic (20).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

import shoal
from interop.content import MIB, Shape, assert_same, nothing_left
from shoal.errors import FetchFailed, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import KuboDaemon


pytestmark = [pytest.mark.interop, pytest.mark.anyio]

FETCH_SECONDS = 120
CONNECTED_SECONDS = float(os.environ.get("SHOAL_CONNECTED_SECONDS") or 20)
# A line of `ipfs ping` that says how long it took, and not that it failed.
PONG = "Pong received: time="

KUBO_FLAGS = {"unixfs-v1-2025": [], "blake3": ["--hash=blake3"]}
# Profile, event loop and security of the large cases: each of them once.
LARGE = [("unixfs-v1-2025", "asyncio", "tls"), ("blake3", "trio", "noise")]


SMALL = [
    Shape("file", bytes=3 * MIB + 5),
    Shape("tree", files=60, folders=7),
    Shape("sharded", files=60, links_max=5, fanout=8),
]
BIG_FILE = Shape("file", bytes=256 * MIB)
BIG_TREE = Shape("tree", files=10_000, folders=200)
BIG_SHARDED = Shape("sharded", files=10_000, links_max=100)


@pytest.fixture
def daemon(start_daemon: Callable[..., KuboDaemon]) -> KuboDaemon:
    return start_daemon("daemon")


async def kubo_says(daemon: KuboDaemon, *arguments: str | os.PathLike[str]) -> str:
    """A command of Kubo's, while our event loop goes on."""
    return await anyio.to_thread.run_sync(lambda: daemon.word(*arguments))


async def connect(node: shoal.Node, daemon: KuboDaemon, dialler: str) -> None:
    if dialler == "shoal":
        assert await node.connect(daemon.address) == daemon.id
    else:
        (address,) = await node.listen()
        await kubo_says(daemon, "swarm", "connect", address)
    (peer,) = await node.peers()
    assert (peer.id, peer.direction) == (daemon.id, "out" if dialler == "shoal" else "in")


async def shoal_fetches(node: shoal.Node, daemon: KuboDaemon, shape: Shape, profile: str, source: Path) -> None:
    """Added to Kubo, fetched by us, and equal."""
    root = await kubo_says(daemon, "add", "-Q", "-r", "--pin=false", *KUBO_FLAGS[profile], *shape.kubo_flags, source)
    with anyio.fail_after(FETCH_SECONDS):
        fetched = await node.fetch(root)
    assert fetched.peers == {daemon.id: fetched.bytes}
    assert fetched.duplicate_bytes == 0
    target = source.with_name("fetched")
    await node.get(root, target)
    assert_same(source, target)
    # Shoal says the same of it: nothing was taken for something else on the way.
    assert (await node.add(source, profile=shape.profile(profile), only_hash=True)).cid == fetched.cid
    await assert_shards(node, fetched.cid, shape)


async def kubo_fetches(node: shoal.Node, daemon: KuboDaemon, shape: Shape, profile: str, source: Path) -> None:
    """Added to us, fetched by Kubo, and equal."""
    root = (await node.add(source, profile=shape.profile(profile))).cid
    await assert_shards(node, root, shape)
    target = source.with_name("fetched")
    with anyio.fail_after(FETCH_SECONDS):
        # Pinning fetches many blocks at a time; `get` alone goes from file to file.
        await kubo_says(daemon, "pin", "add", "--progress=false", str(root))
    await kubo_says(daemon, "get", "--progress=false", "-o", target, str(root))
    assert_same(source, target)
    await kubo_says(daemon, "pin", "rm", str(root))


async def assert_shards(node: shoal.Node, root: object, shape: Shape) -> None:
    """A directory that ought to be sharded is: its root links to shards, not to each file."""
    if shape.links_max:
        links = [link async for link in node.refs(root)]
        assert len(links) <= shape.fanout < shape.files


@pytest.mark.parametrize("profile", KUBO_FLAGS)
@pytest.mark.parametrize("dialler", ["shoal", "kubo"])
@pytest.mark.parametrize("security", ["tls", "noise"])
async def test_files_trees_and_shards_go_both_ways(anyio_backend, daemon, folder, paint, security, dialler, profile):
    async with nothing_left(anyio_backend), shoal.Node(folder / "store", serve="all", security=[security]) as node:
        await connect(node, daemon, dialler)
        assert (await node.peers())[0].security == security
        for shape in SMALL:
            for move in (shoal_fetches, kubo_fetches):
                seed = f"{folder.name} {shape.name} {move.__name__}"
                source = shape.make(paint, folder / f"{shape.name} {move.__name__}" / "source", seed)
                await move(node, daemon, shape, profile, source)


@pytest.mark.parametrize(("profile", "anyio_backend", "security"), LARGE)
@pytest.mark.parametrize("shape", [BIG_FILE, BIG_TREE, BIG_SHARDED], ids=lambda shape: shape.name)
async def test_large_ones_go_both_ways(anyio_backend, daemon, folder, paint, shape, profile, security):
    async with nothing_left(anyio_backend), shoal.Node(folder / "store", serve="all", security=[security]) as node:
        await connect(node, daemon, "shoal")
        for move in (shoal_fetches, kubo_fetches):
            source = shape.make(paint, folder / move.__name__ / "source", f"{folder.name} {move.__name__}")
            await move(node, daemon, shape, profile, source)


@pytest.mark.parametrize("security", ["TLS", "Noise"])
async def test_a_kubo_that_speaks_one_of_the_two_is_understood(anyio_backend, start_daemon, folder, paint, security):
    """Here it is Kubo that leaves us no choice; above it was us."""
    other = {"TLS": "Noise", "Noise": "TLS"}[security]
    daemon = start_daemon(f"daemon-{security}", **{f"Swarm__Transports__Security__{other}": False})
    source = Shape("file", bytes=MIB + 1).make(paint, folder / "here" / "source", folder.name)
    for dialler in ("shoal", "kubo"):
        async with nothing_left(anyio_backend), shoal.Node(folder / dialler, serve="all") as node:
            await connect(node, daemon, dialler)
            assert (await node.peers())[0].security == security.lower()
            await kubo_fetches(node, daemon, Shape("file"), "blake3", source)
            source.with_name("fetched").unlink()
            await kubo_says(daemon, "repo", "gc", "--quiet")


async def test_each_pings_the_other_and_knows_what_it_is(anyio_backend, daemon, folder):
    async with nothing_left(anyio_backend), shoal.Node(folder / "store") as node:
        (address,) = await node.listen()
        await node.connect(daemon.address)
        assert 0 < await node.ping(daemon.id) < 5
        me = await node.id()
        assert PONG in await kubo_says(daemon, "ping", "-n", "2", me.id)
        # Identify has come by now: the pings were after it.
        (peer,) = await node.peers()
        assert peer.agent == daemon.agent
        assert {"/ipfs/bitswap/1.2.0", "/ipfs/ping/1.0.0", "/ipfs/id/1.0.0"} <= set(peer.protocols)
        seen = json.loads(await kubo_says(daemon, "id", me.id))
        assert (seen["ID"], seen["AgentVersion"]) == (me.id, f"shoal/{shoal.__version__}")
        assert "/ipfs/bitswap/1.2.0" in seen["Protocols"]
        assert seen["Addresses"] == [address]
        assert await node.disconnect(daemon.id)
        with pytest.raises(Unreachable, match="not connected"):
            await node.ping(daemon.id)


async def test_an_address_that_is_told_later_is_pushed(anyio_backend, daemon, folder):
    """identify/push: Kubo learns of a listener that was opened while it was connected."""
    async with nothing_left(anyio_backend), shoal.Node(folder / "store") as node:
        await node.connect(daemon.address)
        me = (await node.id()).id
        assert me in await kubo_says(daemon, "swarm", "peers")
        (address,) = await node.listen()
        with anyio.fail_after(10):
            while json.loads(await kubo_says(daemon, "id", me))["Addresses"] != [address]:
                await anyio.sleep(0.1)


async def until_under_way(transfer: shoal.Operation, count: int) -> None:
    with anyio.fail_after(30):
        while transfer.progress.bytes < count:
            await anyio.sleep(0.005)


async def fails(transfer: shoal.Operation, errors: list[FetchFailed]) -> None:
    with pytest.raises(FetchFailed) as caught:
        await transfer
    errors.append(caught.value)


async def test_a_kubo_that_is_killed_ends_the_fetch_with_its_reason_and_once_restarted_goes_on(
    anyio_backend, start_daemon, folder, paint
):
    daemon = start_daemon("daemon-killed")
    source = BIG_FILE.make(paint, folder / "here" / "source", folder.name)
    root = await kubo_says(daemon, "add", "-Q", source)
    async with nothing_left(anyio_backend), shoal.Node(folder / "store") as node:
        transfer = node.fetch(root, peers=[daemon.address], patience=2)
        errors: list[FetchFailed] = []
        async with anyio.create_task_group() as group:
            group.start_soon(fails, transfer, errors)
            await until_under_way(transfer, 32 * MIB)
            daemon.kill()
            came = transfer.progress.bytes
            with anyio.fail_after(15):
                await transfer._done.wait()
        (error,) = errors
        assert "the same command goes on from there" in str(error)
        assert came < BIG_FILE.bytes
        assert await node.peers() == []
        await anyio.to_thread.run_sync(daemon.start)
        with anyio.fail_after(FETCH_SECONDS):
            fetched = await node.fetch(root, peers=[daemon.address])
        # What had come was not asked for again.
        assert fetched.bytes <= BIG_FILE.bytes + MIB - came
        await node.get(root, folder / "fetched")
        assert_same(source, folder / "fetched")
    await kubo_says(daemon, "pin", "rm", root)


async def test_a_kubo_that_stands_still_is_waited_for_as_long_as_patience_says(
    anyio_backend, start_daemon, folder, paint
):
    daemon = start_daemon("daemon-killed")
    source = Shape("file", bytes=96 * MIB).make(paint, folder / "here" / "source", folder.name)
    root = await kubo_says(daemon, "add", "-Q", "--pin=false", source)
    async with nothing_left(anyio_backend), shoal.Node(folder / "store") as node:
        for patience, outcome in ((3, "fails"), (60, "succeeds")):
            transfer = node.fetch(root, peers=[daemon.address], patience=patience)
            errors: list[FetchFailed] = []
            async with anyio.create_task_group() as group:
                if outcome == "fails":
                    group.start_soon(fails, transfer, errors)
                else:
                    group.start_soon(transfer._result)
                await until_under_way(transfer, 8 * MIB)
                daemon.signal(signal.SIGSTOP)
                try:
                    if outcome == "fails":
                        with anyio.fail_after(15):
                            await transfer._done.wait()
                    else:
                        await anyio.sleep(3)
                finally:
                    daemon.signal(signal.SIGCONT)
            assert bool(errors) == (outcome == "fails")
        await node.get(root, folder / "fetched")
        assert_same(source, folder / "fetched")


async def test_being_trimmed_by_kubos_connection_manager_ends_no_work(anyio_backend, start_daemon, folder, paint):
    """It lets two connections be and closes what comes above, at once: five nodes take from it and outlive that."""
    manager = {"Type": "basic", "LowWater": 1, "HighWater": 2, "GracePeriod": "0s"}
    daemon = start_daemon("daemon-trims", Swarm__ConnMgr=manager)
    source = Shape("file", bytes=24 * MIB).make(paint, folder / "here" / "source", folder.name)
    root = await kubo_says(daemon, "add", "-Q", source)
    trimmed = 0
    async with nothing_left(anyio_backend), contextlib.AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(shoal.Node(folder / f"store {n}")) for n in range(5)]
        for node in nodes:
            await node.connect(daemon.address)
        with anyio.move_on_after(40):
            while not (trimmed := 5 - sum([len(await node.peers()) for node in nodes])):
                await anyio.sleep(0.2)
        assert trimmed, "the manager trimmed nobody: nothing was tested"
        async with anyio.create_task_group() as group:
            with anyio.fail_after(FETCH_SECONDS):
                for node in nodes:
                    group.start_soon(lambda node=node: _fetch(node, root, daemon.address))
        for node in nodes:
            assert (await node.verify()).ok
            assert await node.read(root, 0, 100) == source.read_bytes()[:100]


async def _fetch(node: shoal.Node, root: str, address: str) -> None:
    await node.fetch(root, peers=[address])


async def test_they_stay_connected_with_traffic(anyio_backend, daemon, folder, paint, closing_note):
    """Pings, files and trees in both directions for SHOAL_CONNECTED_SECONDS over one connection that never breaks."""
    rounds = 0
    async with nothing_left(anyio_backend), shoal.Node(folder / "store", serve="all") as node:
        await connect(node, daemon, "kubo")
        me = (await node.id()).id
        opened = node._network.swarm.peers
        ends_at = anyio.current_time() + CONNECTED_SECONDS
        while anyio.current_time() < ends_at:
            for shape in SMALL:
                for move in (shoal_fetches, kubo_fetches):
                    place = folder / f"{rounds} {shape.name} {move.__name__}"
                    source = shape.make(paint, place / "source", str(place))
                    await move(node, daemon, shape, "unixfs-v1-2025", source)
            await node.ping(daemon.id)
            assert PONG in await kubo_says(daemon, "ping", "-n", "1", me)
            # Quiet for a while, as connections are, and longer each time.
            await anyio.sleep(min(rounds, 30))
            rounds += 1
        assert node._network.swarm.peers == opened
    closing_note(f"connected with Kubo for {CONNECTED_SECONDS:.0f} s on {anyio_backend}: {rounds} rounds of traffic")
