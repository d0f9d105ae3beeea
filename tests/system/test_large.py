"""A store of a million blocks: every lookup right after filling, reopening and losing the indexes; what it took is told at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE = Path(__file__).resolve().parents[2]


def test_a_million_blocks_are_found_read_and_found_again_without_indexes(
    tmp_path: Path, closing_note: Callable[[str], None]
):
    blocks = os.environ.get("SHOAL_LARGE_BLOCKS", "1000000")
    run = subprocess.run(
        [sys.executable, "-m", "benches.large", "--blocks", blocks],
        cwd=CLONE,
        env={**os.environ, "SHOAL_BENCH_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    closing_note("large: " + run.stdout.strip().replace("\n", "\n  "))
