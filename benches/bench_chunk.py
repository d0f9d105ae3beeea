"""Cutting and hashing by each chunker, beside the fixed-size one: what finding the cuts costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import shoal
from benches.yardstick import best, seconds

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("chunker", ["size-262144", "size-1048576", "mincdc", "fastcdc", "buzhash", "rabin"])
def bench_chunker(benchmark, beside, folder: Path, file: Path, chunker: str) -> None:
    fixed = shoal.Profile.named("blake3")
    profile = fixed.replace(chunker=chunker)
    with shoal.Store(folder / "chunk-store") as store:
        benchmark(lambda: store.add(file, profile=profile, only_hash=True))
        plain = best("size-1048576", lambda: seconds(lambda: store.add(file, profile=fixed, only_hash=True)))
    beside(benchmark.stats["min"], file.stat().st_size, plain)
