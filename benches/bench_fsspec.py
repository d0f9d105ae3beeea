"""A file read through fsspec as Parquet is: its footer, then the chunks of some columns in file order, with gaps between.

Beside the same reads of the plain file, through fsspec's LocalFileSystem and through `open` without a buffer, in turns. All of it
is warm; the store is opened anew in every round of "first", so that it has to load or make what it verifies parts of blocks with.
`SHOAL_BENCH_MIB` says how large the file is; the figures in the documentation are of 1024.
"""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import fsspec
import pytest

import shoal
from benches.material import MIB
from benches.yardstick import Yardstick, seconds
from shoal.filesystem import ShoalFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIB = 1024
SEED = 7
ROUNDS = 15


@pytest.fixture(scope="module", params=["blake3", "unixfs-v1-2025"])
def added(request: pytest.FixtureRequest, folder: Path, file: Path) -> Iterator[tuple[str, str]]:
    """A store's folder, and the path of the file in it."""
    place = folder / f"fsspec-store-{request.param}"
    with shoal.Store(place) as store:
        cid = store.add(file, profile=request.param).cid
    yield str(place), str(cid)
    shutil.rmtree(place)


def like_parquet(size: int) -> list[tuple[int, int]]:
    """Offset and length of each read: the last 8 bytes, the footer, then every second column chunk or so."""
    source = random.Random(SEED)
    reads = [(size - 8, 8), (size - 64 * KIB, 64 * KIB - 8)]
    offset = 4
    while True:
        length = source.randrange(100 * KIB, 4 * MIB)
        if offset + length > size - 64 * KIB:
            return reads
        if source.random() < 0.5:
            reads.append((offset, length))
        offset += length


def one_by_one(file, reads: list[tuple[int, int]]) -> None:
    with file:
        for offset, length in reads:
            file.seek(offset)
            assert len(file.read(length)) == length


def all_at_once(fs, path: str, reads: list[tuple[int, int]]) -> None:
    starts, ends = [offset for offset, _ in reads], [offset + length for offset, length in reads]
    found = fs.cat_ranges([path] * len(reads), starts, ends, on_error="raise")
    assert [len(data) for data in found] == [length for _, length in reads]


def beside_local(benchmark, beside, file: Path, reads: list[tuple[int, int]], ours, local) -> None:
    """Ours, LocalFileSystem and plain reads in turns; the best of each, and the ratio of ours to LocalFileSystem."""
    benchmark.pedantic(ours, rounds=1)
    took = [
        (seconds(ours), seconds(local), seconds(lambda: one_by_one(file.open("rb", buffering=0), reads)))
        for _ in range(ROUNDS)
    ]
    mine, through_fsspec, plain = (min(each) for each in zip(*took, strict=True))
    size = sum(length for _, length in reads)
    benchmark.extra_info.update(reads=len(reads), ratio=through_fsspec / mine, ratio_plain=plain / mine)
    beside(mine, size, Yardstick("LocalFileSystem", through_fsspec))
    beside(mine, size, Yardstick("plain reads", plain))


def bench_open_seek_read(benchmark, beside, file: Path, added: tuple[str, str]) -> None:
    folder, path = added
    reads = like_parquet(file.stat().st_size)
    fs, local = ShoalFileSystem(folder, skip_instance_cache=True), fsspec.filesystem("file")
    beside_local(
        benchmark,
        beside,
        file,
        reads,
        lambda: one_by_one(fs.open(path), reads),
        lambda: one_by_one(local.open(str(file)), reads),
    )


def bench_first_open_seek_read(benchmark, beside, file: Path, added: tuple[str, str]) -> None:
    folder, path = added
    reads = like_parquet(file.stat().st_size)
    local = fsspec.filesystem("file")
    beside_local(
        benchmark,
        beside,
        file,
        reads,
        lambda: one_by_one(ShoalFileSystem(folder, skip_instance_cache=True).open(path), reads),
        lambda: one_by_one(local.open(str(file)), reads),
    )


def bench_cat_ranges(benchmark, beside, file: Path, added: tuple[str, str]) -> None:
    folder, path = added
    # In batches, as a reader of row groups asks for them: memory is that of the answer.
    reads = like_parquet(file.stat().st_size)
    batches = [reads[start : start + 16] for start in range(0, len(reads), 16)]
    fs, local = ShoalFileSystem(folder, skip_instance_cache=True), fsspec.filesystem("file")
    beside_local(
        benchmark,
        beside,
        file,
        reads,
        lambda: [all_at_once(fs, path, batch) for batch in batches],
        lambda: [all_at_once(local, str(file), batch) for batch in batches],
    )
