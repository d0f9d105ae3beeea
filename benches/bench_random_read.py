"""Small verified reads here and there in a file, in batches and one by one, beside plain reads of the same places.

All of it is warm. `SHOAL_BENCH_MIB` says how large the file is; the figures in the documentation are of 4096.
"""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

import shoal
from benches.yardstick import best, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ_BYTES = 4096
READS = 20_000
BATCH = 1000


@pytest.fixture(scope="module", params=["blake3", "unixfs-v1-2025"])
def opened(request: pytest.FixtureRequest, folder: Path, file: Path) -> Iterator[shoal.File]:
    """The file in a store, every block of it touched once."""
    place = folder / "read-store"
    with shoal.Store(place) as store:
        cid = store.add(file, profile=request.param).cid
    with shoal.Store(place) as store, store.open(cid) as opened:
        # Not one after the other, so that each block's values are made, or loaded.
        for offset in range(opened.size - 1, 0, -(1 << 20)):
            opened.read_at(offset, 1)
        yield opened
    shutil.rmtree(place)


def _places(size: int) -> list[tuple[int, int]]:
    source = random.Random(7)
    return [(source.randrange(size - READ_BYTES), READ_BYTES) for _ in range(READS)]


def _say(benchmark, beside, file: Path, places: list[tuple[int, int]]) -> None:
    ours = benchmark.stats["min"]
    benchmark.extra_info["reads_per_second"] = round(READS / ours)

    def plain() -> None:
        descriptor = os.open(file, os.O_RDONLY)
        for offset, size in places:
            os.pread(descriptor, size, offset)
        os.close(descriptor)

    beside(ours, READ_BYTES * READS, best(f"{READS} calls of os.pread", lambda: seconds(plain)))


def bench_ranges_in_batches(benchmark, beside, file: Path, opened: shoal.File) -> None:
    places = _places(opened.size)

    def read() -> None:
        for start in range(0, READS, BATCH):
            opened.read_ranges(places[start : start + BATCH])

    benchmark(read)
    _say(benchmark, beside, file, places)


def bench_seek_and_read(benchmark, beside, file: Path, opened: shoal.File) -> None:
    places = _places(opened.size)

    def read() -> None:
        for offset, size in places:
            opened.seek(offset)
            opened.read(size)

    benchmark(read)
    _say(benchmark, beside, file, places)
