"""For tests of the boundary: a store in a folder of its own, both event loops, and a watch on the loop."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import shoal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

LOOP_BLOCKED_SECONDS_MAX = 0.5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[shoal.Store]:
    with shoal.Store(tmp_path / "store") as store:
        yield store


@pytest.fixture(scope="session")
def painted() -> Callable[[int], bytes]:
    """Bytes that repeat nowhere, the same every time."""
    import hashlib

    def paint(size: int, seed: str = "") -> bytes:
        return hashlib.shake_128(f"shoal {seed}".encode()).digest(size)

    return paint


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def node(tmp_path: Path, anyio_backend: str) -> AsyncIterator[shoal.Node]:
    async with shoal.Node(tmp_path / "store") as node:
        yield node


def waited_for_processor() -> float:
    """Seconds that the threads of this process were ready to run and no processor was free for them (Linux's schedstat)."""
    total = 0
    for file in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # a thread that has just ended
            total += int(file.read_text().split()[1])
    return total / 1e9


@asynccontextmanager
async def watch() -> AsyncIterator[None]:
    """Fails when the event loop stands still for long in its body, unless the whole machine does."""
    import anyio

    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        last, starved = time.perf_counter(), waited_for_processor()
        while True:
            await anyio.sleep(0.02)
            now, starved_now = time.perf_counter(), waited_for_processor()
            worst = max(worst, now - last - max(0.0, starved_now - starved))
            last, starved = now, starved_now

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        yield
        tasks.cancel_scope.cancel()
    if worst > LOOP_BLOCKED_SECONDS_MAX:
        raise AssertionError(f"the event loop stood still for {worst:.2f} s")


@pytest.fixture
def watched_loop() -> Callable[[], object]:
    return watch


@pytest.fixture
async def unblocked_loop(anyio_backend: str) -> AsyncIterator[None]:
    """Fails a test in which the event loop stood still for long."""
    async with watch():
        yield
