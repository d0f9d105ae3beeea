"""The benchmark of exchanges runs to its end with tiny sizes: each job, each end a process, none left. Its figures are not looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--size=2MiB", "--files=30", "--blocks=300", "--connections=20", "--rounds=1"]
SECONDS = 300


def run(folder: Path, *arguments: str, kubo: Path | None = None) -> str:
    before = _running()
    done = subprocess.run(
        [sys.executable, "-m", "benches.peers.exchange", *TINY, *arguments],
        cwd=ROOT,
        env={**os.environ, "SHOAL_BENCH_FOLDER": str(folder), **({"SHOAL_KUBO": str(kubo)} if kubo else {})},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(folder.iterdir()) == []
    # Daemons of other tests may run beside.
    assert _running() <= before
    return done.stdout


def _running() -> set[int]:
    children = psutil.Process().children(recursive=True)
    return {process.pid for process in children if process.status() != psutil.STATUS_ZOMBIE}


def test_every_job_with_shoal_alone_gives_its_rows(tmp_path):
    table = run(tmp_path, "--no-kubo")
    for what in (
        "| raw TCP, sockets in two processes |",
        "| file, blake3, Shoal → Shoal |",
        "| file, unixfs-v1-2025, Shoal → Shoal |",
        "| tree of 30 files, blake3, Shoal → Shoal |",
        "| first byte of a connected peer's file, median of 20 |",
        "| blocks of 128 B served |",
        "| 3 Shoal sources, one killed half-way: longest pause |",
        "| a file served to 8 peers: most memory of its own |",
        "| 20 idle connections: memory of each |",
    ):
        assert what in table


@pytest.mark.interop
def test_each_pair_with_kubo_gives_a_row(tmp_path, kubo_binary):
    table = run(tmp_path, "--only", "file", "tree", kubo=kubo_binary)
    for profile in ("blake3", "unixfs-v1-2025"):
        for pair in ("Shoal → Shoal", "Kubo → Shoal", "Shoal → Kubo", "Kubo → Kubo"):
            assert f"| file, {profile}, {pair} |" in table
    assert "| Kubo → Kubo, " in table.split("| tree of 30 files")[1]


def test_a_job_that_fails_is_named_and_the_others_go_on(tmp_path):
    """A program that is no Kubo: its job fails, the next one is done, and the exit code says so."""
    done = subprocess.run(
        [sys.executable, "-m", "benches.peers.exchange", *TINY, "--only", "tree", "raw"],
        cwd=ROOT,
        env={**os.environ, "SHOAL_BENCH_FOLDER": str(tmp_path), "SHOAL_KUBO": "/bin/false"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert "| tree | failed |" in done.stdout
    assert "| raw TCP, sockets in two processes |" in done.stdout
