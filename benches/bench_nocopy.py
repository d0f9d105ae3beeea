"""Files left where they are, beside only hashing them; and how much the store grows. Blobs that share their bytes, beside cp.

The file's length is SHOAL_BENCH_MIB (1024 for the figure that the project is held to). Sharing needs a folder on btrfs or XFS, named
by SHOAL_REFLINK.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

import shoal
from benches import yardstick
from benches.material import painted_file
from benches.yardstick import Yardstick, as_time, seconds

ROUNDS = 7


def bytes_under(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def empty_store(folder: Path) -> shoal.Store:
    store = shoal.Store(folder / "store")
    # The first writer makes what every store has, the reserve of 1 MiB too.
    store.put(b"something")
    return store


@pytest.mark.parametrize("profile", ["blake3", "unixfs-v1-2025", "blake3-cdc"])
def bench_add_nocopy(benchmark, beside, folder: Path, file: Path, profile: str) -> None:
    benchmark.pedantic(lambda: None, rounds=1)
    size = file.stat().st_size
    rounds = []
    processor = []
    grown = 0
    # In turns, so that what else the machine does meets both.
    for _ in range(ROUNDS):
        with empty_store(folder) as store:
            before = bytes_under(Path(store.path))
            started = time.process_time()
            only_hash = seconds(lambda store=store: store.add(file, profile=profile, only_hash=True))
            between = time.process_time()
            nocopy = seconds(lambda store=store: store.add(file, profile=profile, nocopy=True))
            processor.append((time.process_time() - between, between - started))
            grown = bytes_under(Path(store.path)) - before
        shutil.rmtree(store.path)
        rounds.append((nocopy, only_hash))
    # What else runs on the machine takes turns with us, and does not count here.
    ours, theirs = (min(times) for times in zip(*processor, strict=True))
    print(f"\n{profile}: processor time {ours:.3f} s, only_hash {theirs:.3f} s; ratio {theirs / ours:.2f}")
    print(f"{profile}: the store grew by {grown} bytes for {size}, {grown / size:.5%}")
    beside(min(ours for ours, _ in rounds), size, Yardstick("only_hash", min(theirs for _, theirs in rounds)))


@pytest.mark.parametrize("profile", ["blake3", "unixfs-v1-2025"])
def bench_cat_from_outside(benchmark, beside, folder: Path, file: Path, profile: str) -> None:
    benchmark.pedantic(lambda: None, rounds=1)
    rounds = []
    with open(os.devnull, "wb") as nowhere:
        for _ in range(ROUNDS):
            took = {}
            for nocopy in (True, False):
                with empty_store(folder) as store:
                    cid = store.add(file, profile=profile, nocopy=nocopy).cid
                    took[nocopy] = seconds(lambda store=store, cid=cid: store.cat(cid, nowhere))
                shutil.rmtree(store.path)
            rounds.append((took[True], took[False]))
    theirs = Yardstick("the same out of packs", min(theirs for _, theirs in rounds))
    beside(min(ours for ours, _ in rounds), file.stat().st_size, theirs)


def bench_add_blob_that_shares(benchmark, beside, file: Path) -> None:
    named = os.environ.get("SHOAL_REFLINK")
    if not named:
        pytest.skip("SHOAL_REFLINK does not name a folder on a filesystem that can share bytes")
    benchmark.pedantic(lambda: None, rounds=1)
    blob = shoal.Profile.BLAKE3.replace(layout="blob")
    with tempfile.TemporaryDirectory(dir=named) as made:
        folder = Path(made)
        source = painted_file(folder / "file", file.stat().st_size >> 20 << 20)
        with source.open("rb") as opened:
            os.fsync(opened.fileno())
        rounds = []
        hashed = []
        for _ in range(ROUNDS):
            with empty_store(folder) as store:
                hashed.append(seconds(lambda store=store: store.add(source, profile=blob, only_hash=True)))
                ours = seconds(lambda store=store: store.add(source, profile=blob))
            shutil.rmtree(store.path)
            rounds.append((ours, yardstick.cp(source, folder / "copy").seconds))
        print(f"\nonly hashing it: {as_time(min(hashed))}")
        theirs = Yardstick("cp --reflink=never", min(cp for _, cp in rounds))
        beside(min(ours for ours, _ in rounds), source.stat().st_size, theirs)
