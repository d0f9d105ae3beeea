"""What is measured on: a folder in memory, painted files, and trees of many files.

Painted bytes look random (nothing compresses, no two chunks are equal) and are the same in every run.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
MEMORY = Path("/dev/shm")
UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder to work in: SHOAL_BENCH_FOLDER, else one in memory, else a temporary one."""
    parent = os.environ.get("SHOAL_BENCH_FOLDER") or (MEMORY if os.access(MEMORY, os.W_OK) else None)
    folder = Path(tempfile.mkdtemp(prefix="shoal-bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_memory_backed(folder: Path) -> bool:
    """Whether what is written there stays in memory."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines())
    kinds = {Path(fields[1]): fields[2] for fields in mounts}
    mount = next(parent for parent in [folder, *folder.parents] if parent in kinds)
    return kinds[mount] in ("tmpfs", "ramfs")


def painted(length: int, seed: int = 1) -> bytes:
    """`length` bytes that look random and depend on the seed alone."""
    return random.Random(seed).randbytes(length)


def painted_file(path: Path, length: int, seed: int = 1) -> Path:
    """A painted file, written a few MiB at a time."""
    with path.open("wb") as file:
        for number, start in enumerate(range(0, length, 4 * MIB)):
            file.write(painted(min(4 * MIB, length - start), seed * 1_000_003 + number))
    return path


def painted_tree(folder: Path, files: int, seed: int = 1) -> Path:
    """A tree shaped like source code: some twenty files a folder, most of a few KiB, a few large."""
    source = random.Random(seed)
    for number in range(files):
        place = folder / f"part-{number // 400:03}" / f"room-{number // 20 % 20:02}"
        if number % 20 == 0:
            place.mkdir(parents=True, exist_ok=True)
        length = min(int(source.lognormvariate(8.6, 1.4)), 2 * MIB)
        (place / f"file-{number:06}.txt").write_bytes(source.randbytes(length))
    return folder


def source_tree() -> Path | None:
    """A real source tree: SHOAL_BENCH_TREE, or the kernel's of `.ci/kernel-tree`. None when neither is there."""
    named = os.environ.get("SHOAL_BENCH_TREE")
    if named:
        return Path(named)
    script = Path(__file__).resolve().parents[1] / ".ci" / "kernel-tree"
    if not script.is_file():
        return None
    fetched = subprocess.run([script], capture_output=True, text=True, check=False)
    return Path(fetched.stdout.strip().splitlines()[-1]) if fetched.returncode == 0 else None


def tree_size(folder: Path) -> tuple[int, int]:
    """Files and bytes of a tree. Symlinks count as files of no bytes."""
    files = total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(place, name))
            files += 1
            total += status.st_size if not os.path.islink(os.path.join(place, name)) else 0
    return files, total


def count(variable: str, default: int) -> int:
    """A number from the environment."""
    return int(os.environ.get(variable) or default)


def size_of(text: str) -> int:
    """Bytes, of an argument such as 1GiB."""
    number, unit = text[:-3], text[-3:]
    if unit not in UNITS or not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text}: write it as 512MiB or 1GiB")
    return int(number) * UNITS[unit]
