"""A file out of the store into a pipe, verified, beside cat into the same pipe; and small reads inside of it."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import shoal
from benches import yardstick
from benches.yardstick import best, seconds, through_a_pipe

if TYPE_CHECKING:
    from pathlib import Path


def bench_cat_to_a_pipe(benchmark, beside, folder: Path, file: Path) -> None:
    with shoal.Store(folder / "cat-store") as store:
        cid = store.add(file).cid
        benchmark(lambda: through_a_pipe(lambda out: store.cat(cid, out)))
    shutil.rmtree(folder / "cat-store")
    beside(benchmark.stats["min"], file.stat().st_size, yardstick.cat(file))


def bench_random_reads_of_4_kib(benchmark, beside, folder: Path, file: Path) -> None:
    size = file.stat().st_size
    source = random.Random(7)
    places = [source.randrange(size - 4096) for _ in range(1000)]

    def read_all(opened) -> None:
        for place in places:
            opened.seek(place)
            opened.read(4096)

    with shoal.Store(folder / "cat-store") as store, store.open(store.add(file).cid) as opened:
        benchmark(lambda: read_all(opened))
    shutil.rmtree(folder / "cat-store")

    def plain() -> None:
        with file.open("rb", buffering=0) as opened:
            read_all(opened)

    beside(benchmark.stats["min"], 4096 * len(places), best("unchecked reads of the file", lambda: seconds(plain)))
