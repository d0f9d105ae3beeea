"""Readers in other processes never notice the writer: no error, no wrong byte, no wait for a lock.

Four processes read random ranges of files that the writer has acknowledged, while it adds, seals a pack every 64 MiB,
deletes, and collects. Every byte is known from the file's number, so a reader needs nothing but the CID to check it.
512 MiB in all; 2 GiB with SHOAL_BIG=1.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

MIB = 1 << 20
BYTES_TOTAL = (2048 if os.environ.get("SHOAL_BIG") == "1" else 512) * MIB
PACK_BYTES = 64 * MIB
READERS = 4
READ_SECONDS_MAX = 5
"""A read takes milliseconds; what waits for a lock waits for a whole add. Between them lies a machine under load."""
LOCKS = Path("/proc/locks")
LOOK_SECONDS = 0.005


CONTENT = """
import hashlib

def size_of(number):
    return 200_000 + number * 7_654_321 % 6_000_000

def piece(number, index):
    return hashlib.shake_128(b"%d %d" % (number, index)).digest(1 << 16)

def content(number):
    size = size_of(number)
    return b"".join(piece(number, index) for index in range(size // (1 << 16) + 1))[:size]

def expected(number, start, length):
    first, last = start >> 16, (start + length) >> 16
    joined = b"".join(piece(number, index) for index in range(first, last + 1))
    return joined[start - (first << 16):][:length][:max(0, size_of(number) - start)]
"""

WRITER = (
    CONTENT
    + """
import json, sys, shoal
folder, acknowledged, total, pack_bytes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
store = shoal.Store(folder, pack_bytes_max=pack_bytes)
kept, dropped, written, number, freed, collections = [], 0, 0, 0, 0, 0
with open(acknowledged, "a") as log:
    while written < total:
        keep = number % 3 != 2
        added = store.add(content(number), pin=keep, profile="blake3" if number % 2 else "unixfs-v1-2025")
        written += added.bytes
        if keep:
            # Only what stays is named to the readers: the others are there to be deleted and collected.
            log.write(json.dumps([number, str(added.cid)]) + "\\n")
            log.flush()
        else:
            dropped += 1
            if number % 2:
                store.delete(added.cid)
        if number % 25 == 24:
            freed += store.gc().bytes
            collections += 1
        number += 1
    stat = store.stat()
    report = store.verify()
print(json.dumps({"files": number, "dropped": dropped, "freed": freed, "collections": collections, "packs": stat.packs,
                  "ok": report.ok, "bytes": written}))
"""
)

READER = (
    CONTENT
    + """
import json, os, random, sys, time, shoal
folder, acknowledged, stop, seed = sys.argv[1:5]
dice = random.Random(int(seed))
files, reads, longest, read_bytes = [], 0, 0.0, 0
log = open(acknowledged)
store = shoal.Store(folder, read_only=True)
while not os.path.exists(stop):
    for line in log:
        files.append(json.loads(line))
    if not files:
        time.sleep(0.01)
        continue
    # The newest as often as all others: what was acknowledged a moment ago is the hard case.
    number, cid = files[-1] if dice.random() < 0.5 else dice.choice(files)
    start = dice.randrange(size_of(number))
    length = dice.choice([1, 100, 4096, 100_000, 700_000])
    began = time.perf_counter()
    if dice.random() < 0.5:
        data = store.read(cid, start, length)
    else:
        with store.open(cid) as file:
            file.seek(start)
            data = file.read(length)
    longest = max(longest, time.perf_counter() - began)
    wanted = expected(number, start, length)
    if data != wanted:
        sys.exit(f"wrong bytes: file {number}, {length} from {start}: got {len(data)}, wanted {len(wanted)}")
    reads += 1
    read_bytes += length
    if reads % 200 == 0:
        # A new process's view, beside the one that has been open all the while.
        store.close()
        store = shoal.Store(folder, read_only=True)
print(json.dumps({"reads": reads, "longest": longest, "files": len(files), "bytes": read_bytes}))
"""
)


def test_readers_see_every_byte_while_a_writer_adds_seals_deletes_and_collects(capsys: pytest.CaptureFixture[str]):
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and shutil.disk_usage(memory).free > 2 * BYTES_TOTAL
    folder = Path(tempfile.mkdtemp(prefix="shoal-beside-", dir=memory if in_memory else None))
    children: list[subprocess.Popen[str]] = []
    try:
        acknowledged, stop = folder / "acknowledged", folder / "stop"
        acknowledged.touch()

        def start(code: str, *arguments: object) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", code, *map(str, arguments)]
            children.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            return children[-1]

        # The store exists before its first reader: opening one to read does not make one.
        subprocess.run(
            [sys.executable, "-c", "import sys, shoal; shoal.Store(sys.argv[1]).close()", folder / "store"], check=True
        )
        readers = [start(READER, folder / "store", acknowledged, stop, seed) for seed in range(READERS)]
        writer = start(WRITER, folder / "store", acknowledged, BYTES_TOTAL, PACK_BYTES)
        pids = {str(child.pid) for child in (writer, *readers)}
        seen: set[str] = set()
        done = threading.Event()

        def look() -> None:
            # Each line of /proc/locks names the process that holds, or after "->" waits for, a lock on a file.
            while not done.wait(LOOK_SECONDS):
                seen.update(pids.intersection(LOCKS.read_text().split()))

        watch = threading.Thread(target=look)
        watch.start()
        try:
            out, errors = writer.communicate(timeout=1800)
        finally:
            done.set()
            watch.join()
        stop.touch()
        ended = [(reader, *reader.communicate(timeout=120)) for reader in readers]
        assert writer.returncode == 0, errors
        for reader, _, complaint in ended:
            assert reader.returncode == 0, complaint
        wrote = json.loads(out)
        read = [json.loads(output) for _, output, _ in ended]
        with capsys.disabled():
            print(f"\nwriter: {wrote}\nreaders: {read}")
        assert wrote["ok"]
        assert wrote["bytes"] >= BYTES_TOTAL
        assert wrote["packs"] >= BYTES_TOTAL // PACK_BYTES // 2
        assert wrote["freed"] > 0
        assert wrote["collections"] > 2
        # The writer is seen with its lock, so that looking finds what there is.
        assert seen == {str(writer.pid)}, "a reader held a lock, or waited for one"
        for result in read:
            assert result["reads"] > 100
            assert result["longest"] < READ_SECONDS_MAX
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.communicate()
        shutil.rmtree(folder)
