"""Memory does not grow with what is stored: at most 200 MB of its own for any job, 40 MB when idle.

Each job runs in a process of its own while this one samples /proc. Anonymous memory (the process's own) is held to
the limit; pages of files it mapped are the kernel's to drop, and are reported beside it, with the peak of both.
Sizes are 1 GiB and a tree of 20,000 files; with SHOAL_BIG=1 8 GiB; with SHOAL_KERNEL_TREE the kernel's sources.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1_000_000
OWN_BYTES_MAX = 200 * MB
IDLE_BYTES_MAX = 40 * MB
SAMPLE_SECONDS = 0.002
BIG = os.environ.get("SHOAL_BIG") == "1"
FILE_BYTES = (8 if BIG else 1) << 30
TREE_FILES = 20_000
MEMORY = Path("/dev/shm")


@dataclasses.dataclass
class Peak:
    """The most that a process had, in bytes."""

    own: int = 0
    mapped: int = 0
    total: int = 0
    seconds: float = 0.0
    printed: str = ""


def _status(pid: int) -> dict[str, int]:
    fields = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("RssAnon", "RssFile", "RssShmem", "VmHWM"):
            fields[name] = int(value.split()[0]) * 1024
    return fields


def measured(code: str, *arguments: object) -> Peak:
    """Runs Python code in a child with `arguments` as sys.argv[1:] and returns what it used."""
    peak = Peak()
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            try:
                now = _status(child.pid)
            except (FileNotFoundError, ProcessLookupError):
                return
            peak.own = max(peak.own, now.get("RssAnon", 0))
            peak.mapped = max(peak.mapped, now.get("RssFile", 0) + now.get("RssShmem", 0))
            peak.total = max(peak.total, now.get("VmHWM", 0))

    sampler = threading.Thread(target=sample)
    sampler.start()
    out, errors = child.communicate(timeout=1800)
    done.set()
    sampler.join()
    peak.seconds = time.perf_counter() - began
    peak.printed = out.strip()
    assert child.returncode == 0, errors
    return peak


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder in memory where that has room for input, store and copy; else on disk."""
    needed = 3 * FILE_BYTES + (2 << 30)
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > needed
    folder = Path(tempfile.mkdtemp(prefix="shoal-memory-", dir=MEMORY if in_memory else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def file(room: Path) -> Path:
    """One file of random-looking bytes, no two chunks of it equal."""
    path = room / "input"
    piece = 16 << 20
    with path.open("wb") as out:
        for number in range(FILE_BYTES // piece):
            out.write(hashlib.shake_128(b"%d" % number).digest(piece))
    return path


@pytest.fixture(scope="module")
def tree(room: Path) -> Path:
    """Many small files: the kernel's sources where they are, else as many as stand in TREE_FILES."""
    named = os.environ.get("SHOAL_KERNEL_TREE")
    if named and Path(named).is_dir():
        return Path(named)
    root = room / "tree"
    for number in range(TREE_FILES):
        folder = root / f"{number % 97}" / f"{number % 13}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(hashlib.shake_128(b"%d" % number).digest(number * 7919 % 30_000))
    return root


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str], record_property):
    def say(job: str, peak: Peak) -> None:
        words = (
            f"{job}: own {peak.own / MB:.0f} MB, mapped files {peak.mapped / MB:.0f} MB, "
            f"together {peak.total / MB:.0f} MB, {peak.seconds:.1f} s"
        )
        record_property(job, words)
        with capsys.disabled():
            print(f"\n{words}")

    return say


OPEN = "import sys, shoal; store = shoal.Store(sys.argv[1]); "

# Each gets the store, the input, a place to write to, and the root to read.
JOBS_OF_FILES = {
    "cat": "store.cat(sys.argv[4], open('/dev/null', 'wb'))",
    "cat in pieces": "[None for piece in store.cat(sys.argv[4])]",
    "read through a file": "file = store.open(sys.argv[4]); piece = bytearray(1 << 20)\nwhile file.readinto(piece): 0",
}
JOBS_OF_ANY = {
    "get": "store.get(sys.argv[4], sys.argv[3])",
    "export a CAR": "store.dag.export_car(sys.argv[4], sys.argv[3])",
    "count the DAG": "store.dag.stat(sys.argv[4])",
    "verify": "assert store.verify().ok",
    "collect": "store.gc()",
}
READING = [("file", job, code) for job, code in (JOBS_OF_FILES | JOBS_OF_ANY).items()]
READING += [("tree", job, code) for job, code in JOBS_OF_ANY.items()]


@pytest.fixture(scope="module")
def stored(room: Path, file: Path, tree: Path) -> dict[str, str]:
    """The roots of both inputs in one store."""
    code = "print(store.add(sys.argv[2]).cid)"
    return {
        kind: measured(OPEN + code, room / "store", path).printed for kind, path in (("file", file), ("tree", tree))
    }


@pytest.mark.parametrize("profile", ["blake3", "unixfs-v1-2025", "unixfs-v0-2015"])
@pytest.mark.parametrize("only_hash", [True, False], ids=["only-hash", "stored"])
@pytest.mark.parametrize("kind", ["file", "tree"])
def test_adding_stays_within_its_memory(request, room: Path, report, kind: str, only_hash: bool, profile: str):
    source = request.getfixturevalue(kind)
    try:
        code = f"store.add(sys.argv[2], profile={profile!r}, only_hash={only_hash})"
        peak = measured(OPEN + code, room / "scratch", source)
        report(f"add {kind}, {profile}{', only hash' * only_hash}", peak)
        assert peak.own <= OWN_BYTES_MAX
    finally:
        shutil.rmtree(room / "scratch", ignore_errors=True)


@pytest.mark.parametrize("how", ["file object", "iterator"])
def test_adding_a_stream_stays_within_its_memory(room: Path, file: Path, report, how: str):
    source = {
        "file object": "open(sys.argv[2], 'rb')",
        "iterator": "iter(lambda file=open(sys.argv[2], 'rb'): file.read(3_000_001), b'')",
    }[how]
    try:
        peak = measured(OPEN + f"store.add({source})", room / "scratch", file)
        report(f"add file, from {how}", peak)
        assert peak.own <= OWN_BYTES_MAX
    finally:
        shutil.rmtree(room / "scratch", ignore_errors=True)


@pytest.mark.parametrize(("kind", "job", "code"), READING, ids=[f"{job}-{kind}" for kind, job, _ in READING])
def test_reading_stays_within_its_memory(
    room: Path, file: Path, stored: dict[str, str], report, kind: str, job: str, code: str
):
    target = room / "target"
    try:
        peak = measured(OPEN + code, room / "store", file, target, stored[kind])
        report(f"{job}, {kind}", peak)
        assert peak.own <= OWN_BYTES_MAX
    finally:
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)


def test_importing_a_car_stays_within_its_memory(room: Path, stored: dict[str, str], report):
    car = room / "car"
    try:
        measured(OPEN + "store.dag.export_car(sys.argv[3], sys.argv[2])", room / "store", car, stored["file"])
        peak = measured(OPEN + "store.dag.import_car(sys.argv[2])", room / "scratch", car)
        report("import a CAR, file", peak)
        assert peak.own <= OWN_BYTES_MAX
    finally:
        car.unlink(missing_ok=True)
        shutil.rmtree(room / "scratch", ignore_errors=True)


def test_an_idle_store_takes_little(tmp_path: Path, report):
    code = OPEN + "store.stat(); print(*(line.split()[1] for line in open('/proc/self/status') if line[:5] == 'VmRSS'))"
    peak = measured(code, tmp_path / "store")
    bare = measured("print(*(line.split()[1] for line in open('/proc/self/status') if line[:5] == 'VmRSS'))")
    peak.total = int(peak.printed) * 1024
    report(f"idle (python alone {int(bare.printed) * 1024 / MB:.0f} MB)", peak)
    assert peak.total <= IDLE_BYTES_MAX
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 >= peak.total


def test_an_idle_store_of_many_blocks_takes_little(room: Path, stored: dict[str, str], report):
    assert stored
    code = OPEN + "store.stat(); print(*(line.split()[1] for line in open('/proc/self/status') if line[:5] == 'VmRSS'))"
    peak = measured(code, room / "store")
    peak.total = int(peak.printed) * 1024
    report("idle on a filled store", peak)
    assert peak.total <= IDLE_BYTES_MAX
