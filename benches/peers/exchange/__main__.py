"""Runs the exchanges and prints their table: `python -m benches.peers.exchange --help`.

Each end is a process of its own and all share the same cores. Stores are in memory; no start of a process is in any time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

from benches.machine import hold_to_cores, program, this_machine
from benches.material import is_memory_backed, size_of, working_folder
from benches.peers.exchange.jobs import JOBS, Place
from benches.peers.exchange.table import Row, as_table


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches.peers.exchange", description=__doc__)
    parser.add_argument("--size", type=size_of, default=size_of("1GiB"), help="of the file")
    parser.add_argument("--files", type=int, default=18_000, help="of the tree")
    parser.add_argument("--blocks", type=int, default=100_000, help="tiny ones that are served")
    parser.add_argument("--connections", type=int, default=2000, help="idle ones")
    parser.add_argument("--rounds", type=int, default=3, help="how often each pair exchanges")
    parser.add_argument("--cores", type=int, default=2, help="cores that all processes share")
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS), metavar="JOB", help=", ".join(JOBS))
    parser.add_argument("--no-kubo", action="store_true", help="leave the pairs with Kubo out")
    return parser.parse_args()


def main() -> int:
    wanted = arguments()
    hold_to_cores(wanted.cores)
    kubo = None if wanted.no_kubo else program("ipfs", "SHOAL_KUBO")
    if kubo is None and not wanted.no_kubo:
        print("missing: Kubo (.ci/kubo, SHOAL_KUBO); its rows are left out", file=sys.stderr)
    rows: list[Row] = []
    failed = 0
    with working_folder() as folder:
        tempfile.tempdir = str(folder)
        if not is_memory_backed(folder):
            print("the working folder is on a disk: figures are the disk's too", file=sys.stderr)
        place = Place(folder, kubo, wanted.size, wanted.files, wanted.blocks, wanted.connections, wanted.rounds)
        for name in wanted.only:
            try:
                for row in JOBS[name](place):
                    print(row.line(), file=sys.stderr, flush=True)
                    rows.append(row)
            except (OSError, EOFError, ValueError, subprocess.SubprocessError) as error:
                # The others are worth having all the same; the exit code tells.
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                rows.append(Row(name, "failed", is_met=False))
                failed += 1
    machine = this_machine()
    load = os.getloadavg()[0]
    print(as_table(rows))
    print()
    print(
        f"{machine.processor}, {machine.cores_used} of {machine.cores} cores, {machine.kernel}, Python {machine.python}; "
        f"load at the end {load:.1f}; file of {wanted.size / 2**20:,.0f} MiB, {wanted.rounds} rounds, medians"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
