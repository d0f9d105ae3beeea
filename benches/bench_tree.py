"""A tree of many files into the store and out again, beside cp -r."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

import shoal
from benches import yardstick

if TYPE_CHECKING:
    from pathlib import Path


def bench_add_tree(benchmark, beside, folder: Path, tree: Path, tree_bytes: int) -> None:
    numbers = itertools.count()
    stores = []

    def empty_store() -> tuple[tuple[shoal.Store], dict[str, object]]:
        while stores:
            old = stores.pop()
            old.close()
            shutil.rmtree(old.path)
        stores.append(shoal.Store(folder / f"tree-{next(numbers)}"))
        return (stores[0],), {}

    benchmark.pedantic(lambda store: store.add(tree), setup=empty_store, rounds=3)
    empty_store()
    beside(benchmark.stats["min"], tree_bytes, yardstick.cp_tree(tree, folder / "tree-copy"))


def bench_get_tree(benchmark, beside, folder: Path, tree: Path, tree_bytes: int) -> None:
    target = folder / "tree-got"
    with shoal.Store(folder / "tree-store") as store:
        cid = store.add(tree).cid
        benchmark.pedantic(
            lambda: store.get(cid, target), setup=lambda: shutil.rmtree(target, ignore_errors=True), rounds=3
        )
    shutil.rmtree(target)
    shutil.rmtree(folder / "tree-store")
    beside(benchmark.stats["min"], tree_bytes, yardstick.cp_tree(tree, folder / "tree-copy"))
