"""What nodes do for each other: blocks fetched whole and verified, resumed, from several peers, and nothing served that was not shared.

Real nodes and stores; TCP on loopback and memory run the same suite on asyncio and on trio.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import psutil
import pytest

import shoal
from shoal.discovery.base import Announcement, Discovery, Found
from shoal.errors import (
    Cancelled,
    FetchFailed,
    Incomplete,
    InvalidAddress,
    InvalidInput,
    InvalidTicket,
    NotFound,
    Unreachable,
)
from shoal.transport.memory import MemoryTransport

KIB = 1024
MIB = 1024 * KIB
PLACES = {"tcp": "/ip4/127.0.0.1/tcp/0", "memory": "/memory/0"}

pytestmark = [pytest.mark.anyio]


PERIOD = bytes((i * 7 + i // 251) % 256 for i in range(251 * 256))


def painted(size: int, seed: int = 0) -> bytes:
    """Bytes that differ from block to block, and by the seed."""
    at = seed * 977 % len(PERIOD)
    return (PERIOD[at:] + PERIOD * (size // len(PERIOD) + 1))[:size]


class World:
    """Nodes that can reach each other, each with a store of its own."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._transports = {"memory": MemoryTransport()} if kind == "memory" else None
        self._place = PLACES[kind]
        self.stack = AsyncExitStack()

    async def node(self, name: str, **options: object) -> shoal.Node:
        return await self.stack.enter_async_context(
            shoal.Node(self._folder / name, transports=self._transports, **options)  # type: ignore[arg-type]
        )

    async def sharing(self, name: str, content: Path | bytes, **options: object) -> tuple[shoal.Node, shoal.CID, str]:
        """A node that serves some content, and its address."""
        node = await self.node(name)
        added = await node.add(content, **options)  # type: ignore[arg-type]
        await node.serve(added.cid)
        (address,) = await node.listen(self._place)
        return node, added.cid, address

    async def listen(self, node: shoal.Node) -> str:
        (address,) = await node.listen(self._place)
        return address


@pytest.fixture(params=list(PLACES))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def world(tmp_path: Path, kind: str, anyio_backend: str) -> AsyncIterator[World]:
    world = World(tmp_path, kind)
    with anyio.fail_after(120):
        async with world.stack:
            yield world


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "deep" / "er").mkdir(parents=True)
    for at in range(300):
        (root / "deep" / f"{at:03}").write_bytes(painted(at * 97, at))
    (root / "deep" / "er" / "big").write_bytes(painted(3 * MIB + 1))
    (root / "empty").write_bytes(b"")
    return root


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def until(is_so: Callable[[], object], seconds: float = 10.0) -> None:
    with anyio.fail_after(seconds):
        while not is_so():
            await anyio.sleep(0.005)


async def test_a_tree_is_fetched_whole_and_is_the_same_on_disk(world: World, tree: Path, tmp_path: Path) -> None:
    _, cid, address = await world.sharing("a", tree)
    b = await world.node("b")
    fetched = await b.fetch(cid, peers=[address])
    assert fetched.cid == cid
    assert fetched.duplicate_bytes == 0
    assert list(fetched.peers.values()) == [fetched.bytes]
    stat = await b.dag.stat(cid)
    # The block of the empty file is known without asking.
    assert (fetched.blocks, fetched.bytes) == (stat.blocks - 1, stat.bytes)
    await b.get(cid, tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(tree)


@pytest.mark.parametrize("security", [["tls"], ["noise"]])
@pytest.mark.parametrize("profile", ["blake3", "blake3-cdc", "unixfs-v1-2025", "unixfs-v0-2015"])
async def test_every_profile_and_channel_carries(world: World, profile: str, security: list[str]) -> None:
    data = painted(2 * MIB + 77)
    _, cid, address = await world.sharing("a", data, profile=profile)
    b = await world.node("b", security=security)
    await b.fetch(cid, peers=[address])
    assert await b.read(cid) == data
    assert [peer.security for peer in await b.peers()] == security


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, MIB - 1, MIB, MIB + 1])
async def test_files_of_every_size_at_a_boundary(world: World, size: int) -> None:
    data = painted(size)
    _, cid, address = await world.sharing("a", data)
    b = await world.node("b")
    await b.fetch(cid, peers=[address])
    assert await b.read(cid) == data


async def test_what_was_not_shared_is_answered_as_if_it_were_not_there(world: World) -> None:
    a, shared, address = await world.sharing("a", painted(100))
    private = (await a.add(painted(5000, 1))).cid
    b = await world.node("b")
    with pytest.raises(FetchFailed, match="none has it") as failure:
        await b.fetch(private, peers=[address], patience=1)
    assert failure.value.cid == private
    assert not await b.block.has(private)
    await b.fetch(shared)
    assert await a.unserve(shared)
    c = await world.node("c")
    with pytest.raises(FetchFailed):
        await c.fetch(shared, peers=[address], patience=1)


async def test_a_node_that_serves_all_serves_what_is_added_later(world: World) -> None:
    a = await world.node("a", serve="all")
    address = await world.listen(a)
    b = await world.node("b")
    await b.connect(address)
    cid = (await a.add(painted(3000))).cid
    await b.fetch(cid)
    assert await b.read(cid) == painted(3000)


async def test_a_want_that_stands_is_answered_when_the_block_comes(world: World) -> None:
    a = await world.node("a", serve="all")
    address = await world.listen(a)
    cid = (await (await world.node("other")).add(painted(4000))).cid
    b = await world.node("b")
    giver = await world.node("giver", serve="all")
    await giver.add(painted(4000))
    giving = await world.listen(giver)
    fetch = b.fetch(cid, peers=[address], patience=60)

    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await fetch

        tasks.start_soon(run)
        await until(lambda: a._network is not None and a._network.exchange.server.is_awaited(cid))
        await a.fetch(cid, peers=[giving])
    assert await b.read(cid) == painted(4000)


async def test_a_second_fetch_asks_for_nothing(world: World, tree: Path) -> None:
    _, cid, address = await world.sharing("a", tree)
    b = await world.node("b")
    await b.fetch(cid, peers=[address])
    again = await b.fetch(cid)
    assert (again.blocks, again.bytes, again.first_seconds) == (0, 0, None)


async def test_a_fetch_goes_on_from_where_it_was_stopped(world: World) -> None:
    size = 64 * MIB
    _, cid, address = await world.sharing("a", painted(size))
    b = await world.node("b")
    fetch = b.fetch(cid, peers=[address])

    async def stop() -> None:
        await until(lambda: fetch.progress.bytes)
        fetch.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        with pytest.raises(Cancelled):
            await fetch
    here = (await b.stat()).bytes
    assert here
    rest = await b.fetch(cid)
    assert rest.bytes + here == (await b.dag.stat(cid)).bytes
    assert await b.read(cid) == painted(size)


async def test_whoever_waits_is_cancelled_and_the_fetch_with_them(world: World) -> None:
    a, _, address = await world.sharing("a", b"x")
    absent = shoal.CID.of(b"nobody has this")
    b = await world.node("b")
    with anyio.move_on_after(0.3) as scope:
        await b.fetch(absent, peers=[address])
    assert scope.cancelled_caught
    assert b._network is not None
    assert not b._network.exchange._fetches
    # The want is called back as well.
    assert a._network is not None
    server = a._network.exchange.server
    await until(lambda: not server.is_awaited(absent))


async def test_several_peers_share_one_fetch(world: World) -> None:
    data = painted(32 * MIB)
    addresses = []
    for name in "abc":
        _, cid, address = await world.sharing(name, data)
        addresses.append(address)
    d = await world.node("d")
    fetched = await d.fetch(cid, peers=addresses)
    assert len(fetched.peers) > 1
    assert fetched.duplicate_bytes <= fetched.bytes // 50
    assert await d.read(cid) == data


async def test_a_peer_that_leaves_half_way_is_made_up_for(world: World) -> None:
    data = painted(32 * MIB)
    _, cid, first = await world.sharing("a", data)
    other, _, second = await world.sharing("b", data)
    c = await world.node("c")
    leaving = await c.connect(first)
    await c.connect(second)
    fetch = c.fetch(cid)
    async for progress in fetch:
        if progress.bytes > len(data) // 8 and await c.disconnect(leaving):
            break
    fetched = await fetch
    assert (await other.id()).id in fetched.peers
    assert await c.read(cid) == data


async def test_when_the_only_peer_leaves_the_fetch_says_so_and_can_be_taken_up(world: World) -> None:
    data = painted(64 * MIB)
    _, cid, address = await world.sharing("a", data)
    b = await world.node("b")
    peer = await b.connect(address)
    fetch = b.fetch(cid, patience=1)

    async def leave() -> None:
        await until(lambda: fetch.progress.peers)
        await b.disconnect(peer)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave)
        with pytest.raises(FetchFailed, match="goes on from there"):
            await fetch
    with pytest.raises((Incomplete, NotFound)):
        await b.get(cid, Path(b.path) / "never")
    assert not (Path(b.path) / "never").exists()
    await b.fetch(cid, peers=[address])
    assert await b.read(cid) == data


async def test_two_fetches_at_once_do_not_blame_each_others_peers(world: World) -> None:
    a = await world.node("a", serve="all")
    address = await world.listen(a)
    roots = [(await a.add(painted(4 * MIB, seed))).cid for seed in range(4)]
    b = await world.node("b")
    await b.connect(address)

    async with anyio.create_task_group() as tasks:

        async def fetch(cid: shoal.CID) -> None:
            await b.fetch(cid)

        for cid in roots:
            tasks.start_soon(fetch, cid)
    assert b._network is not None
    assert not b._network.exchange.dropped
    for seed, cid in enumerate(roots):
        assert await b.read(cid) == painted(4 * MIB, seed)


async def test_a_path_is_fetched_along_its_names_and_nothing_beside_it(world: World, tree: Path) -> None:
    _, cid, address = await world.sharing("a", tree)
    b = await world.node("b")
    fetched = await b.fetch(cid / "deep" / "er", peers=[address])
    assert await b.read(cid / "deep" / "er" / "big") == painted(3 * MIB + 1)
    assert fetched.bytes < 3 * MIB + 64 * KIB
    with pytest.raises(NotFound):
        await b.fetch(cid / "deep" / "nothing of that name")


async def test_get_fetches_what_is_not_here_and_pin_keeps_it(world: World, tree: Path, tmp_path: Path) -> None:
    _, cid, address = await world.sharing("a", tree)
    b = await world.node("b")
    await b.connect(address)
    await b.get(cid, tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(tree)
    await b.fetch(cid, pin=True)
    await b.gc()
    assert (await b.dag.stat(cid)).blocks


async def test_a_ticket_is_all_that_the_other_side_needs(tree: Path, tmp_path: Path, anyio_backend: str) -> None:
    async with shoal.Node(tmp_path / "a") as a, shoal.Node(tmp_path / "b") as b:
        ticket = await a.share((await a.add(tree)).cid, name="tree")
        assert (ticket.name, ticket.peer) == ("tree", (await a.id()).id)
        assert all("/127.0.0.1/" in address for address in ticket.addresses)
        await b.get(str(ticket), tmp_path / "out")
        assert files_of(tmp_path / "out") == files_of(tree)
        assert (await b.fetch(ticket)).bytes == 0
        with pytest.raises(InvalidTicket):
            await b.fetch(str(ticket)[:-2])


async def test_whom_a_discovery_finds_is_connected_to_and_told_where_this_node_listens(world: World) -> None:
    _, cid, address = await world.sharing("a", painted(1000))
    place, _, peer = address.partition("/p2p/")
    announced: list[Announcement | None] = []

    class Finds(Discovery):
        name = "test"

        async def run(self, announce: Announcement | None, found: Callable[[Found], None]) -> None:
            announced.append(announce)
            # Ourselves, as a network echoes it, and somebody who is at one of two places.
            found(Found((await b.id()).id, (place,), self.name))
            found(Found(peer, ("/ip4/127.0.0.1/tcp/1", place), self.name))
            await anyio.sleep_forever()

    b = await world.node("b", discoveries=[Finds()])
    shoal_id = (await b.id()).id
    await until(lambda: b._network is not None and b._network.swarm.peer(peer))
    await b.fetch(cid)
    assert announced == [None]
    listening = await world.listen(b)
    await until(lambda: len(announced) == 2)
    assert announced[1] == Announcement(shoal_id, (listening.partition("/p2p/")[0],))


async def test_what_is_being_fetched_is_not_collected(world: World) -> None:
    data = painted(16 * MIB)
    _, cid, address = await world.sharing("a", data)
    b = await world.node("b")
    # Pinned in the end: a collection may last longer than the fetch.
    fetch = b.fetch(cid, peers=[address], pin=True)
    async for progress in fetch:
        if MIB < progress.bytes < len(data):
            await b.gc()
    await fetch
    assert await b.read(cid) == data


async def test_without_any_peer_nothing_is_waited_for_longer_than_told(world: World) -> None:
    b = await world.node("b")
    begun = anyio.current_time()
    with pytest.raises(FetchFailed) as failure:
        await b.fetch(shoal.CID.of(b"x"), timeout=0.5)
    assert anyio.current_time() - begun < 5
    assert failure.value.exit_code == 4


async def test_connections_are_known_by_whom_they_lead_to(world: World) -> None:
    a, _, address = await world.sharing("a", b"x")
    b = await world.node("b")
    mine, theirs = (await b.id()).id, (await a.id()).id
    assert await b.connect(address) == theirs
    assert await b.connect(address) == theirs
    assert [(peer.id, peer.direction) for peer in await b.peers()] == [(theirs, "out")]
    await until(lambda: a._network is not None and a._network.swarm.peers)
    assert [(peer.id, peer.direction) for peer in await a.peers()] == [(mine, "in")]
    assert await b.ping(theirs) >= 0
    await until(lambda: b._network is not None and b._network.peers()[0].agent is not None)
    (about,) = await b.peers()
    assert about.agent == f"shoal/{shoal.__version__}"
    assert "/ipfs/bitswap/1.2.0" in about.protocols
    assert await b.disconnect(theirs)
    await until(lambda: b._network is not None and not b._network.swarm.peers)
    await until(lambda: a._network is not None and not a._network.swarm.peers)
    assert not await b.disconnect(theirs)
    with pytest.raises(Unreachable, match="not connected"):
        await b.ping(theirs)


async def test_whoever_answers_as_another_peer_is_refused(world: World) -> None:
    _, _, address = await world.sharing("a", b"x")
    stranger = (await (await world.node("stranger")).id()).id
    b = await world.node("b")
    place, _, _ = address.partition("/p2p/")
    with pytest.raises(Unreachable, match="another"):
        await b.connect(f"{place}/p2p/{stranger}")
    assert await b.peers() == []
    with pytest.raises(InvalidInput, match="itself"):
        await b.connect(f"{place}/p2p/{(await b.id()).id}")
    with pytest.raises(InvalidAddress):
        await b.connect("/nowhere/1")
    # Without an id, whoever answers is taken.
    assert address.endswith(await b.connect(place))


async def test_two_that_dial_each_other_at_once_stay_connected(world: World) -> None:
    a, b = await world.node("a", serve="all"), await world.node("b", serve="all")
    first, second = await world.listen(a), await world.listen(b)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(a.connect, second)
        tasks.start_soon(b.connect, first)
    cid = (await a.add(painted(MIB))).cid
    await b.fetch(cid)
    other = (await b.add(painted(MIB, 1))).cid
    await a.fetch(other)


async def test_when_there_are_too_many_the_one_that_was_idle_longest_makes_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.swarm.PEERS_MAX", 3)
    a, cid, address = await world.sharing("a", painted(1000))
    assert a._network is not None
    swarm = a._network.swarm
    others = [await world.node(f"b{at}") for at in range(5)]
    for other in others[:3]:
        await other.connect(address)
    await until(lambda: len(swarm.peers) == 3)
    # Nobody is idle: the fourth is refused.
    with pytest.raises(Unreachable):
        await others[3].connect(address)
    monkeypatch.setattr("shoal.swarm.IDLE_SECONDS", 0.0)
    await others[0].fetch(cid)
    await others[4].connect(address)
    ids = {(await others[at].id()).id for at in (0, 2, 4)}
    await until(lambda: {peer.id for peer in swarm.peers} == ids)


async def test_the_identity_is_kept_and_its_owners_alone(world: World, tmp_path: Path, kind: str) -> None:
    if kind != "tcp":
        return
    async with shoal.Node(tmp_path / "kept") as node:
        first = (await node.id()).id
    key = tmp_path / "kept" / "keys" / "self"
    assert key.stat().st_mode & 0o777 == 0o600
    async with shoal.Node(tmp_path / "kept") as node:
        assert (await node.id()).id == first
    key.chmod(0o644)
    async with shoal.Node(tmp_path / "kept") as node:
        with pytest.raises(InvalidInput, match="chmod 600"):
            await node.id()


async def test_nothing_is_left_after_a_node_is_closed(tmp_path: Path, kind: str, anyio_backend: str) -> None:
    gc.collect()
    process = psutil.Process()
    before = process.num_fds()
    for round_ in range(3):
        world = World(tmp_path / str(round_), kind)
        async with world.stack:
            _, cid, address = await world.sharing("a", painted(2 * MIB))
            b = await world.node("b")
            await b.fetch(cid, peers=[address])
            absent = b.fetch(shoal.CID.of(b"nobody has this"))
            with anyio.move_on_after(0.1):
                await absent
    gc.collect()
    assert process.num_fds() <= before
