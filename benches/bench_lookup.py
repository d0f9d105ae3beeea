"""Looking up blocks among many: present and absent, one call for a batch, beside a Python set or dictionary."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import pytest

import shoal
from benches.material import count
from benches.yardstick import best, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BATCH = 1000


@pytest.fixture(scope="module")
def full(folder: Path) -> Iterator[tuple[shoal.Store, list[shoal.CID]]]:
    """A store of SHOAL_BENCH_BLOCKS small blocks, and their CIDs."""
    blocks = count("SHOAL_BENCH_BLOCKS", 100_000)
    with shoal.Store(folder / "lookup-store") as store:
        cids = store.put_many(number.to_bytes(8, "big") * 4 for number in range(blocks))
        yield store, cids
    shutil.rmtree(folder / "lookup-store")


@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
def bench_has_many(benchmark, beside, full: tuple[shoal.Store, list[shoal.CID]], present: bool) -> None:
    store, cids = full
    asked = random.Random(3).sample(cids, BATCH) if present else [shoal.CID.of(b"absent %d" % n) for n in range(BATCH)]
    found = benchmark(lambda: store.has_many(asked))
    assert all(found) if present else not any(found)
    known = set(cids)
    beside(benchmark.stats["min"], 0, best("set", lambda: seconds(lambda: [cid in known for cid in asked])))


def bench_get_many(benchmark, beside, full: tuple[shoal.Store, list[shoal.CID]]) -> None:
    store, cids = full
    asked = random.Random(4).sample(cids, BATCH)
    blocks = benchmark(lambda: store.get_many(asked))
    assert len(blocks) == BATCH
    held = {cid: bytes(32) for cid in cids}
    beside(benchmark.stats["min"], 32 * BATCH, best("dict", lambda: seconds(lambda: [held[cid] for cid in asked])))
