"""Kubo as one of the peers: its own command without a daemon, its start taken off.

The start is the same command on an empty file in the same repository; it opens the repository as any other call does.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
from typing import TYPE_CHECKING

from benches.yardstick import seconds, through_a_pipe

if TYPE_CHECKING:
    from pathlib import Path


class Kubo:
    """A repository of the profile `unixfs-v1-2025`, never online."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.binary = binary
        self.pristine = folder / "kubo-pristine"
        self.repository = folder / "kubo"
        self.empty_file = folder / "kubo-empty"
        self.empty_file.touch()
        self.environment = {**os.environ, "IPFS_TELEMETRY": "off", "HOME": str(folder)}
        version = subprocess.run([binary, "version", "--number"], capture_output=True, text=True, check=True)
        self.name = f"Kubo {version.stdout.strip()}"
        subprocess.run(
            [binary, "init", "--profile=unixfs-v1-2025,test"],
            env={**self.environment, "IPFS_PATH": str(self.pristine)},
            check=True,
            capture_output=True,
        )
        self.clear()

    def clear(self) -> None:
        """An empty repository."""
        shutil.rmtree(self.repository, ignore_errors=True)
        shutil.copytree(self.pristine, self.repository)

    def _command(self, *arguments: str | Path, out: int | None = None) -> str:
        done = subprocess.run(
            [self.binary, "--offline", *arguments],
            env={**self.environment, "IPFS_PATH": str(self.repository)},
            stdout=subprocess.PIPE if out is None else out,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
        return (done.stdout or "").strip()

    def _add_seconds(self, source: Path, *options: str) -> float:
        def add(what: Path) -> float:
            return seconds(lambda: self._command("add", "-Q", "-r", "--hidden", "--progress=false", *options, what))

        start = statistics.median(add(self.empty_file) for _ in range(3))
        return add(source) - start

    def only_hash(self, source: Path) -> float:
        return self._add_seconds(source, "--only-hash")

    def add(self, source: Path) -> float:
        """Into an empty repository, with `sync` as Kubo has it by default: off."""
        self.clear()
        return self._add_seconds(source)

    def cid(self, source: Path) -> str:
        return self._command("add", "-Q", "-r", "--hidden", "--progress=false", source)

    def cat(self, cid: str) -> float:
        start = statistics.median(
            through_a_pipe(lambda out: self._command("cat", "bafkqaaa", out=out)) for _ in range(3)
        )
        return through_a_pipe(lambda out: self._command("cat", cid, out=out)) - start

    def get(self, cid: str, target: Path) -> float:
        start = statistics.median(self._get("bafkqaaa", target) for _ in range(3))
        return self._get(cid, target) - start

    def _get(self, cid: str, target: Path) -> float:
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        return seconds(lambda: self._command("get", "--progress=false", "-o", target, cid))
