"""Storing a file, until it is committed: new content beside cp, known content beside only hashing it."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

import pytest

import shoal
from benches import yardstick
from benches.yardstick import best, seconds

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("profile", ["blake3", "unixfs-v1-2025"])
def bench_add_new(benchmark, beside, folder: Path, file: Path, profile: str) -> None:
    numbers = itertools.count()
    stores = []

    def empty_store() -> tuple[tuple[shoal.Store], dict[str, object]]:
        while stores:
            old = stores.pop()
            old.close()
            shutil.rmtree(old.path)
        store = shoal.Store(folder / f"add-{profile}-{next(numbers)}")
        stores.append(store)
        return (store,), {}

    added = benchmark.pedantic(lambda store: store.add(file, profile=profile), setup=empty_store, rounds=5)
    assert added.new_bytes >= file.stat().st_size
    empty_store()
    beside(benchmark.stats["min"], file.stat().st_size, yardstick.cp(file, folder / "copy"))


def bench_add_again(benchmark, beside, folder: Path, file: Path) -> None:
    with shoal.Store(folder / "again-store") as store:
        store.add(file)
        added = benchmark(lambda: store.add(file))
        assert added.new_blocks == 0
        only_hash = best("only-hash", lambda: seconds(lambda: store.add(file, only_hash=True)))
    shutil.rmtree(folder / "again-store")
    beside(benchmark.stats["min"], file.stat().st_size, only_hash)
