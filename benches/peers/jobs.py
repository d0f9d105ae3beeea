"""The jobs: what is done, by whom, and which ratio Shoal promises.

A ratio is the yardstick's seconds by ours: over 1, Shoal was faster. The goals are the project's own (docs/benchmarks).
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benches.machine import Machine, program
from benches.peers.shoal_peer import Shoal
from benches.yardstick import command_seconds, start_seconds, through_a_pipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benches.peers.kubo import Kubo

BLAKE3 = "blake3"
IPFS = "unixfs-v1-2025"


@dataclass(frozen=True)
class Job:
    """Something that Shoal and a yardstick both do."""

    name: str
    yardstick: str
    ours: Callable[[], float]
    theirs: Callable[[], float]
    goal: float | None


class Place:
    """Where jobs are done: the input, an empty place to write to, and the peers."""

    def __init__(self, folder: Path, source: Path, kubo: Kubo | None, machine: Machine, cores: int) -> None:
        self.folder = folder
        self.source = source
        self.target = folder / "target"
        self.shoal = Shoal(folder)
        self.kubo = kubo
        self.machine = machine
        self.cores = cores

    def clear_target(self) -> Path:
        if self.target.is_dir():
            shutil.rmtree(self.target)
        self.target.unlink(missing_ok=True)
        return self.target

    def add_new(self, profile: str) -> float:
        self.shoal.clear()
        return self.shoal.add(self.source, profile)

    def get_new(self, cid: str) -> float:
        return self.shoal.get(cid, self.clear_target())

    def copy(self) -> float:
        target = self.clear_target()
        return command_seconds(["cp", "-r", "--reflink=never", self.source, target])

    def clear(self) -> None:
        self.clear_target()
        self.shoal.clear()
        if self.kubo:
            self.kubo.clear()


def file_jobs(place: Place) -> Iterator[Job]:
    """Jobs on one large file. Each is prepared when it is taken from the iterator, so take them one by one."""
    shoal, kubo, file = place.shoal, place.kubo, place.source
    sha_unit = place.machine.has_sha_unit

    if b3sum := program("b3sum", "SHOAL_B3SUM"):
        arguments = [b3sum, "--no-names", f"--num-threads={place.cores}"]
        start = start_seconds([*arguments, "/dev/null"])
        name = f"b3sum --num-threads {place.cores}"
        yield Job(
            "only-hash, blake3",
            name,
            lambda: shoal.only_hash(file, BLAKE3),
            lambda: command_seconds([*arguments, file]) - start,
            0.9,
        )
    if kubo:
        goal = 3.0 if sha_unit else 12.0
        yield Job(
            f"only-hash, {IPFS}", kubo.name, lambda: shoal.only_hash(file, IPFS), lambda: kubo.only_hash(file), goal
        )

    yield Job("add new data, blake3, committed", "cp", lambda: place.add_new(BLAKE3), place.copy, 0.95)
    place.clear()
    if kubo:
        goal = 2.5 if sha_unit else 8.0
        yield Job(
            f"add new data, {IPFS}, committed", kubo.name, lambda: place.add_new(IPFS), lambda: kubo.add(file), goal
        )
    place.clear()

    cid = shoal.cid(file, BLAKE3)
    yield Job(
        "add again, nothing new, blake3",
        "only-hash",
        lambda: shoal.add(file, BLAKE3),
        lambda: shoal.only_hash(file, BLAKE3),
        0.9,
    )
    yield Job("get to a new file, verified, blake3", "cp", lambda: place.get_new(cid), place.copy, 0.9)
    yield Job("cat to a pipe, verified, blake3", "cat", lambda: shoal.cat(cid), lambda: plain_cat(file), 0.8)

    place.clear()
    cid = shoal.cid(file, IPFS)
    yield Job(f"get to a new file, verified, {IPFS}", "cp", lambda: place.get_new(cid), place.copy, None)
    yield Job(f"cat to a pipe, verified, {IPFS}", "cat", lambda: shoal.cat(cid), lambda: plain_cat(file), None)
    if kubo:
        place.clear_target()
        theirs = kubo.cid(file)
        assert theirs == cid, f"Kubo says {theirs}, Shoal {cid}"
        yield Job(f"cat to a pipe, verified, {IPFS}", kubo.name, lambda: shoal.cat(cid), lambda: kubo.cat(cid), None)
    place.clear()


def tree_jobs(place: Place) -> Iterator[Job]:
    """Jobs on a tree of many files."""
    shoal, kubo, tree = place.shoal, place.kubo, place.source
    if kubo:
        yield Job(f"tree, add, {IPFS}", kubo.name, lambda: place.add_new(IPFS), lambda: kubo.add(tree), 8.0)
        place.clear()
    yield Job("tree, add, blake3", "cp -r", lambda: place.add_new(BLAKE3), place.copy, 1 / 1.5)
    yield Job(f"tree, add, {IPFS}", "cp -r", lambda: place.add_new(IPFS), place.copy, 1 / 1.5)
    place.clear()
    cid = shoal.cid(tree, BLAKE3)
    yield Job("tree, get, blake3", "cp -r", lambda: place.get_new(cid), place.copy, 1 / 1.5)
    place.clear()


def plain_cat(file: Path) -> float:
    return through_a_pipe(lambda out: subprocess.run(["cat", file], stdout=out, check=True))
