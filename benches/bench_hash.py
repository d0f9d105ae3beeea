"""Only hashing, nothing stored: a file's CID by each profile, beside plain BLAKE3 of the same file by b3sum."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import shoal
from benches import yardstick

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("profile", ["blake3", "unixfs-v1-2025", "unixfs-v0-2015"])
def bench_only_hash(benchmark, beside, folder: Path, file: Path, profile: str) -> None:
    with shoal.Store(folder / "hash-store") as store:
        benchmark(lambda: store.add(file, profile=profile, only_hash=True))
    beside(benchmark.stats["min"], file.stat().st_size, yardstick.b3sum(file, len(os.sched_getaffinity(0))))
