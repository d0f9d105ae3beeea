"""What a fetch finds in its store.

The empty block has a story: Kubo (boxo 0.40) answers a want for it with "have" and never sends it, so that a tree with an empty
file could not be fetched from Kubo at all, by anyone. Its bytes are known from its CID: nobody needs to be asked.
"""

from __future__ import annotations

import anyio
import pytest

import shoal
from shoal import CID
from shoal.exchange.store_access import FetchingStore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "blake3"])
async def test_the_empty_block_is_here_before_anyone_is_asked(tmp_path, profile):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "empty").touch()
    (tmp_path / "tree" / "full").write_bytes(b"full")
    with shoal.Store(tmp_path / "from") as source:
        root = source.add(tmp_path / "tree", profile=profile).cid
        block = source.get_block(root)
        empty, _ = source.resolve(root / "empty")
    with shoal.Store(tmp_path / "to") as store, store.lease() as lease:
        fetching = FetchingStore(store._core, lease, anyio.CapacityLimiter(1))
        (links,) = await fetching.keep([block], [root])
        assert {link.cid == empty: link.is_here for link in links} == {True: True, False: False}
        assert store.has(empty)


async def test_an_empty_root_needs_no_peer(tmp_path):
    async with shoal.Node(tmp_path / "store") as node:
        cid = CID.of(b"")
        assert (await node.fetch(cid, patience=0.2)).bytes == 0
        assert await node.read(cid) == b""
