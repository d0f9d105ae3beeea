"""What nodes exchange in these tests, and what must be true when they have: files and trees of given shapes, compared whole."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import subprocess
from typing import TYPE_CHECKING

import anyio
import psutil

import shoal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Shape:
    """Content of a kind and size, with the links that a directory may have before it is sharded."""

    name: str
    bytes: int = 0
    files: int = 0
    folders: int = 1
    links_max: int = 0
    fanout: int = 256

    @property
    def kubo_flags(self) -> list[str]:
        return [f"--max-directory-links={self.links_max}", f"--max-hamt-fanout={self.fanout}"] if self.links_max else []

    def profile(self, name: str) -> shoal.Profile:
        profile = shoal.Profile.named(name)
        if self.links_max:
            return profile.replace(directory_links_max=self.links_max, hamt_fanout=self.fanout)
        return profile

    def make(self, paint: Callable[..., bytes], path: Path, seed: str) -> Path:
        """The file or folder itself."""
        path.parent.mkdir(parents=True)
        if not self.files:
            path.write_bytes(paint(self.bytes, seed=seed))
            return path
        for number in range(self.files):
            file = (
                path / f"folder {number % self.folders}" / f"{number} ü.txt"
                if self.folders > 1
                else path / f"{number} ü.txt"
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            # Sizes from nothing to a few KiB; every thirtieth file is more than one block.
            file.write_bytes(
                paint(number * 37 % 3000 + (MIB + 1 if number % 997 == 30 else 0), seed=f"{seed} {number}")
            )
        return path


def handles() -> int:
    gc.collect()
    return psutil.Process().num_fds()


def tasks(backend: str) -> int:
    if backend == "trio":
        import trio

        return trio.lowlevel.current_statistics().tasks_living
    import asyncio

    return len(asyncio.all_tasks())


@contextlib.asynccontextmanager
async def nothing_left(backend: str) -> AsyncIterator[None]:
    """What is opened in its body is closed at its end: file handles, sockets and tasks."""
    before = handles(), tasks(backend)
    yield
    with anyio.move_on_after(5):
        while (handles(), tasks(backend)) != before:
            await anyio.sleep(0.02)
    assert (handles(), tasks(backend)) == before


def assert_same(one: Path, other: Path) -> None:
    """Every name and every byte."""
    found = subprocess.run(["diff", "-r", one, other], capture_output=True, check=False)
    assert found.returncode == 0, found.stdout[:2000]
