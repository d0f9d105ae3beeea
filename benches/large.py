"""A store of many small blocks: `python -m benches.large [--blocks 10000000]`.

Fills a store with generated blocks of 100 bytes, then measures what grows with their number: opening, memory, lookups, reads, the
rebuilding of lost indexes, and many processes reading at once; then blocks of 4 KiB. Prints a Markdown table with a yardstick
beside each figure, measured in the same run. Works in memory, or in SHOAL_BENCH_FOLDER: some 280 bytes a block, and 1 GB besides.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import shoal
from benches.machine import this_machine
from benches.material import working_folder
from benches.yardstick import as_time, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SMALL_BYTES = 100
LARGE_BYTES = 4096
FILL_BATCH = 100_000
HASH = "blake3"
ROUNDS = 5


def small(number: int) -> bytes:
    """Block `number` of the store: 100 bytes."""
    return number.to_bytes(8, "little") * 12 + b"blok"


def cid_of(data: bytes) -> shoal.CID:
    return shoal.CID.of(data, hash=HASH)


def asked(blocks: int, count: int, seed: int) -> list[shoal.CID]:
    """CIDs of `count` random blocks."""
    source = random.Random(seed)
    return [cid_of(small(source.randrange(blocks))) for _ in range(count)]


def batches(items: list[shoal.CID], size: int) -> Iterator[list[shoal.CID]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def resident() -> dict[str, int]:
    """Bytes of this process that are in memory: its own (`RssAnon`), and mapped from files, which other processes share."""
    found = {}
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name in ("RssAnon", "RssFile", "RssShmem"):
            found[name] = int(value.split()[0]) * 1024
    return found


def row(what: str, figure: str, goal: str, yardstick: str = "") -> None:
    print(f"| {what} | {figure} | {goal} | {yardstick} |", flush=True)


def rate(count: int, took: float) -> str:
    each = count / took
    return f"{each / 1e6:,.2f} M/s" if each >= 1e6 else f"{each:,.0f}/s"


def fill(place: Path, blocks: int) -> None:
    """Puts all blocks, a batch in each commit."""
    put = made = 0.0
    with shoal.Store(place) as store:
        for start in range(0, blocks, FILL_BATCH):
            some = [small(number) for number in range(start, min(blocks, start + FILL_BATCH))]
            put += seconds(functools.partial(store.put_many, some, hash=HASH))
            made += seconds(lambda some=some: [hashlib.sha256(block).digest() for block in some])  # type: ignore[misc]
            if sys.stderr.isatty():
                print(f"\r{start + len(some):,} blocks put", end="", file=sys.stderr, flush=True)
    row(f"put_many, {SMALL_BYTES} B", rate(blocks, put), "", f"hashlib.sha256 one by one {rate(blocks, made)}")


def opening(place: Path, blocks: int) -> None:
    """Opens it for reading and for writing, and looks one block up; the median of some rounds."""
    spent = {False: [], True: []}
    first = cid_of(small(blocks // 2))
    for _ in range(ROUNDS):
        for read_only, times in spent.items():

            def once(read_only: bool = read_only) -> None:
                with shoal.Store(place, read_only=read_only) as store:
                    assert store.has(first)

            times.append(seconds(once))
    for read_only, times in spent.items():
        kind = "read-only" if read_only else "to write"
        row(f"open {kind}, and one lookup", as_time(statistics.median(times)), "1 s")


def memory(place: Path, blocks: int, seed: int) -> None:
    """In a process of its own: what it holds after a random read mix."""
    reads = min(blocks, 500_000)
    present = asked(blocks, 10_000, seed)
    source = random.Random(seed + 1)
    with shoal.Store(place) as warm:
        warm.has_many(present)
    before = resident()
    with shoal.Store(place) as store:
        for _ in range(reads // 1000):
            numbers = [source.randrange(2 * blocks) for _ in range(1000)]
            cids = [cid_of(small(number)) for number in numbers]
            there = [cid for cid, is_here in zip(cids, store.has_many(cids), strict=True) if is_here]
            assert len(there) == sum(number < blocks for number in numbers)
            for block in store.get_many(there):
                assert len(block) == SMALL_BYTES
        del there, cids, block
        after = resident()
    own = after["RssAnon"] - before["RssAnon"]
    mapped = sum(after.values()) - after["RssAnon"]
    row(
        "memory of its own, after a random read mix",
        f"{own / blocks:.1f} B a block ({own / 1e6:,.0f} MB)",
        "16 B",
        f"mapped from files, shared and reclaimable: {mapped / 1e6:,.0f} MB",
    )


def reading(place: Path, blocks: int, seed: int) -> None:
    """Single gets, and batches."""
    count = min(blocks, 200_000)
    cids = asked(blocks, count, seed)
    absent = [cid_of(small(blocks + number)) for number in range(count)]
    with shoal.Store(place) as store:
        store.has_many(cids)
        times = []
        for cid in cids:
            started = time.perf_counter_ns()
            store.get_block(cid)
            times.append(time.perf_counter_ns() - started)
        times.sort()
        p50, p99, p999 = (times[int(len(times) * part)] / 1e9 for part in (0.5, 0.99, 0.999))
        known = dict.fromkeys(map(bytes, cids), b"")
        looked_up = sorted(seconds(lambda cid=cid: known[bytes(cid)]) for cid in cids)  # type: ignore[misc]
        row(
            "get, one by one: p50, p99, p99.9, longest",
            f"{as_time(p50)}, {as_time(p99)}, {as_time(p999)}, {as_time(times[-1] / 1e9)}",
            "p99 1 ms",
            f"a dict of {count:,}: p99 {as_time(looked_up[int(count * 0.99)])}",
        )
        held = set(cids)
        for name, some in (("present", cids), ("absent", absent)):
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(seconds(lambda some=some: [store.has_many(part) for part in batches(some, 10_000)]))  # type: ignore[misc]
                theirs.append(seconds(lambda some=some: [cid in held for cid in some]))  # type: ignore[misc]
            beside = f"a set of {len(held):,} CIDs {rate(count, min(theirs))}"
            row(f"has_many, {name}, batches of 10,000", rate(count, min(ours)), "2 M/s", beside)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(seconds(lambda: [store.get_many(part) for part in batches(cids, 1000)]))
            plain = [small(number) for number in range(count)]
            theirs.append(seconds(lambda plain=plain: [hashlib.sha256(block).digest() for block in plain]))  # type: ignore[misc]
        beside = f"hashlib.sha256 of as many {rate(count, min(theirs))}"
        row(f"get_many, {SMALL_BYTES} B, batches of 1,000", rate(count, min(ours)), "300,000/s", beside)


def plain_reads(file: Path, count: int, seed: int) -> None:
    """Reads as many blocks of a plain file, in random order and unverified."""
    with file.open("rb", buffering=0) as plain:
        for number in random.Random(seed).sample(range(count), count):
            os.pread(plain.fileno(), LARGE_BYTES, number * LARGE_BYTES)


def large_round(place: Path, count: int, seed: int) -> tuple[float, float, float, float]:
    """Puts and gets blocks of 4 KiB, beside writing and hashing, and reading, as many without a store."""
    content = random.Random(seed).randbytes(count * LARGE_BYTES)
    some = [content[at : at + LARGE_BYTES] for at in range(0, len(content), LARGE_BYTES)]
    plain = place.parent / "plain"
    cids: list[shoal.CID] = []
    with shoal.Store(place) as store:
        put = seconds(lambda: cids.extend(store.put_many(some, hash=HASH)))
        got = seconds(lambda: [store.get_many(part) for part in batches(cids, 1000)])
    wrote = seconds(lambda: [plain.write_bytes(content), [hashlib.sha256(block).digest() for block in some]])
    read = seconds(lambda: plain_reads(plain, count, seed))
    plain.unlink()
    shutil.rmtree(place)
    return put, got, wrote, read


def large_blocks(place: Path, seed: int) -> None:
    count = 50_000
    put, got, wrote, read = (
        min(column) for column in zip(*(large_round(place, count, seed + n) for n in range(ROUNDS)), strict=True)
    )
    beside = f"write and hashlib.sha256 {rate(count, wrote)}"
    row(f"put_many, 4 KiB, {count:,} in a commit", rate(count, put), "150,000/s", beside)
    row("get_many, 4 KiB, batches of 1,000", rate(count, got), "300,000/s", f"os.pread, unverified {rate(count, read)}")


def rebuild(place: Path, blocks: int, seed: int) -> None:
    """Deletes every index, and asks for blocks again."""
    packs = sorted((place / "packs").glob("*.car"))
    for kind in ("packs/*.idx", "packs/*.log", "index/*.mrg"):
        for index in place.glob(kind):
            index.unlink()
    size = sum(pack.stat().st_size for pack in packs)
    read = seconds(lambda: subprocess.run(["cat", *packs], stdout=subprocess.DEVNULL, check=True))
    cids = asked(blocks, 10_000, seed)

    def again() -> None:
        with shoal.Store(place) as store:
            assert all(store.has_many(cids))

    row(
        "all indexes deleted: until 10,000 lookups are right",
        as_time(seconds(again)),
        "60 s",
        f"cat of {size / 1e6:,.0f} MB of packs {as_time(read)}",
    )


def reader(place: Path, cids: list[bytes], ready: object, start: object, times: object) -> None:
    """A process that reads all of these, when told to."""
    own = [shoal.CID(cid) for cid in cids]
    with shoal.Store(place, read_only=True) as store:
        store.get_many(own[:1000])
        ready.release()  # type: ignore[attr-defined]
        start.wait()  # type: ignore[attr-defined]
        took = seconds(lambda: [store.get_many(part) for part in batches(own, 1000)])
        times.put(took)  # type: ignore[attr-defined]


def spinner(ready: object, start: object, times: object) -> None:
    """A process that only computes: what the machine itself gives to many."""
    ready.release()  # type: ignore[attr-defined]
    start.wait()  # type: ignore[attr-defined]
    data = bytes(1 << 20)
    times.put(seconds(lambda: [hashlib.sha256(data).digest() for _ in range(400)]))  # type: ignore[attr-defined]


def together(count: int, target: Callable[..., None], *args: object) -> float:
    """How long the slowest of `count` processes takes that begin at once."""
    context = multiprocessing.get_context("spawn")
    ready, start, times = context.Semaphore(0), context.Event(), context.Queue()
    processes = [context.Process(target=target, args=(*args, ready, start, times)) for _ in range(count)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    start.set()
    slowest = max(times.get(timeout=600) for _ in processes)
    for process in processes:
        process.join()
    return slowest


def processes(place: Path, blocks: int, seed: int) -> None:
    """One process and several reading the same blocks."""
    cids = [bytes(cid) for cid in asked(blocks, min(blocks, 200_000), seed)]
    alone = min(together(1, reader, place, cids) for _ in range(2))
    spun = min(together(1, spinner) for _ in range(2))
    for count in (2, 4):
        ours = min(together(count, reader, place, cids) for _ in range(2))
        theirs = min(together(count, spinner) for _ in range(2))
        goal = "3 on four cores, 1.7 on two" if count == 4 else "1.7"
        row(
            f"{count} processes reading, against one",
            f"{count * alone / ours:.2f} times as fast",
            goal,
            f"hashing alone {count * spun / theirs:.2f}",
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.large", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--blocks", type=int, default=1_000_000, help="blocks of 100 bytes")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    machine = this_machine()
    print(
        f"{machine.processor}, {machine.cores_used} cores, {' '.join(machine.flags)}; {options.blocks:,} blocks, seed {options.seed}\n"
    )
    print("| what | measured | goal | beside it |\n| --- | --- | --- | --- |")
    with working_folder() as folder:
        place = folder / "store"
        fill(place, options.blocks)
        opening(place, options.blocks)
        measured = multiprocessing.get_context("spawn").Process(
            target=memory, args=(place, options.blocks, options.seed)
        )
        measured.start()
        measured.join()
        assert measured.exitcode == 0
        reading(place, options.blocks, options.seed)
        processes(place, options.blocks, options.seed)
        rebuild(place, options.blocks, options.seed)
        large_blocks(folder / "large-blocks", options.seed)


if __name__ == "__main__":
    main()
