"""The real `shoal` on a disk that fails it: system calls that end in an error, disks that are full, and limits that are low.

The invariants: what was acknowledged can be read; what was not leaves the store sound; the error is one line of words; with the disk
well again, work goes on. Each failing call is run in a process of its own, under strace.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import shoal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Shoal

EVERY = 1 if os.environ.get("SHOAL_BIG") == "1" else 3
"""Which of the failing calls are tried in an ordinary run: each is a process."""

WRITER = """
import sys, shoal
store = shoal.Store(sys.argv[1], pack_bytes_max=20_000)
for n in range(int(sys.argv[2]), int(sys.argv[3])):
    data = b"".join(b"%d %d\\n" % (n, line) for line in range(700))
    print(n, store.add(data, pin=True).cid, flush=True)
"""


def content(n: int) -> bytes:
    return b"".join(b"%d %d\n" % (n, line) for line in range(700))


def write(
    store: Path, first: int, last: int, *before: str, limits: Callable[[], None] | None = None
) -> tuple[int, dict[int, str], str]:
    """Adds numbered files in another process: its exit code, the CIDs it acknowledged, and the last line it complained with."""
    command = [*before, sys.executable, "-c", WRITER, str(store), str(first), str(last)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, preexec_fn=limits)
    acknowledged = {int(n): cid for n, cid in (line.split() for line in run.stdout.splitlines())}
    return run.returncode, acknowledged, (run.stderr.strip().splitlines() or [""])[-1]


def check_only(store: Path, acknowledged: dict[int, str]) -> None:
    """What was acknowledged is there."""
    with shoal.Store(store, read_only=True) as opened:
        for n, cid in acknowledged.items():
            assert opened.read(cid) == content(n), f"file {n} is lost"


def check(store: Path, acknowledged: dict[int, str]) -> None:
    """What was acknowledged is there, everything there is sound, and the store takes new work."""
    check_only(store, acknowledged)
    with shoal.Store(store) as opened:
        assert opened.read(opened.add(b"new work").cid) == b"new work"
        assert opened.verify().ok


@pytest.fixture
def strace(missing_counterpart: Callable[[str, str], None]) -> str:
    program = shutil.which("strace")
    if program is None or subprocess.run([program, "-o", os.devnull, "true"], capture_output=True).returncode:
        missing_counterpart("strace", "install the package strace, and run where processes may be traced")
    assert program
    return program


@pytest.mark.interop
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EINTR"])
@pytest.mark.parametrize("call", ["fsync,fdatasync", "pwritev,pwrite64", "ftruncate", "rename,renameat,renameat2"])
def test_any_system_call_of_a_writer_may_fail(strace: str, tmp_path: Path, call: str, error: str):
    seed = tmp_path / "seed"
    code, kept, _ = write(seed, 0, 3)
    assert (code, len(kept)) == (0, 3)
    failed = 0
    for when in range(1, 60, EVERY):
        store = tmp_path / f"store-{when}"
        shutil.copytree(seed, store)
        trace = tmp_path / "trace"
        inject = f"inject={call}:error={error}:when={when}"
        code, acknowledged, complaint = write(
            store, 3, 9, strace, "-f", "-qq", "-o", str(trace), "-e", f"trace={call}", "-e", inject
        )
        is_injected = "INJECTED" in trace.read_text()
        assert code == 0 or complaint.startswith("shoal.errors."), complaint
        assert code == 0 or is_injected, complaint
        check(store, kept | acknowledged)
        shutil.rmtree(store)
        if not is_injected:
            break
        failed += 1
        # Only what can be made again may fail unnoticed: an index.
        assert code != 0 or len(acknowledged) == 6
    # A file is only ever cut after another failure.
    assert failed > 0 or call == "ftruncate", f"no {call} in all of it"


@pytest.mark.interop
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_the_command_line_says_in_one_line_that_the_disk_failed(strace: str, shoal: Shoal, tmp_path: Path, error: str):
    (shoal.folder / "file").write_bytes(content(1))
    shoal("add", "--quiet", "file")
    (shoal.folder / "other").write_bytes(content(2))
    for when in (1, 2):
        run = shoal.script(
            f"exec strace -f -qq -o /dev/null -e inject=fdatasync:error={error}:when={when} shoal add -Q other"
        )
        assert run.code != 0
        assert "Traceback" not in run.errors
        assert run.out == ""
    shoal("verify")
    shoal("add", "-Q", "other")


@pytest.fixture
def small_disk(tmp_path: Path, missing_counterpart: Callable[[str, str], None]) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    done = (
        subprocess.run([mount or "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
        if mount
        else None
    )
    if done is None or done.returncode:
        missing_counterpart("a small disk", "run as root, where a tmpfs may be mounted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill_up(filler: Path) -> None:
    """Leaves not a byte."""
    with pytest.raises(OSError, match="No space"), filler.open("ab", buffering=0) as file:
        while file.write(bytes(100)):
            pass


@pytest.mark.interop
def test_a_disk_filled_to_the_brim_serves_reads_and_takes_work_again_when_there_is_room(small_disk: Path):
    store = small_disk / "store"
    filler = small_disk / "filler"
    filler.write_bytes(bytes(100_000))
    code, kept, complaint = write(store, 0, 1000)
    assert code != 0
    assert complaint.startswith("shoal.errors.StoreFull"), complaint
    assert len(kept) > 20
    fill_up(filler)
    with shoal.Store(store) as opened:
        for n, cid in kept.items():
            assert opened.read(cid) == content(n)
        with pytest.raises(shoal.errors.StoreFull):
            opened.add(bytes(range(256)) * 4000)
    filler.unlink()
    check(store, kept)
    # Nobody else has to make room: what removes pins and blocks has some in reserve.
    fill_up(filler)
    with shoal.Store(store) as opened:
        for n in list(kept)[::2]:
            opened.pin.rm(kept[n])
    check_only(store, kept)
    with shoal.Store(store) as opened:
        assert opened.gc().bytes > 0
    check(store, dict(list(kept.items())[1::2]))


@pytest.mark.parametrize("limit", [64_000, 100_000, 1_000_000])
def test_a_low_limit_on_the_size_of_files_is_a_full_store(tmp_path: Path, limit: int):
    store = tmp_path / "store"
    # One pack, which meets the limit.
    writer = WRITER.replace("pack_bytes_max=20_000", "pack_bytes_max=1 << 30")
    command = [sys.executable, "-c", writer, str(store), "0", "300"]
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    acknowledged = {int(n): cid for n, cid in (line.split() for line in run.stdout.splitlines())}
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("shoal.errors.StoreFull")
    assert len(acknowledged) >= limit // 10_000
    check(store, acknowledged)


def test_sixty_four_open_files_are_enough_for_hundreds_of_packs(tmp_path: Path):
    store = tmp_path / "store"
    code, acknowledged, complaint = write(
        store, 0, 500, limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    )
    assert (code, len(acknowledged)) == (0, 500), complaint
    assert len(list((store / "packs").glob("*.car"))) > 100
    check(store, acknowledged)
