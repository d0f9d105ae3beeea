"""A file read through fsspec as Parquet is: its footer, then the chunks of some columns in file order, with gaps between.

Beside the same reads of the plain file, through fsspec's LocalFileSystem and through `open` without a buffer: read by read,
and of each read the best of all rounds, so that what else the machine does meets all of them. All of it is warm; the store is opened
anew in every round of "first", so that it has to load or make what it verifies parts of blocks with.
`SHOAL_BENCH_MIB` says how large the file is; the figures in the documentation are of 1024.
"""

from __future__ import annotations

import random
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import fsspec
import pytest

import shoal
from benches.material import MIB
from benches.yardstick import Yardstick, seconds
from shoal.filesystem import ShoalFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Reads = list[tuple[int, int]]

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


def like_parquet(size: int) -> Reads:
    """Offset and length of each read: the last 8 bytes, the footer, then every second column chunk or so."""
    source = random.Random(SEED)
    reads: Reads = [(size - 8, 8), (size - 64 * KIB, 64 * KIB - 8)]
    offset = 4
    while True:
        length = source.randrange(100 * KIB, 4 * MIB)
        if offset + length > size - 64 * KIB:
            return reads
        if source.random() < 0.5:
            reads.append((offset, length))
        offset += length


def one_by_one(stack: ExitStack, file) -> Callable[[Reads], None]:
    """Seeks and reads, as most programs do."""
    stack.enter_context(file)

    def read(reads: Reads) -> None:
        for offset, length in reads:
            file.seek(offset)
            assert len(file.read(length)) == length

    return read


def all_at_once(fs, path: str) -> Callable[[Reads], None]:
    """One call for several reads, as readers of row groups do."""

    def read(reads: Reads) -> None:
        starts, ends = [offset for offset, _ in reads], [offset + length for offset, length in reads]
        found = fs.cat_ranges([path] * len(reads), starts, ends, on_error="raise")
        assert [len(data) for data in found] == [length for _, length in reads]

    return read


def beside_local(benchmark, beside, file: Path, batch: int, ours, local) -> None:
    """Ours and LocalFileSystem in turns, then plain reads, in several rounds. Each side is opened anew for a round."""
    reads = like_parquet(file.stat().st_size)
    batches = [reads[start : start + batch] for start in range(0, len(reads), batch)]
    best = [[float("inf")] * len(batches) for _ in range(3)]

    def one_round() -> None:
        with ExitStack() as stack:
            sides = [ours(stack), local(stack), one_by_one(stack, file.open("rb", buffering=0))]

            def step(side: int, place: int) -> None:
                best[side][place] = min(best[side][place], seconds(lambda: sides[side](batches[place])))

            for place in range(len(batches)):
                step(0, place)
                step(1, place)
            # On its own: right after LocalFileSystem it would find the bytes in the processor's cache.
            for place in range(len(batches)):
                step(2, place)

    benchmark.pedantic(one_round, rounds=ROUNDS)
    mine, through_fsspec, plain = map(sum, best)
    size = sum(length for _, length in reads)
    benchmark.extra_info.update(reads=len(reads), ratio=through_fsspec / mine, ratio_plain=plain / mine)
    beside(mine, size, Yardstick("LocalFileSystem", through_fsspec))
    beside(mine, size, Yardstick("plain reads", plain))


def bench_open_seek_read(benchmark, beside, file: Path, added: tuple[str, str]) -> None:
    folder, path = added
    fs, local = ShoalFileSystem(folder, skip_instance_cache=True), fsspec.filesystem("file")
    beside_local(
        benchmark,
        beside,
        file,
        1,
        lambda stack: one_by_one(stack, fs.open(path)),
        lambda stack: one_by_one(stack, local.open(str(file))),
    )


def bench_first_open_seek_read(benchmark, beside, file: Path, added: tuple[str, str]) -> None:
    folder, path = added
    local = fsspec.filesystem("file")

    def anew(stack: ExitStack) -> Callable[[Reads], None]:
        return one_by_one(stack, ShoalFileSystem(folder, skip_instance_cache=True).open(path))

    beside_local(benchmark, beside, file, 1, anew, lambda stack: one_by_one(stack, local.open(str(file))))


def bench_cat_ranges(benchmark, beside, file: Path, added: tuple[str, str]) -> None:
    folder, path = added
    fs, local = ShoalFileSystem(folder, skip_instance_cache=True), fsspec.filesystem("file")
    beside_local(benchmark, beside, file, 16, lambda _: all_at_once(fs, path), lambda _: all_at_once(local, str(file)))
