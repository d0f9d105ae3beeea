"""A program at one end, started and told what to do by the run: lines of JSON in, a line of JSON back for each.

A child that has not answered in time is an error that shows what it wrote; all children are killed when the run is over.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

ROOT = Path(__file__).resolve().parents[3]
ANSWER_SECONDS = 600.0
END_SECONDS = 10.0


class Child:
    """A Python module that answers orders until its input ends."""

    def __init__(self, module: str, *arguments: str | Path) -> None:
        self.name = module.rpartition(".")[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "SHOAL_THREADS": str(len(os.sched_getaffinity(0)))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if kind is None and self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """At once. Nothing happens to one that has ended."""
        self._process.kill()
        self._process.wait()

    def order(self, verb: str, **what: object) -> None:
        """Tells it to begin with something; `answer` waits for what comes of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"verb": verb, **what}).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        assert self._process.stdout is not None
        ends_at = time.monotonic() + seconds
        while b"\n" not in self._read:
            left = max(ends_at - time.monotonic(), 0)
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise TimeoutError(f"{self.name} did not answer in {seconds:.0f} s")
            part = os.read(self._process.stdout.fileno(), 65536)
            if not part:
                raise EOFError(f"{self.name} ended before it answered (exit code {self._process.wait()})")
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, verb: str, **what: object) -> dict[str, Any]:
        self.order(verb, **what)
        return self.answer()
