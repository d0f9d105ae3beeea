"""The Rust tests, as one test of this suite: `python -m pytest` alone runs everything that needs no foreign program.

The one rule: a run in which no Rust test was executed is a failure.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


def test_all_rust_tests_pass(closing_note: Callable[[str], None]) -> None:
    cargo = shutil.which("cargo")
    assert cargo, "cargo is not on PATH: the tests need the Rust toolchain that built Shoal"
    run = subprocess.run(
        [cargo, "test", "--locked", "--workspace", "--quiet", "--no-fail-fast"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout[-20_000:]}\n{run.stderr[-10_000:]}"
    results = re.findall(r"^test result: ok\. (\d+) passed; (\d+) failed; (\d+) ignored", run.stdout, re.MULTILINE)
    passed, failed, ignored = (sum(int(result[column]) for result in results) for column in range(3))
    assert (passed > 0, failed) == (True, 0), run.stdout[-5_000:]
    closing_note(f"Rust: {passed} tests passed" + (f", {ignored} ignored" if ignored else ""))
