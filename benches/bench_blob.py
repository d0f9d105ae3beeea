"""A whole file as one blob: adding beside cp, and beside iroh-blobs where its program is there; verified reads of 4 KiB anywhere.

iroh's program is `benches/peers/iroh`, built by hand (`cargo build --release` there) and named by SHOAL_IROH.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

import shoal
from benches import yardstick
from benches.yardstick import Yardstick, best, seconds

if TYPE_CHECKING:
    from pathlib import Path

BLOB = shoal.Profile.BLAKE3.replace(layout="blob")
READS = 20_000


def add_seconds(folder: Path, file: Path) -> float:
    store = shoal.Store(folder / "blob-store")
    took = seconds(lambda: store.add(file, profile=BLOB))
    store.close()
    shutil.rmtree(store.path)
    return took


def bench_add_blob(benchmark, beside, folder: Path, file: Path) -> None:
    benchmark.pedantic(lambda: None, rounds=1)
    # In turns, so that what else the machine does meets both.
    rounds = [(add_seconds(folder, file), yardstick.cp(file, folder / "copy").seconds) for _ in range(7)]
    beside(min(ours for ours, _ in rounds), file.stat().st_size, Yardstick("cp", min(cp for _, cp in rounds)))


def iroh_seconds(program: str, folder: Path, file: Path) -> float:
    store = folder / "iroh-store"
    run = subprocess.run([program, store, file], capture_output=True, text=True, check=True)
    shutil.rmtree(store)
    return float(run.stdout.split()[0])


def bench_add_blob_beside_iroh(benchmark, beside, folder: Path, file: Path) -> None:
    program = os.environ.get("SHOAL_IROH")
    if not program:
        pytest.skip("SHOAL_IROH does not name the program of benches/peers/iroh")
    benchmark.pedantic(lambda: None, rounds=1)
    rounds = [(add_seconds(folder, file), iroh_seconds(program, folder, file)) for _ in range(5)]
    theirs = Yardstick("iroh-blobs add_path", min(iroh for _, iroh in rounds))
    beside(min(ours for ours, _ in rounds), file.stat().st_size, theirs)


@pytest.mark.parametrize("way", ["seek and read", "read_at", "batches"])
def bench_random_reads_of_a_blob(benchmark, beside, folder: Path, file: Path, way: str) -> None:
    size = file.stat().st_size
    source = random.Random(7)
    places = [source.randrange(size - 4096) for _ in range(READS)]

    def read_all(opened) -> None:
        if way == "batches":
            for at in range(0, READS, 1000):
                opened.read_ranges([(place, 4096) for place in places[at : at + 1000]])
        elif way == "read_at":
            for place in places:
                opened.read_at(place, 4096)
        else:
            for place in places:
                opened.seek(place)
                opened.read(4096)

    with shoal.Store(folder / "read-store") as store, store.open(store.add(file, profile=BLOB).cid) as opened:
        if way == "batches" and not hasattr(opened, "read_ranges"):
            pytest.skip("File has no read_ranges")
        read_all(opened)
        benchmark.pedantic(lambda: read_all(opened), rounds=3)
    shutil.rmtree(folder / "read-store")

    def plain() -> float:
        descriptor = os.open(file, os.O_RDONLY)
        started = time.perf_counter()
        for place in places:
            os.pread(descriptor, 4096, place)
        took = time.perf_counter() - started
        os.close(descriptor)
        return took

    beside(benchmark.stats["min"], 4096 * READS, best(f"{READS} os.pread of the file", plain))
