"""`ls` and `refs` print what Kubo prints; only the spaces between columns are each program's own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Pair

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def roots(pair: Pair, workspace: Path) -> dict[str, str]:
    """Trees that both programs hold: plain, of the oldest profile, sharded, inlined, with modes and times."""
    tree = workspace / "listed"
    (tree / "folder/below").mkdir(parents=True)
    (tree / "empty").mkdir()
    for size in (0, 1, 100, 5000):
        (tree / f"file {size}").write_bytes(b"x" * size)
    for number in range(40):
        (tree / f"folder/entry-{number}").write_bytes(b"%d" % number)
    (tree / "link").symlink_to("file 1")
    for number, path in enumerate(sorted(tree.rglob("*"))):
        os.utime(path, ns=(0, (1_000_000_000 + number * 86_400 * 7) * 10**9), follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o700 + number % 8 * 8)
    found = {}
    for name, profile, flags in (
        ("v1", "unixfs-v1-2025", ["--chunker=size-1000"]),
        ("v0", "unixfs-v0-2015", ["--chunker=size-1000"]),
        ("sharded", "unixfs-v1-2025", ["--max-directory-links=4", "--max-hamt-fanout=8", "--chunker=size-1000"]),
        ("inline", "unixfs-v1-2025", ["--inline"]),
        ("metadata", "unixfs-v1-2025", ["--raw-leaves=false", "--preserve-mode", "--preserve-mtime"]),
    ):
        found[name] = pair.shoal.add("-r", *flags, tree.name, profile=profile, cwd=tree.parent)[-1].cid
        # One repository of Kubo's holds them all, whatever the profile they were made with.
        car = pair.shoal.run("dag", "export", found[name])
        pair.kubo.at("unixfs-v1-2025").run("dag", "import", "--silent", stdin=car)
    return found


def _columns(output: str) -> list[list[str]]:
    return [line.split() for line in output.split("\n")]


@pytest.mark.parametrize("tree", ["v1", "v0", "sharded", "inline", "metadata"])
@pytest.mark.parametrize("path", ["", "/folder", "/empty", "/folder/below", "/file 5000", "/file 1", "/link"])
@pytest.mark.parametrize("flags", [[], ["--size=false"], ["--headers"], ["--long"], ["--resolve-type=false"]], ids=str)
def test_directories_are_listed_alike(pair: Pair, roots: dict[str, str], tree: str, path: str, flags: list[str]):
    arguments = ["ls", *flags, roots[tree] + path]
    theirs = pair.kubo.at("unixfs-v1-2025").word(*arguments)
    assert _columns(pair.shoal.word(*arguments)) == _columns(theirs)


def test_several_directories_are_listed_alike(pair: Pair, roots: dict[str, str]):
    arguments = ["ls", roots["v1"], roots["v0"], roots["sharded"] + "/folder"]
    theirs = pair.kubo.at("unixfs-v1-2025").word(*arguments)
    assert _columns(pair.shoal.word(*arguments)) == _columns(theirs)


@pytest.mark.parametrize("tree", ["v1", "v0", "sharded", "inline", "metadata"])
@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["-r"],
        ["-r", "-u"],
        ["-u"],
        ["-e"],
        ["-r", "-e"],
        ["-r", "--max-depth=1"],
        ["-r", "--max-depth=2"],
        ["-r", "-u", "--max-depth=2"],
        ["-r", "--max-depth=0"],
        ["-r", "--format=<src> <dst> <linkname>"],
    ],
    ids=" ".join,
)
def test_links_are_listed_alike(pair: Pair, roots: dict[str, str], tree: str, flags: list[str]):
    for path in ("", "/folder", "/file 5000"):
        arguments = ["refs", *flags, roots[tree] + path]
        assert pair.shoal.word(*arguments) == pair.kubo.at("unixfs-v1-2025").word(*arguments), path


def test_links_of_objects_are_listed_alike(pair: Pair):
    kubo = pair.kubo.at("unixfs-v1-2025")
    for program in (kubo, pair.shoal):
        below = program.word("dag", "put", "--hash=sha2-256", stdin=b'{"x":1}')
        other = program.word("dag", "put", "--hash=sha2-256", stdin=f'{{"y":[{{"/":"{below}"}}]}}'.encode())
        text = f'{{"b":[{{"/":"{below}"}},1,{{"/":"{other}"}}],"a":{{"/":"{below}"}}}}'.encode()
        root = program.word("dag", "put", "--hash=sha2-256", stdin=text)
    for flags in ([], ["-r"], ["-r", "-u"], ["-r", "-e"]):
        assert pair.shoal.word("refs", *flags, root) == kubo.word("refs", *flags, root)
