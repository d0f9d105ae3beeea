"""Room in a store: the quota, and leases, as Python has them.

The invariants: a store with a quota is never larger; what is pinned stays; what was found through a lease stays while it is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import shoal
from shoal import errors

if TYPE_CHECKING:
    from pathlib import Path

QUOTA = 500_000


def content(n: int) -> bytes:
    return bytes([n % 251, n // 251]) * 20_000


def size(store: shoal.Store) -> int:
    return store.stat().pack_bytes + store.stat().blob_bytes


def test_what_nothing_pins_makes_room_for_new_data(tmp_path: Path) -> None:
    with shoal.Store(tmp_path / "store", size_max=QUOTA) as store:
        kept = store.add(content(1000)).cid
        for n in range(40):
            last = store.add(content(n), pin=False).cid
            assert size(store) <= QUOTA
        assert store.read(kept) == content(1000)
        assert store.read(last) == content(39)
        assert not store.has(store.add(content(0), only_hash=True).cid)


def test_pinned_data_is_never_taken_and_an_add_too_many_keeps_nothing(tmp_path: Path) -> None:
    with shoal.Store(tmp_path / "store", size_max=QUOTA) as store:
        pinned = []
        with pytest.raises(errors.StoreFull, match=r"store\.size_max"):
            for n in range(40):
                pinned.append((n, store.add(content(n)).cid))
        assert len(pinned) >= 10
        before = store.stat()
        (tmp_path / "file").write_bytes(content(77))
        for refused in (lambda: store.add(tmp_path / "file"), lambda: store.put(content(78))):
            with pytest.raises(errors.StoreFull):
                refused()
        assert (store.stat().blocks, store.stat().pins) == (before.blocks, before.pins)
        assert all(store.read(cid) == content(n) for n, cid in pinned)
        store.pin.rm(pinned[0][1])
        assert store.read(store.add(tmp_path / "file").cid) == content(77)


def test_a_lease_keeps_what_was_found_through_it_until_it_is_closed(tmp_path: Path) -> None:
    with shoal.Store(tmp_path / "store") as store:
        cids = [store.put(content(n)) for n in range(4)]
        root = store.dag.put({"links": cids[:2]})
        with store.lease() as lease:
            assert lease.has(cids[3])
            assert lease.has_many([cids[3], shoal.CID.of(b"absent")]) == [True, False]
            assert lease.keep(root) == 3
            assert store.gc().blocks == 1
            assert [store.has(cid) for cid in cids] == [True, True, False, True]
        with pytest.raises(errors.StoreError, match="over"):
            lease.has(cids[3])
        lease.close()
        assert store.gc().blocks == 4


@pytest.mark.anyio
async def test_a_node_has_leases_and_a_quota_too(tmp_path: Path) -> None:
    async with shoal.Node(tmp_path / "store", size_max=QUOTA) as node:
        cid = await node.block.put(content(1))
        with await node.lease() as lease:
            assert lease.has(cid)
            await node.gc()
            assert await node.block.has(cid)
        await node.gc()
        assert not await node.block.has(cid)
        with pytest.raises(errors.StoreFull):
            await node.add(b"".join(content(n) for n in range(20)))
