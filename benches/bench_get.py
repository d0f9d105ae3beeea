"""A file out of the store to a new file, verified, beside cp."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import shoal
from benches import yardstick

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("profile", ["blake3", "unixfs-v1-2025"])
def bench_get(benchmark, beside, folder: Path, file: Path, profile: str) -> None:
    target = folder / "got"
    with shoal.Store(folder / "get-store") as store:
        cid = store.add(file, profile=profile).cid
        benchmark.pedantic(lambda: store.get(cid, target), setup=lambda: target.unlink(missing_ok=True), rounds=5)
    target.unlink()
    shutil.rmtree(folder / "get-store")
    beside(benchmark.stats["min"], file.stat().st_size, yardstick.cp(file, target))
