"""Shoal as one of the peers: each job a call of the library in a fresh worker process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Shoal:
    """A store in `folder`, used through workers."""

    name = "Shoal"

    def __init__(self, folder: Path) -> None:
        self.store = folder / "shoal-store"
        self.peak_mib = 0

    def _order(self, **order: str) -> dict[str, object]:
        cores = str(len(os.sched_getaffinity(0)))
        done = subprocess.run(
            [sys.executable, "-m", "benches.peers.worker", json.dumps({"store": str(self.store), **order})],
            cwd=ROOT,
            env={**os.environ, "SHOAL_THREADS": cores},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        answer: dict[str, object] = json.loads(done.stdout)
        self.peak_mib = max(self.peak_mib, int(str(answer["peak_mib"])))
        return answer

    def clear(self) -> None:
        """An empty store."""
        shutil.rmtree(self.store, ignore_errors=True)

    def only_hash(self, source: Path, profile: str) -> float:
        return float(str(self._order(verb="only-hash", source=str(source), profile=profile)["seconds"]))

    def add(self, source: Path, profile: str) -> float:
        return float(str(self._order(verb="add", source=str(source), profile=profile)["seconds"]))

    def cid(self, source: Path, profile: str) -> str:
        """Adds without counting, and gives the CID."""
        return str(self._order(verb="add", source=str(source), profile=profile)["cid"])

    def get(self, cid: str, target: Path) -> float:
        return float(str(self._order(verb="get", cid=cid, target=str(target))["seconds"]))

    def cat(self, cid: str) -> float:
        return float(str(self._order(verb="cat", cid=cid)["seconds"]))
