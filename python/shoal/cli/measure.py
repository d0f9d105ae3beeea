"""What `shoal demo` and `shoal bench` share: a scratch folder, input, yardsticks, and the table they end with.

A yardstick is the plain way to do the same work, measured in the same run and folder: hashing alone, copying alone.
The one rule: a figure is never shown without its yardstick, and the scratch folder is gone at the end, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from shoal.cli.output import human_bytes
from shoal.errors import StoreFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - used only below a private folder of our own
_BLOCK_BYTES = 1 << 20
SMALLEST_BYTES = 16 << 20
# What has to stay free beside what we use: this is somebody's machine.
_SPARE_BYTES = 256 << 20


@dataclass(frozen=True)
class Row:
    """One job measured beside its yardstick. Seconds are of wall time; bytes are those of the input."""

    what: str
    bytes: int
    seconds: float
    yardstick: str
    yardstick_seconds: float

    @property
    def rate(self) -> float:
        """Megabytes (10⁶) a second."""
        return self.bytes / self.seconds / 1e6

    @property
    def yardstick_rate(self) -> float:
        return self.bytes / self.yardstick_seconds / 1e6

    @property
    def ratio(self) -> float:
        """How fast we are, the yardstick being 1."""
        return self.yardstick_seconds / self.seconds

    def record(self) -> dict[str, object]:
        return {
            "what": self.what,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 4),
            "mb_per_second": round(self.rate, 1),
            "yardstick": self.yardstick,
            "yardstick_seconds": round(self.yardstick_seconds, 4),
            "yardstick_mb_per_second": round(self.yardstick_rate, 1),
            "ratio": round(self.ratio, 2),
        }


def table(rows: list[Row]) -> list[str]:
    """The rows as aligned lines, words to the left and figures to the right."""
    cells = [["what", "seconds", "MB/s", "yardstick", "MB/s", "ratio"]]
    cells += [
        [
            row.what,
            f"{row.seconds:.2f}",
            f"{row.rate:,.0f}",
            row.yardstick,
            f"{row.yardstick_rate:,.0f}",
            f"{row.ratio:.2f}",
        ]
        for row in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, 3) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What one call returns, and the wall seconds it takes."""
    begun = time.perf_counter()
    result = work()
    return result, max(time.perf_counter() - begun, 1e-9)


@dataclass(frozen=True)
class Scratch:
    """A private folder for one run, and where it lies."""

    folder: Path
    in_memory: bool
    bytes: int

    @property
    def place(self) -> str:
        return f"{self.folder} ({'memory-backed' if self.in_memory else 'on disk'})"


@contextlib.contextmanager
def scratch(name: str, wanted: int, folds: float, *, keep: bool = False) -> Iterator[Scratch]:
    """A new folder with room for `folds` times the input, whose size is `wanted` bytes or as much of it as fits.

    It lies in memory where there is enough, so that the engine is measured and not the disk; else in the temp folder.
    It is removed at the end, also after an error, Ctrl-C or SIGTERM, unless `keep`. StoreFull if nothing has room.
    """
    place, in_memory, size = _place(wanted, folds)
    folder = Path(tempfile.mkdtemp(prefix=f"shoal-{name}-", dir=place))
    try:
        with _signals_as_exits():
            yield Scratch(folder, in_memory, size)
    finally:
        if not keep:
            _remove(folder)


def _place(wanted: int, folds: float) -> tuple[Path, bool, int]:
    temporary = Path(tempfile.gettempdir())
    rooms = [
        (_MEMORY_FOLDER, True, _memory_room()),
        (temporary, _is_memory(temporary), _free(temporary) - _SPARE_BYTES),
    ]
    for place, in_memory, room in rooms:
        # A little less in memory beats all of it on a disk; much less does not show anything.
        if room >= wanted * folds or (in_memory and room >= wanted * folds / 4 and wanted > SMALLEST_BYTES):
            return place, in_memory, _fitting(wanted, int(room / folds))
    place, in_memory, room = max(rooms, key=lambda entry: entry[2])
    if room < SMALLEST_BYTES * folds:
        needed = human_bytes(int(SMALLEST_BYTES * folds) + _SPARE_BYTES)
        raise StoreFull(
            f"no room to work in {temporary}: free at least {needed}, or set TMPDIR to a folder that has it"
        )
    return place, in_memory, _fitting(wanted, int(room / folds))


def _fitting(wanted: int, room: int) -> int:
    while wanted > room and wanted > SMALLEST_BYTES:
        wanted //= 2
    return wanted


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _is_memory(folder: Path) -> bool:
    """Whether the folder lies on a tmpfs, by Linux's list of mounts; False where there is no such list."""
    best, kind = "", ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, point, filesystem, *_ = line.split(" ")
            if len(point) >= len(best) and (folder / "x").resolve().is_relative_to(point):
                best, kind = point, filesystem
    return kind in ("tmpfs", "ramfs")


def _memory_room() -> int:
    """Bytes that a memory-backed folder can take without pushing anybody out; 0 where there is none."""
    if not os.access(_MEMORY_FOLDER, os.W_OK) or not _is_memory(_MEMORY_FOLDER):
        return 0
    room = _free(_MEMORY_FOLDER)
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        room = min(room, next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        room = min(room, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return room - _SPARE_BYTES


@contextlib.contextmanager
def _signals_as_exits() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP unwind the stack, so that what cleans up is run."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before: dict[signal.Signals, Any] = {}
    with contextlib.suppress(ValueError):  # not the main thread: the caller owns the signals
        for number in (signal.SIGTERM, signal.SIGHUP):
            before[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remove(folder: Path) -> None:
    """Removes the folder even if Ctrl-C is pressed again meanwhile."""
    before = signal.getsignal(signal.SIGINT)
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, before)


def write_input(file: Path, size: int) -> None:
    """A file that looks random, has no block twice, and is the same on every machine, so that its CID is too."""
    block = bytearray(random.Random(_BLOCK_BYTES).randbytes(_BLOCK_BYTES))  # noqa: S311 - input for a measurement
    with file.open("wb", buffering=0) as opened:
        for number in range(-(-size // _BLOCK_BYTES)):
            block[:8] = number.to_bytes(8, "little")
            opened.write(memoryview(block)[: size - number * _BLOCK_BYTES])


def copy_file(source: Path, target: Path) -> None:
    """The yardstick for storing: a plain copy, kept as durably as a commit."""
    shutil.copyfile(source, target)
    with target.open("rb+") as opened:
        os.fsync(opened.fileno())


def copy_tree(source: Path, target: Path) -> None:
    """The yardstick for trees: `cp -r`, or Python's own copy where there is no cp."""
    program = shutil.which("cp")
    if program is None:
        shutil.copytree(source, target, symlinks=True)
    else:
        subprocess.run([program, "-r", "--", source, target], check=True)  # noqa: S603


def thread_count() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
