"""A CAR that becomes a pack without a copy, beside verifying the store that it is then: both hash every block once.

Its length is SHOAL_BENCH_MIB (4096 for the figure that the project is held to).
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import shoal
from benches.yardstick import Yardstick, seconds

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("profile", ["blake3", "unixfs-v1-2025"])
def bench_adopt(benchmark, beside, folder: Path, file: Path, profile: str) -> None:
    benchmark.pedantic(lambda: None, rounds=1)
    car = folder / "adopted.car"
    with shoal.Store(folder / "source-store") as source:
        source.dag.export_car(source.add(file, profile=profile).cid, car)
    shutil.rmtree(folder / "source-store")
    rounds = []
    # In turns, so that what else the machine does meets both.
    for _ in range(5):
        with shoal.Store(folder / "adopting-store") as store:
            took = seconds(lambda: store.dag.import_car(car, adopt="link"))
            rounds.append((took, seconds(store.verify)))
        shutil.rmtree(folder / "adopting-store")
    size = car.stat().st_size
    car.unlink()
    beside(min(ours for ours, _ in rounds), size, Yardstick("verify", min(verify for _, verify in rounds)))
