"""The yardsticks: what a figure is held against, measured in the same run on the same bytes.

A yardstick is a plain program that everyone has (cp, cat, b3sum). Its own start is measured on nothing and taken off,
since Shoal's is not counted either.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benches.machine import program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def seconds(work: Callable[[], object]) -> float:
    """How long `work` took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def command_seconds(command: Sequence[str | Path], **options: object) -> float:
    """How long a program took, from its start to its end."""
    return seconds(lambda: subprocess.run(list(command), check=True, stdout=subprocess.DEVNULL, **options))  # type: ignore[call-overload]


def start_seconds(command: Sequence[str | Path], rounds: int = 5) -> float:
    """How long a program takes that has nothing to do: the median of some rounds."""
    return statistics.median(command_seconds(command) for _ in range(rounds))


def as_time(seconds: float) -> str:
    """Seconds, or microseconds where there is less than one thousandth of one."""
    return f"{seconds:.3f} s" if seconds >= 0.001 else f"{seconds * 1e6:.0f} µs"


@dataclass(frozen=True)
class Yardstick:
    """A figure and what made it."""

    name: str
    seconds: float

    def line(self, ours: float, size: int) -> str:
        """One line that sets our seconds beside it. Ratio over 1: Shoal was faster."""
        speed = f"{size / ours / 1e6:,.0f} MB/s, " if size else ""
        return f"{speed}{as_time(ours)}; {self.name} {as_time(self.seconds)}; ratio {self.seconds / ours:.2f}"


def best(name: str, work: Callable[[], float], rounds: int = 3) -> Yardstick:
    """The fastest of some rounds."""
    return Yardstick(name, min(work() for _ in range(rounds)))


def b3sum(file: Path, threads: int) -> Yardstick | None:
    """Plain BLAKE3 of a file, by its own program. None when that is not there (`cargo install b3sum`)."""
    binary = program("b3sum", "SHOAL_B3SUM")
    if binary is None:
        return None
    arguments = [binary, "--no-names", "--num-threads", str(threads)]
    start = start_seconds([*arguments, "/dev/null"])
    return best("b3sum", lambda: command_seconds([*arguments, file]) - start)


def cp(file: Path, target: Path) -> Yardstick:
    """A plain copy to a new file."""

    def once() -> float:
        target.unlink(missing_ok=True)
        return command_seconds(["cp", "--reflink=never", file, target])

    start = start_seconds(["cp", "--version"])
    found = best("cp", lambda: once() - start)
    target.unlink()
    return found


def cp_tree(folder: Path, target: Path) -> Yardstick:
    """A plain copy of a tree to a new folder."""

    def once() -> float:
        shutil.rmtree(target, ignore_errors=True)
        return command_seconds(["cp", "-r", "--reflink=never", folder, target])

    found = best("cp -r", once, rounds=2)
    shutil.rmtree(target)
    return found


def cat(file: Path) -> Yardstick:
    """A file through a pipe."""
    return best("cat", lambda: through_a_pipe(lambda out: subprocess.run(["cat", file], stdout=out, check=True)))


def through_a_pipe(write: Callable[[int], object]) -> float:
    """How long `write` takes into a pipe that `cat` reads, until that has read it all."""
    reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert reader.stdin is not None
    started = time.perf_counter()
    write(reader.stdin.fileno())
    reader.stdin.close()
    reader.wait()
    return time.perf_counter() - started
