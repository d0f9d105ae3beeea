"""For tests of the boundary: a store in a folder of its own, both event loops, and a watch on the loop."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import shoal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

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


@asynccontextmanager
async def watch() -> AsyncIterator[None]:
    """Fails when the event loop stands still for long in its body."""
    import anyio

    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        last = time.perf_counter()
        while True:
            await anyio.sleep(0.01)
            now = time.perf_counter()
            worst = max(worst, now - last)
            last = now

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
