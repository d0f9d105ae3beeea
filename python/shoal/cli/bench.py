"""`shoal bench`: how fast this machine hashes, cuts, stores and reads, each beside the plain way to do it.

Every job is run a few times and its best time counts, as does its yardstick's: noise only ever adds.
The one rule: what is measured is what users call; nothing is switched off to look better.
"""

from __future__ import annotations

import hashlib
import os
import platform
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

    def _best(self, work: Callable[[], object], *, before: Callable[[], object] = lambda: None) -> float:
        times = []
        for _ in range(self._repeat):
            before()
            times.append(timed(work)[1])
        return min(times)

    def _row(self, what: str, seconds: float, yardstick: str, yardstick_seconds: float) -> Row:
        return Row(what, self._size, seconds, yardstick, yardstick_seconds)

    def _plain_hash(self, name: str, threads: int) -> float:
        return min(_core.bench_hash(name, self._size, threads) for _ in range(self._repeat))

    def _hash_rows(self) -> list[Row]:
        """Only-hash of a file, with reading, cutting and linking, beside hashing alone from memory."""
        with Store(self._folder / "hash") as store:
            blake3 = self._best(lambda: store.add(self._input, only_hash=True))
            sha256 = self._best(lambda: store.add(self._input, only_hash=True, profile=Profile.UNIXFS_V1_2025))
        return [
            self._row("hash a file, blake3", blake3, "BLAKE3 alone", self._plain_hash("blake3", thread_count())),
            self._row("hash a file, sha2-256", sha256, "OpenSSL's SHA-256", self._best(self._openssl)),
        ]

    def _openssl(self) -> None:
        with self._input.open("rb") as opened:
            hashlib.file_digest(opened, "sha256")

    def _chunk_rows(self) -> list[Row]:
        """Finding where to cut, beside BLAKE3 on one processor: cutting should not be what a file waits for."""
        plain = self._plain_hash("blake3", 1)
        return [
            self._row(
                f"cut, {chunker}",
                min(_core.bench_chunk(chunker, self._size) for _ in range(self._repeat)),
                "BLAKE3, one thread",
                plain,
            )
            for chunker in ("buzhash", "rabin")
        ]

    def _store_rows(self) -> list[Row]:
        copied = self._best(
            lambda: copy_file(self._input, self._folder / "copy"), before=lambda: _gone(self._folder / "copy")
        )
        _gone(self._folder / "copy")
        added = self._best_add()
        with Store(self._folder / "store") as store:
            cid = store.add(self._input).cid
            again = self._best(lambda: store.add(self._input))
            only_hash = self._best(lambda: store.add(self._input, only_hash=True))
            target = self._folder / "out"
            got = self._best(lambda: store.get(cid, target), before=lambda: _gone(target))
            _gone(target)
            printed = self._best(lambda: _through_pipe(lambda out: _cat(store, cid, out)))
            plain = self._best(lambda: _through_pipe(lambda out: _write_plainly(self._input, out)))
        return [
            self._row("add", added, "copy", copied),
            self._row("add again", again, "hash only", only_hash),
            self._row("get", got, "copy", copied),
            self._row("cat to a pipe", printed, "read and write", plain),
        ]

    def _best_add(self) -> float:
        times = []
        for number in range(self._repeat):
            folder = self._folder / f"add-{number}"
            with Store(folder) as store:
                times.append(timed(lambda: store.add(self._input))[1])
            _gone(folder)
        return min(times)


def _gone(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _cat(store: Store, cid: CID, out: int) -> None:
    store.cat(cid, out)


def _write_plainly(file: Path, out: int) -> None:
    """What `cat` does: read a buffer, write it."""
    buffer = bytearray(128 << 10)
    with file.open("rb", buffering=0) as opened:
        while count := opened.readinto(buffer):
            view = memoryview(buffer)[:count]
            while view:
                view = view[os.write(out, view) :]


def _through_pipe(work: Callable[[int], None]) -> None:
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
