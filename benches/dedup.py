"""What each chunker shares between versions, and what it costs: `python -m benches.dedup [VERSION…]`.

Adds the given files, oldest first, to one empty store a chunker; without files, a painted file and the same file with insertions at
random places. Prints a Markdown table: mean chunk, how much of each later file was new, how much of all bytes was stored, and the speed
of cutting alone and of the adds, each beside its yardstick. Compare chunkers at equal means: smaller chunks always share more.

`benches/fetch-versions` gets the files that `docs/decisions/2026-11-24-mincdc.md` was measured with. SHOAL_BENCH_FOLDER names the
working folder, which needs room for the files given.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import shoal
from benches.material import MIB, painted, painted_file, working_folder
from benches.yardstick import seconds
from shoal import _core

if TYPE_CHECKING:
    from collections.abc import Iterable

FIXED = "size-1048576"
CHUNKERS = [
    FIXED,
    "size-65536",
    "mincdc-21846-43690",
    "mincdc-32768-98304",
    "mincdc",
    "mincdc-131072",
    "mincdc-262144",
    "fastcdc-16384-32768-131072",
    "fastcdc-21846-43690-131072",
    "fastcdc-32768-65536-262144",
    "fastcdc-65536-131072-524288",
    "buzhash",
]
CUT_BYTES = 256 * MIB


@dataclass
class Row:
    """One chunker's line."""

    chunker: str
    bytes: int
    chunks: int
    new: list[int]
    sizes: list[int]
    add_seconds: float
    cut_seconds: float

    def line(self, hash_seconds: float, fixed_add_seconds: float) -> str:
        cut = (
            ""
            if self.chunker.startswith("size-")
            else f"{CUT_BYTES / self.cut_seconds / 1e9:.1f} ({hash_seconds / self.cut_seconds:.1f})"
        )
        later = sum(self.new[1:]) / max(1, sum(self.sizes[1:]))
        return " | ".join(
            [
                f"| `{self.chunker}`",
                f"{self.bytes / self.chunks / 1024:,.1f}",
                f"{later:.2%}",
                f"{sum(self.new) / self.bytes:.2%}",
                cut,
                f"{self.bytes / self.add_seconds / 1e9:.2f} ({fixed_add_seconds / self.add_seconds:.2f}) |",
            ]
        )


def leaves(store: shoal.Store, root: shoal.CID) -> int:
    """Chunks of a file: links to raw blocks, those met again counted again."""
    return sum(1 for _, child, _ in store.refs(root, recursive=True) if child.codec == "raw")


def measured(chunker: str, files: list[Path], folder: Path) -> Row:
    """Adds all files to a store of their own."""
    profile = shoal.Profile.BLAKE3.replace(chunker=chunker)
    place = folder / "store"
    new, chunks, spent = [], 0, 0.0
    with shoal.Store(place) as store:
        for file in files:
            added = []
            spent += seconds(lambda file=file, added=added: added.append(store.add(file, profile=profile)))  # type: ignore[misc]
            new.append(added[0].new_bytes)
            chunks += max(1, leaves(store, added[0].cid))
    shutil.rmtree(place)
    sizes = [file.stat().st_size for file in files]
    cut = min(_core.bench_chunk(chunker, CUT_BYTES) for _ in range(3))
    return Row(chunker, sum(sizes), chunks, new, sizes, spent, cut)


def edited(folder: Path, size: int, edits: int, seed: int) -> list[Path]:
    """A painted file, and the same with `edits` insertions of 1 KiB each."""
    source = random.Random(seed)
    before, after = painted_file(folder / "before", size, seed), folder / "after"
    places = sorted(source.randrange(size) for _ in range(edits))
    with before.open("rb") as read, after.open("wb") as write:
        for number, (start, end) in enumerate(zip([0, *places], [*places, size], strict=True)):
            write.write(painted(1024, seed + number) if number else b"")
            left = end - start
            while left:
                piece = read.read(min(left, 4 * MIB))
                write.write(piece)
                left -= len(piece)
    return [before, after]


def table(files: list[Path], folder: Path, chunkers: Iterable[str]) -> None:
    """Prints it, line by line."""
    print("| chunker | mean KiB | new of later files | stored of all | cut GB/s (BLAKE3 = 1) | add GB/s (blake3 = 1) |")
    print("| --- | --- | --- | --- | --- | --- |")
    fixed = None
    for chunker in chunkers:
        row = measured(chunker, files, folder)
        fixed = fixed or row.add_seconds
        hashing = min(_core.bench_hash("blake3", CUT_BYTES, 1) for _ in range(3))
        print(row.line(hashing, fixed), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.dedup", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("files", nargs="*", type=Path, help="versions of one file, oldest first")
    parser.add_argument("--mib", type=int, default=1024, help="size of the painted file, MiB")
    parser.add_argument("--edits", type=int, default=100, help="insertions of 1 KiB")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--chunkers", nargs="+", default=CHUNKERS, help="which, the first being the yardstick of the adds"
    )
    options = parser.parse_args()
    with working_folder() as folder:
        files = options.files or edited(folder, options.mib * MIB, options.edits, options.seed)
        print(
            f"seed {options.seed}, {options.edits} edits" if not options.files else f"{len(files)} files",
            file=sys.stderr,
        )
        table(files, folder, options.chunkers)


if __name__ == "__main__":
    main()
