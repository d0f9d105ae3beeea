"""Calls of a node that are cancelled at random points leave nothing behind: no task, file, thread, lock, or lease.

400 on each event loop in an ordinary run; `SHOAL_CANCELLATIONS=20000` (10,000 on each) for a long one; `SHOAL_CRASH_SEED` for others.
"""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import psutil
import pytest

import shoal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CANCELLATIONS = int(os.environ.get("SHOAL_CANCELLATIONS", "800"))
SEED = int(os.environ.get("SHOAL_CRASH_SEED", "1"))

pytestmark = [pytest.mark.anyio]


def open_files() -> list[str]:
    links = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            links.append(os.readlink(link))
        except OSError:  # the folder that is being listed
            continue
    return sorted(links)


async def slow_pieces() -> AsyncIterator[bytes]:
    for n in range(20):
        await anyio.sleep(0)
        yield bytes([n]) * 5000


async def test_calls_cancelled_anywhere_leave_nothing_behind(
    tmp_path: Path, anyio_backend: str, closing_note: Callable[[str], None]
):
    dice = random.Random(SEED)
    path = tmp_path / "store"
    process = psutil.Process()
    tree = tmp_path / "tree"
    tree.mkdir()
    for n in range(8):
        (tree / str(n)).write_bytes(bytes([n]) * 20_000)
    cancelled = finished = 0

    async with shoal.Node(path, lock_wait=5) as node:
        kept = await node.add(b"kept" * 50_000)

        async def read_on() -> None:
            async with node.open(kept.cid) as file:
                await file.read(1000)

        async def list_on() -> None:
            async for _ in node.refs_local():
                pass

        async def cat_on() -> None:
            async for _ in node.cat(kept.cid):
                pass

        n = 0
        verbs: list[Callable[[], object]] = [
            lambda: node.add(tree, pin=False),
            lambda: node.add(slow_pieces(), pin=False),
            lambda: node.add(b"%d" % n * 3000, pin=False),
            lambda: node.block.put(b"block %d" % n),
            lambda: node.block.get(kept.cid),
            lambda: node.get(kept.cid, tmp_path / f"out-{n}"),
            lambda: node.verify(),
            lambda: node.repo.gc(),
            lambda: node.pin.add(kept.cid, name=str(n)),
            read_on,
            list_on,
            cat_on,
        ]

        async def call() -> None:
            verb = dice.choice(verbs)
            await verb()  # type: ignore[misc]

        for _ in range(20):
            await call()
        gc.collect()
        before = (open_files(), threading.active_count(), process.num_fds())
        for n in range(CANCELLATIONS // 2):  # noqa: B007 (the verbs use it)
            with anyio.move_on_after(dice.choice([0, 0.0001, 0.0005, 0.002, 0.01, 0.05])) as scope:
                await call()
            cancelled += scope.cancelled_caught
            finished += not scope.cancelled_caught
        # Threads that wait for work are kept by the event loop for a while, as many as worked at once.
        gc.collect()
        assert not node._running
        assert len(open_files()) <= len(before[0]) + 2, (before[0], open_files())
        assert process.num_fds() <= before[2] + 2
        assert threading.active_count() <= before[1] + 8
        # The lock is free for another process, at once.
        other = [
            sys.executable,
            "-c",
            "import sys, shoal; shoal.Store(sys.argv[1], lock_wait=0).add(b'mine')",
            str(path),
        ]
        done = subprocess.run(other, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert await node.read(kept.cid) == b"kept" * 50_000
        assert (await node.verify()).ok
        assert list(path.rglob("*.new")) == []
    assert not list(tmp_path.glob(".*")), "a half-written target was left"
    assert cancelled > CANCELLATIONS // 20
    closing_note(f"{anyio_backend}: {cancelled} calls cancelled, {finished} finished first, nothing left; seed {SEED}")
