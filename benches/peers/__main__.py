"""Runs the jobs and writes the table, the plot and the figures: `python -m benches.peers --help`.

Shoal and its yardstick take turns, so that what else the machine does hits both; the medians of all rounds count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benches.machine import Machine, hold_to_cores, program, this_machine
from benches.material import is_memory_backed, painted_file, size_of, source_tree, tree_size, working_folder
from benches.peers.jobs import Job, Place, file_jobs, tree_jobs
from benches.peers.kubo import Kubo
from benches.peers.report import Figure, Group, write

if TYPE_CHECKING:
    from collections.abc import Iterator


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches.peers", description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=["1GiB"], help="sizes of the file; none at all leaves files out")
    parser.add_argument("--rounds", type=int, default=5, help="how often each job is done by each side")
    parser.add_argument("--cores", type=int, default=2, help="cores that all processes share")
    parser.add_argument("--no-one-core", action="store_true", help="leave out the figures on one core")
    parser.add_argument("--no-tree", action="store_true", help="leave out the tree")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"), help="where results.{md,svg,json} go")
    parser.add_argument("--note", default="", help="what a reader must know of this run, for the page")
    return parser.parse_args()


def measure(jobs: Iterator[Job], rounds: int, *, has_goals: bool = True) -> Iterator[Figure]:
    """Each job by both sides in turn. The goals are for two cores and up."""
    for job in jobs:
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(job.ours())
            theirs.append(job.theirs())
        goal = job.goal if has_goals else None
        figure = Figure(job.name, job.yardstick, statistics.median(ours), statistics.median(theirs), goal, ours, theirs)
        print(f"  {figure.line()}", flush=True)
        yield figure


def on_file(folder: Path, text: str, cores: int, rounds: int, kubo: Kubo | None, machine: Machine) -> Group:
    place = Place(folder, folder / "file", kubo, machine, cores)
    title = f"{text[:-3]} {text[-3:]} file, {'one core' if cores == 1 else f'{cores} cores'}"
    print(title, flush=True)
    figures = list(measure(file_jobs(place), rounds, has_goals=cores > 1))
    return Group(title, size_of(text), 1, figures, place.shoal.peak_mib, has_goals=cores > 1)


def on_tree(folder: Path, tree: Path, cores: int, rounds: int, kubo: Kubo | None, machine: Machine) -> Group:
    files, size = tree_size(tree)
    place = Place(folder, tree, kubo, machine, cores)
    title = f"source tree of {files:,} files, {cores} cores"
    print(title, flush=True)
    figures = list(measure(tree_jobs(place), rounds))
    return Group(title, size, files, figures, place.shoal.peak_mib, has_goals=True)


def main() -> int:
    wanted = arguments()
    every_core = os.sched_getaffinity(0)
    hold_to_cores(wanted.cores)
    machine = this_machine()
    binary = program("ipfs", "SHOAL_KUBO")
    missing = [
        name
        for name, found in {"Kubo (.ci/kubo)": binary, "b3sum": program("b3sum", "SHOAL_B3SUM")}.items()
        if not found
    ]
    tree = None if wanted.no_tree else source_tree()
    if not wanted.no_tree and tree is None:
        missing.append("a source tree (SHOAL_BENCH_TREE, .ci/kernel-tree)")
    for what in missing:
        print(f"missing: {what}; its rows are left out", file=sys.stderr)

    groups: list[Group] = []
    with working_folder() as folder:
        tempfile.tempdir = str(folder)
        if not is_memory_backed(folder):
            print("the working folder is on a disk: figures are the disk's too", file=sys.stderr)
        kubo = Kubo(binary, folder) if binary else None
        for text in wanted.sizes:
            painted_file(folder / "file", size_of(text))
            groups.append(on_file(folder, text, wanted.cores, wanted.rounds, kubo, machine))
            if not wanted.no_one_core:
                hold_to_cores(1)
                groups.append(on_file(folder, text, 1, max(1, wanted.rounds // 2), kubo, machine))
                os.sched_setaffinity(0, every_core)
                hold_to_cores(wanted.cores)
            (folder / "file").unlink()
        if tree is not None:
            # Like everything else, the tree is read from the same memory-backed folder.
            subprocess.run(["cp", "-r", "--reflink=never", tree, folder / "tree"], check=True)
            groups.append(on_tree(folder, folder / "tree", wanted.cores, max(1, wanted.rounds // 2), kubo, machine))
    write(wanted.output, machine, groups, missing, wanted.note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
