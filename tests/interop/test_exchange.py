"""DAGs move between the two programs as CAR files, both ways, and read back equal.

Each DAG is exported by one and imported by the other, which then lists, reads and writes it out: bytes, names, links,
modes and times must be those that went in.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Kubo, Shoal

pytestmark = pytest.mark.interop

MIB = 1 << 20

# Flags of `add`, which both programs take.
RULES = {
    "v1": ("unixfs-v1-2025", []),
    "v0": ("unixfs-v0-2015", []),
    "blake3": ("blake3", []),
    "trickle": ("unixfs-v1-2025", ["--trickle", "--max-file-links=3", "--chunker=size-1000"]),
    "inline": ("unixfs-v1-2025", ["--inline", "--inline-limit=128", "--chunker=size-1000"]),
    "sharded": ("unixfs-v1-2025", ["--max-directory-links=3", "--max-hamt-fanout=8", "--chunker=size-10000"]),
    "rabin": ("unixfs-v1-2025", ["--chunker=rabin-1000-2000-4000", "--raw-leaves=false"]),
}
# Kubo has no such chunker, but reads what was cut by it.
OURS = {
    "blake3-cdc": ("blake3-cdc", []),
    "mincdc": ("unixfs-v1-2025", ["--chunker=mincdc-1000-3000"]),
    "fastcdc": ("unixfs-v1-2025", ["--chunker=fastcdc-1024-2048-4096", "--trickle"]),
}
METADATA = ["--raw-leaves=false", "--preserve-mode", "--preserve-mtime"]


@pytest.fixture(scope="module")
def tree(workspace: Path, paint: Callable[..., bytes]) -> Path:
    root = workspace / "tree"
    (root / "folder/below").mkdir(parents=True)
    (root / "empty").mkdir()
    for size in (0, 1, 999, 1000, 1001, 100_000, 3 * MIB + 5):
        (root / f"file-{size}").write_bytes(paint(size, seed=str(size)))
    for number in range(50):
        (root / "folder" / f"name {number} ü").write_bytes(b"%d" % number)
    (root / "folder/below/link").symlink_to("../name 1 ü")
    (root / "dangling").symlink_to("nowhere")
    for number, path in enumerate(sorted(root.rglob("*"))):
        os.utime(path, ns=(0, 1_600_000_000_000_000_001 + number), follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o700 + number % 8 * 8 + number % 7)
    return root


def described(root: Path, *, metadata: bool = False) -> dict[str, object]:
    """Everything below a folder: what kind, what content, and mode and time where they count."""
    found: dict[str, object] = {}
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else "directory"
        # Neither program records the mode or the time of a link.
        more = (status.st_mode, status.st_mtime_ns) if metadata and not path.is_symlink() else ()
        found[str(path.relative_to(root))] = (content, *more)
    return found


def _root(program: Kubo | Shoal, profile: str, flags: list[str], tree: Path) -> str:
    return program.add("-r", *flags, tree.name, profile=profile, cwd=tree.parent)[-1].cid


@pytest.mark.parametrize("rule", RULES | OURS)
def test_kubo_reads_what_shoal_exports(kubo: Kubo, shoal_command: Shoal, tree: Path, tmp_path: Path, rule: str):
    profile, flags = (RULES | OURS)[rule]
    root = _root(shoal_command, profile, flags, tree)
    car = tmp_path / "out.car"
    car.write_bytes(shoal_command.run("dag", "export", root))
    fresh = kubo.fresh(tmp_path / "fresh")
    assert fresh.word("dag", "import", car) == f"Pinned root\t{root}\tsuccess"
    fresh.run("get", "--progress=false", "-o", tmp_path / "got", root)
    assert described(tmp_path / "got") == described(tree)
    assert fresh.run("cat", f"{root}/file-3145733") == (tree / "file-3145733").read_bytes()


@pytest.mark.parametrize("rule", RULES)
def test_shoal_reads_what_kubo_exports(kubo: Kubo, shoal_command: Shoal, tree: Path, tmp_path: Path, rule: str):
    profile, flags = RULES[rule]
    root = _root(kubo, profile, flags, tree)
    car = tmp_path / "out.car"
    car.write_bytes(kubo.at("unixfs-v1-2025" if profile == "blake3" else profile).run("dag", "export", root))
    assert shoal_command.word("dag", "import", car) == f"Pinned root\t{root}\tsuccess"
    shoal_command.run("get", "-o", tmp_path / "got", root)
    assert described(tmp_path / "got") == described(tree)
    assert shoal_command.run("cat", f"{root}/file-3145733") == (tree / "file-3145733").read_bytes()
    assert (
        shoal_command.run("cat", "--offset=1000001", "--length=70000", f"{root}/file-3145733")
        == ((tree / "file-3145733").read_bytes()[1_000_001:1_070_001])
    )
    assert shoal_command.word("pin", "ls", "--type=recursive", "-q") == root
    shoal_command.run("verify")


def test_modes_and_times_survive_both_ways(kubo: Kubo, shoal_command: Shoal, tree: Path, tmp_path: Path):
    wanted = described(tree, metadata=True)
    ours, theirs = tmp_path / "ours.car", tmp_path / "theirs.car"
    root = _root(shoal_command, "unixfs-v1-2025", METADATA, tree)
    ours.write_bytes(shoal_command.run("dag", "export", root))
    assert _root(kubo, "unixfs-v1-2025", METADATA, tree) == root
    theirs.write_bytes(kubo.at("unixfs-v1-2025").run("dag", "export", root))
    fresh = kubo.fresh(tmp_path / "fresh")
    fresh.run("dag", "import", ours)
    fresh.run("get", "--progress=false", "-o", tmp_path / "kubo", root)
    empty = shoal_command.beside(tmp_path / "empty")
    empty.run("dag", "import", theirs)
    empty.run("get", "-o", tmp_path / "shoal", root)
    assert described(tmp_path / "shoal", metadata=True) == wanted
    # Kubo sets a directory's time before it writes the files in it, so only files are compared.
    files = {name: value for name, value in wanted.items() if isinstance(value[0], bytes)}
    got = described(tmp_path / "kubo", metadata=True)
    assert {name: got[name] for name in files} == files


def test_both_export_the_same_bytes(kubo: Kubo, shoal_command: Shoal, tree: Path):
    """Both write CARv1 in the order of a walk from the root, each block once: the files are equal."""
    for profile, flags in RULES.values():
        root = _root(kubo, profile, flags, tree)
        assert _root(shoal_command, profile, flags, tree) == root
        theirs = kubo.at("unixfs-v1-2025" if profile == "blake3" else profile).run("dag", "export", root)
        assert shoal_command.run("dag", "export", root) == theirs


def test_kubo_reads_the_packs_themselves(kubo: Kubo, shoal_command: Shoal, tree: Path, tmp_path: Path):
    """A store is a folder of CAR files: any CAR tool reads them, without Shoal."""
    root = _root(shoal_command, "unixfs-v1-2025", [], tree)
    packs = sorted((shoal_command.folder / "packs").glob("*.car"))
    assert packs
    fresh = kubo.fresh(tmp_path / "fresh")
    fresh.run("dag", "import", "--pin-roots=false", *packs)
    fresh.run("get", "--progress=false", "-o", tmp_path / "got", root)
    assert described(tmp_path / "got") == described(tree)


def test_a_car_of_version_2_is_read_by_kubo(kubo: Kubo, shoal_command: Shoal, tree: Path, tmp_path: Path):
    root = _root(shoal_command, "unixfs-v1-2025", [], tree)
    car = tmp_path / "two.car"
    shoal_command.run("dag", "export", "--car-version=2", "-o", car, root)
    fresh = kubo.fresh(tmp_path / "fresh")
    assert fresh.word("dag", "import", car) == f"Pinned root\t{root}\tsuccess"
    fresh.run("get", "--progress=false", "-o", tmp_path / "got", root)
    assert described(tmp_path / "got") == described(tree)


def test_a_large_sharded_directory_moves_both_ways(kubo: Kubo, shoal_command: Shoal, workspace: Path, tmp_path: Path):
    folder = workspace / "sharded"
    folder.mkdir()
    for number in range(20_000):
        (folder / f"entry number {number}").write_bytes(b"%d" % number)
    root = _root(shoal_command, "unixfs-v1-2025", [], folder)
    car = tmp_path / "ours.car"
    car.write_bytes(shoal_command.run("dag", "export", root))
    fresh = kubo.fresh(tmp_path / "fresh")
    fresh.run("dag", "import", car)
    fresh.run("get", "--progress=false", "-o", tmp_path / "kubo", root)
    assert fresh.run("cat", f"{root}/entry number 12345") == b"12345"
    empty = shoal_command.beside(tmp_path / "empty")
    empty.run("dag", "import", "-", stdin=fresh.run("dag", "export", root))
    empty.run("get", "-o", tmp_path / "shoal", root)
    assert empty.run("cat", f"{root}/entry number 12345") == b"12345"
    for got in ("kubo", "shoal"):
        assert {path.name: path.read_bytes() for path in (tmp_path / got).iterdir()} == {
            f"entry number {number}": b"%d" % number for number in range(20_000)
        }
    shutil.rmtree(folder)


def test_dag_cbor_objects_with_links_move_both_ways(kubo: Kubo, shoal_command: Shoal, tmp_path: Path):
    leaf = b'{"a":[1,2.5,null,true,"\xc3\xbc",{"/":{"bytes":"AAEC"}}],"z":{}}'
    for ours, theirs in (
        (shoal_command, kubo.fresh(tmp_path / "one")),
        (kubo.fresh(tmp_path / "two"), shoal_command.beside(tmp_path / "another")),
    ):
        below = ours.word("dag", "put", "--hash=sha2-256", stdin=leaf)
        parent = b'{"left":{"/":"%b"},"list":[{"/":"%b"},{"deep":{"/":"%b"}}]}' % ((below.encode(),) * 3)
        root = ours.word("dag", "put", "--hash=sha2-256", stdin=parent)
        car = tmp_path / "objects.car"
        car.write_bytes(ours.run("dag", "export", root))
        assert theirs.word("dag", "import", car) == f"Pinned root\t{root}\tsuccess"
        assert theirs.run("dag", "get", root) == ours.run("dag", "get", root) == parent
        assert theirs.run("dag", "get", f"{root}/list/1/deep/a/4") == '"ü"'.encode()
        assert theirs.run("block", "get", root) == ours.run("block", "get", root)
