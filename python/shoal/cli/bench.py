"""`shoal bench`: how fast this machine hashes, cuts, stores and reads, each beside the plain way to do it.

Every job is run a few times and its best time counts, as does its yardstick's: noise only ever adds.
The one rule: what is measured is what users call; nothing is switched off to look better.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import threading
from typing import TYPE_CHECKING

import click

from shoal import CID, Profile, Store, _core
from shoal.cli.command import byte_count, command
from shoal.cli.measure import Row, Scratch, copy_file, scratch, table, thread_count, timed, write_input
from shoal.cli.output import human_bytes
from shoal.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PIPE_BYTES = 1 << 20
_SIZE_MAX = 16 << 30


@command("bench", examples=["shoal bench --size 64MiB", "shoal bench --size 64MiB --json"])
@click.option(
    "--size", callback=byte_count, default="256MiB", metavar="SIZE", help="Size of the input (default: 256MiB)."
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 20),
    default=3,
    metavar="N",
    help="Runs of each job, of which the best counts (default: 3).",
)
@pass_session
def bench(session: Session, size: int, repeat: int) -> None:
    """Measure this machine in under a minute.

    It works in a memory-backed folder where there is room, and touches no store of yours.
    The ratio says how fast Shoal is, the yardstick being 1.
    """
    if not 1 << 20 <= size <= _SIZE_MAX:
        raise click.BadParameter("between 1MiB and 16GiB", param_hint="--size")
    with scratch("bench", size, 3.2) as place:
        if not session.json:
            session.output.line(f"{human_bytes(place.bytes)} in {place.place}, {thread_count()} processors")
            session.output.line("")
        rows = _Bench(place, repeat).rows()
    record = {
        "processors": thread_count(),
        "machine": platform.machine(),
        "bytes": place.bytes,
        "folder": str(place.folder),
        "in_memory": place.in_memory,
        "rows": [row.record() for row in rows],
    }
    session.output.result(record, *table(rows))


class _Bench:
    """One run: its input, its store, and the best of several times for each job."""

    def __init__(self, place: Scratch, repeat: int) -> None:
        self._folder = place.folder
        self._size = place.bytes
        self._repeat = repeat
        self._input = place.folder / "input"
        write_input(self._input, self._size)

    def rows(self) -> list[Row]:
        return [*self._hash_rows(), *self._chunk_rows(), *self._store_rows()]

    def _row(self, what: str, job: Callable[[], float], yardstick: str, plain: Callable[[], float]) -> Row:
        """The best of each, run in turns so that a busy moment hits both alike. Each measures itself, in seconds."""
        pairs = [(plain(), job()) for _ in range(self._repeat)]
        return Row(what, self._size, min(pair[1] for pair in pairs), yardstick, min(pair[0] for pair in pairs))

    def _seconds(self, work: Callable[[], object]) -> float:
        return timed(work)[1]

    def _hash_rows(self) -> list[Row]:
        """Only-hash of a file, with reading, cutting and linking, beside hashing alone."""

        def only_hash(profile: Profile) -> float:
            return self._seconds(lambda: store.add(self._input, only_hash=True, profile=profile))

        with Store(self._folder / "hash") as store:
            return [
                self._row(
                    "hash a file, blake3",
                    lambda: only_hash(Profile.BLAKE3),
                    "BLAKE3 alone",
                    lambda: _core.bench_hash("blake3", self._size, thread_count()),
                ),
                self._row(
                    "hash a file, sha2-256",
                    lambda: only_hash(Profile.UNIXFS_V1_2025),
                    "OpenSSL's SHA-256",
                    lambda: self._seconds(self._openssl),
                ),
            ]

    def _openssl(self) -> None:
        with self._input.open("rb") as opened:
            hashlib.file_digest(opened, "sha256")

    def _chunk_rows(self) -> list[Row]:
        """Finding where to cut, beside BLAKE3 on one processor: cutting should not be what a file waits for."""
        return [
            self._row(
                f"cut, {chunker}",
                functools.partial(_core.bench_chunk, chunker, self._size),
                "BLAKE3, one thread",
                lambda: _core.bench_hash("blake3", self._size, 1),
            )
            for chunker in ("mincdc", "fastcdc", "buzhash", "rabin")
        ]

    def _store_rows(self) -> list[Row]:
        with Store(self._folder / "store") as store:
            cid = store.add(self._input).cid
            return [
                self._row("add", self._add, "copy", self._copy),
                self._row(
                    "add again",
                    lambda: self._seconds(lambda: store.add(self._input)),
                    "hash only",
                    lambda: self._seconds(lambda: store.add(self._input, only_hash=True)),
                ),
                self._row("get", lambda: self._get(store, cid), "copy", self._copy),
                self._row(
                    "cat to a pipe",
                    lambda: self._seconds(lambda: _through_pipe(lambda out: store.cat(cid, out))),
                    "read and write",
                    lambda: self._seconds(lambda: _through_pipe(lambda out: _write_plainly(self._input, out))),
                ),
            ]

    def _copy(self) -> float:
        target = self._folder / "copy"
        seconds = self._seconds(lambda: copy_file(self._input, target))
        target.unlink()
        return seconds

    def _add(self) -> float:
        """Into a new store each time, committed."""
        folder = self._folder / "new"
        with Store(folder) as store:
            seconds = self._seconds(lambda: store.add(self._input))
        shutil.rmtree(folder)
        return seconds

    def _get(self, store: Store, cid: CID) -> float:
        target = self._folder / "out"
        seconds = self._seconds(lambda: store.get(cid, target))
        target.unlink()
        return seconds


def _write_plainly(file: Path, out: int) -> None:
    """What `cat` does: read a buffer, write it."""
    buffer = bytearray(128 << 10)
    with file.open("rb", buffering=0) as opened:
        while count := opened.readinto(buffer):
            view = memoryview(buffer)[:count]
            while view:
                view = view[os.write(out, view) :]


def _through_pipe(work: Callable[[int], object]) -> None:
    """Runs `work` with the writing end of a pipe whose other end is read as fast as it comes."""
    reading, writing = os.pipe()
    _widen(writing)
    reader = threading.Thread(target=_drain, args=(reading,))
    reader.start()
    try:
        work(writing)
    finally:
        os.close(writing)
        reader.join()
        os.close(reading)


def _widen(pipe: int) -> None:
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        return  # the usual 64 KiB, for both


def _drain(pipe: int) -> None:
    buffer = bytearray(_PIPE_BYTES)
    while os.readv(pipe, [buffer]):
        pass
