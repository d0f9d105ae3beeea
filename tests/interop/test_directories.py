"""Directories: names, order, sharding, links, modes and times, and what is left out, are Kubo's.

Compared are whole runs of `add`: every line, so that the CID and the name of all that a tree holds agree.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Pair

pytestmark = pytest.mark.interop

ALL = ["unixfs-v1-2025", "unixfs-v0-2015", "blake3"]


@pytest.fixture(scope="module")
def forest(workspace: Path) -> Path:
    """A tree with everything that a tree can have, of tame names."""
    root = workspace / "forest"
    for folder in ("a/b/c/d", "empty", "nested/empty/below", ".hidden/inside", "z", "zz", "Z"):
        (root / folder).mkdir(parents=True)
    for name, text in {
        "one": "1",
        "two": "22",
        "a/one": "1",
        "a/b/two": "22",
        "a/b/c/d/deep.txt": "deep\n",
        "a/empty-file": "",
        "nested/file": "x" * 5000,
        ".dotfile": "dot",
        "a/.dot-below": "dot",
        ".hidden/inside/file": "hid",
        "z/last": "z",
        "zz/last": "zz",
        "z.txt": "z",
        "a.txt": "a",
        "a-b": "a-b",
        "notes.log": "log",
        "a/notes.log": "log",
        "a/b/keep.log": "log",
    }.items():
        (root / name).write_text(text)
    (root / "to-file").symlink_to("one")
    (root / "to-directory").symlink_to("a/b")
    (root / "a/up").symlink_to("../two")
    (root / "absolute").symlink_to("/etc/hostname")
    (root / "dangling").symlink_to("nowhere")
    (root / "long-link").symlink_to("./" * 400 + "one")
    return root


@pytest.mark.parametrize("profile", ALL)
@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--hidden"],
        ["-w"],
        ["-w", "--hidden"],
        ["--empty-dirs=false"],
        ["--empty-dirs=false", "--hidden"],
        ["--raw-leaves=false"],
        ["--inline"],
        ["--inline", "--inline-limit=128"],
        ["--trickle", "--chunker=size-100"],
        ["--ignore=*.log"],
        ["--ignore=/a"],
        ["--ignore=b"],
        ["--ignore=*.log", "--ignore=!keep.log"],
        ["--ignore=z*"],
        ["--ignore=**/one", "--hidden"],
        ["--ignore=[ab].txt"],
        ["--ignore=notes*log"],
        ["--ignore=# a comment", "--ignore="],
    ],
    ids=lambda flags: " ".join(flags) or "plain",
)
def test_a_tree_gives_the_same_lines(pair: Pair, forest: Path, profile: str, flags: list[str]):
    pair.assert_same_add("-r", *flags, forest.name, profile=profile, cwd=forest.parent)


@pytest.mark.parametrize("flags", [[], ["--hidden"], ["-w"]], ids=str)
@pytest.mark.parametrize("paths", [["."], ["a", "one", "z"], ["two", "one", "to-file"]], ids=str)
def test_lines_come_in_the_same_order(pair: Pair, forest: Path, paths: list[str], flags: list[str]):
    """Files as the walk meets them, byte order within a folder, then the folders from the deepest up."""
    theirs, ours = pair.both_add("-r", *flags, *paths, cwd=forest)
    assert [line.name for line in ours] == [line.name for line in theirs]
    assert ours == theirs


@pytest.mark.parametrize("flags", [["--cid-version=0"], ["--cid-version=1"], ["--hash=sha2-512"]])
def test_a_tree_in_another_cid_version_gives_the_same_lines(pair: Pair, forest: Path, flags: list[str]):
    for profile in ("unixfs-v1-2025", "unixfs-v0-2015"):
        pair.assert_same_add("-r", *flags, forest.name, profile=profile, cwd=forest.parent)


def test_rules_in_a_file_leave_out_the_same(pair: Pair, forest: Path, tmp_path: Path):
    rules = tmp_path / "rules"
    rules.write_text("# comment\n\n*.log\n!keep.log\n/z\n")
    for flags in ([], ["--hidden"], ["--ignore=one"]):
        pair.assert_same_add("-r", f"--ignore-rules-path={rules}", *flags, forest.name, cwd=forest.parent)


@pytest.mark.parametrize(
    "rules",
    [
        ["a/"],
        ["a/b/**"],
        ["a/*", "!a/b"],
        ["notes?log"],
        ["/nested/file"],
        ["nested/empty/"],
        ["**/b/**/deep.txt"],
        ["*", "!*.txt", "!*/"],
        ["\\#odd", "trailing space \\ ", "z  "],
        ["[!a]*"],
        ["[a-c]/"],
        ["a/b/", "!a/b/keep.log"],
        ["to-*"],
    ],
    ids=" ".join,
)
def test_ignore_rules_mean_what_they_mean_to_git(pair: Pair, forest: Path, tmp_path: Path, rules: list[str]):
    """Kubo's reading of these rules is not git's: it knows no `?`, no `dir/` and no slash in the middle of a rule."""
    exclude = tmp_path / "rules"
    exclude.write_text("".join(f"{rule}\n" for rule in rules))
    git = ["git", f"--git-dir={tmp_path / 'git'}", f"--work-tree={forest}"]
    subprocess.run([*git, "init", "--quiet"], check=True, capture_output=True)
    listed = subprocess.run(
        [*git, "ls-files", "-z", "--others", f"--exclude-from={exclude}"], check=True, capture_output=True, cwd=forest
    ).stdout
    wanted = {name for name in listed.decode().split("\0") if name}
    arguments = ["-n", "--hidden", f"--ignore-rules-path={exclude}", forest.name]
    lines = pair.shoal.add(*arguments, profile="blake3", cwd=forest.parent)
    names = {line.name.removeprefix(f"{forest.name}/") for line in lines}
    assert {name for name in names if (forest / name).is_symlink() or not (forest / name).is_dir()} - {
        forest.name
    } == wanted


@pytest.mark.parametrize(
    "paths",
    [
        ["one", "two"],
        ["a", "one", "z"],
        ["a/one"],
        ["./a/one", "z/"],
        ["to-file"],
        ["to-directory"],
        ["dangling"],
        ["."],
        ["./"],
        ["../forest"],
        ["a/../a/b"],
        [".dotfile"],
        [".hidden"],
    ],
    ids=" ".join,
)
def test_paths_are_named_alike(pair: Pair, forest: Path, paths: list[str]):
    pair.assert_same_add("-r", *paths, cwd=forest)
    pair.assert_same_add("-r", "-w", *paths, cwd=forest)


def test_absolute_paths_are_named_by_their_last_part(pair: Pair, forest: Path):
    pair.assert_same_add("-r", forest / "a", forest / "one")
    pair.assert_same_add("-r", f"{forest}/")


def test_followed_links_give_the_same_lines(pair: Pair, workspace: Path):
    root = workspace / "followed"
    (root / "real/below").mkdir(parents=True)
    (root / "real/below/file").write_text("x")
    (root / "to-file").symlink_to("real/below/file")
    (root / "to-folder").symlink_to("real")
    (root / "twice").symlink_to("to-folder")
    for flags in (["--dereference-symlinks"], []):
        pair.assert_same_add("-r", *flags, "followed", cwd=workspace)
        # A link that is itself the argument keeps its name; Kubo prints the name of what it leads to.
        for path in ("followed/to-folder", "followed/to-file", "followed/twice"):
            pair.assert_same_add("-r", *flags, path, cwd=workspace, names=False)


ODD_NAMES = [
    "ünïcödé".encode(),
    "e\u0301 not composed".encode(),
    "日本語 — 中文 — العربية".encode(),
    "\U0001f419".encode(),
    b" leading and trailing ",
    b"new\nline",
    b"carriage\rreturn",
    b"tab\tbed",
    b"quote\"s and 'apostrophes'",
    b"back\\slash",
    b"per%20cent",
    b"ques?tion",
    b"#hash",
    b"star*",
    b"$HOME",
    b"-rf",
    b"--help",
    b"...",
    b"..a",
    b"a..",
    b"CON",
    b"con.",
    b"\x01\x02\x1b[31m\x7f",
    "\u0085 \u2028 \u202e".encode(),
    b"n" * 255,
    "ü".encode() * 127,
    b"bad\xff\xc3(",
    b"\xed\xa0\x80 surrogate",
    b"\xc0\xaf",
]


@pytest.fixture(scope="module")
def oddities(workspace: Path) -> Path:
    root = workspace / "oddities"
    (root / "folder").mkdir(parents=True)
    for number, name in enumerate(ODD_NAMES):
        folder = os.path.join(os.fsencode(root), b"folder", b"%02d" % number)
        os.mkdir(folder)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"%d" % number)
        with open(os.path.join(os.fsencode(root), name), "wb") as file:
            file.write(b"%d" % number)
        os.mkdir(os.path.join(os.fsencode(root), b"folder", b"in %02d" % number))
        os.mkdir(os.path.join(os.fsencode(root), b"folder", b"in %02d" % number, name))
    return root


@pytest.mark.parametrize("profile", ALL)
def test_odd_names_have_the_same_cids(pair: Pair, oddities: Path, profile: str):
    # How a control character is shown is each program's own affair, so only CIDs and their order are compared.
    for flags in ([], ["-w"]):
        pair.assert_same_add("-r", *flags, oddities.name, profile=profile, cwd=oddities.parent, names=False)


def _filled(folder: Path, names: Iterator[str] | list[str]) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name[:7])
    return folder


@pytest.mark.parametrize("profile", ALL)
@pytest.mark.parametrize("entries", [1, 1000, 10_000])
def test_directories_of_many_entries_have_the_same_cid(pair: Pair, workspace: Path, profile: str, entries: int):
    folder = workspace / f"entries-{entries}"
    if not folder.exists():
        _filled(folder, (f"entry-{number:07}" for number in range(entries)))
    lines = pair.assert_same_add("-r", folder.name, profile=profile, cwd=workspace)
    assert len(lines) == entries + 1


def test_a_directory_of_a_hundred_thousand_entries_has_the_same_cid(pair: Pair, workspace: Path):
    folder = _filled(workspace / "entries-100000", (f"{number}" for number in range(100_000)))
    try:
        for profile in ("unixfs-v1-2025", "blake3"):
            lines = pair.assert_same_add("-r", folder.name, profile=profile, cwd=workspace)
            assert len(lines) == 100_001
    finally:
        for path in folder.iterdir():
            path.unlink()


# A basic directory's block: 4 bytes of UnixFS data, then per entry its link. With CIDv1 of 36 bytes and content under
# 128 bytes a link of a name of n bytes (n < 76) takes 44 + n; the threshold is 262,144, and only more is sharded.
@pytest.mark.parametrize("over", [-1, 0, 1], ids=["below", "at", "above"])
@pytest.mark.parametrize(
    ("profile", "entry_bytes", "fixed"),
    [("unixfs-v1-2025", 44, 4), ("blake3", 44, 4), ("unixfs-v0-2015", 34, 0)],
)
def test_sharding_begins_at_the_same_byte(
    pair: Pair, workspace: Path, profile: str, entry_bytes: int, fixed: int, over: int
):
    name_bytes = 30
    wanted = 256 * 1024 - fixed + over
    entries = wanted // (entry_bytes + name_bytes) - 1
    last = wanted - entries * (entry_bytes + name_bytes) - entry_bytes
    assert name_bytes <= last < 2 * (entry_bytes + name_bytes)
    names = [f"{number:0{name_bytes}}" for number in range(entries)] + ["x" * last]
    folder = _filled(workspace / f"threshold-{profile}-{over}", names)
    root = pair.assert_same_add("-r", folder.name, profile=profile, cwd=workspace)[-1].cid
    # That this is the threshold: at it the directory is one long block, above it a short one with links to shards.
    assert pair.kubo.add("-r", folder.name, profile=profile, cwd=workspace)[-1].cid == root
    home = pair.kubo.at("unixfs-v0-2015" if profile == "unixfs-v0-2015" else "unixfs-v1-2025")
    root_bytes = int(home.word("block", "stat", root).rpartition(" ")[2])
    assert root_bytes < 100_000 if over > 0 else root_bytes >= 256 * 1024 - 1


# Kubo's --only-hash forgets the limit on links for the topmost directory (its own two answers differ), so here it stores.
@pytest.mark.parametrize("fanout", [8, 16, 64, 128, 256, 512, 1024])
def test_any_fanout_gives_the_same_cids(pair: Pair, workspace: Path, fanout: int):
    folder = workspace / "fanout"
    if not folder.exists():
        _filled(folder, (f"name {number}" for number in range(3000)))
    flags = [f"--max-hamt-fanout={fanout}", "--max-directory-links=100"]
    for profile in ("unixfs-v1-2025", "unixfs-v0-2015"):
        pair.assert_same_add("-r", *flags, folder.name, profile=profile, cwd=workspace, only_hash=False)


@pytest.mark.parametrize("links", [1, 8, 99, 100, 101, 255, 256, 257])
def test_any_number_of_directory_links_gives_the_same_cids(pair: Pair, workspace: Path, links: int):
    folder = workspace / "hundred"
    if not folder.exists():
        _filled(folder, (f"name {number}" for number in range(100)))
    pair.assert_same_add("-r", f"--max-directory-links={links}", folder.name, cwd=workspace, only_hash=False)


def test_sharded_directories_inside_sharded_directories_have_the_same_cids(pair: Pair, workspace: Path):
    root = workspace / "shards"
    root.mkdir()
    for outer in range(60):
        _filled(root / f"outer {outer}", (f"inner {number}" for number in range(40)))
        (root / f"outer {outer}" / "link").symlink_to("inner 1")
    for fanout in (8, 256):
        flags = ["--max-directory-links=20", f"--max-hamt-fanout={fanout}"]
        for more in ([], ["-w"], ["--inline"], ["--raw-leaves=false"]):
            pair.assert_same_add("-r", *flags, *more, root.name, cwd=workspace, only_hash=False)


@pytest.fixture(scope="module")
def stamped(workspace: Path) -> Path:
    """Modes and times of every kind, on files, directories and a link."""
    root = workspace / "stamped"
    modes = [0o644, 0o600, 0o755, 0o444, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o400, 0o000]
    times = [0, 1, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789, -1, -1_500_000_000, 2**33 * 1_000_000_000]
    for folder in ("folder", "empty", "inner/most"):
        (root / folder).mkdir(parents=True)
    for number, mode in enumerate(modes):
        path = root / f"mode-{number}"
        path.write_text("x" * (number * 40))
        path.chmod(mode)
    for number, nanoseconds in enumerate(times):
        for path in (root / f"time-{number}", root / f"folder/time-{number}"):
            path.write_text("y" * number)
            os.utime(path, ns=(nanoseconds, nanoseconds))
    (root / "link").symlink_to("mode-0")
    os.utime(root / "link", ns=(5, 7_000_000_003), follow_symlinks=False)
    (root / "folder").chmod(0o2770)
    (root / "empty").chmod(0o1777)
    for path in ("folder", "empty", "inner/most", "inner", "."):
        os.utime(root / path, ns=(1, 1_600_000_000_000_000_001))
    for path in root.glob("mode-*"):
        os.utime(path, ns=(1, 1_500_000_000_000_000_000))
    assert stat.S_IMODE((root / "mode-5").stat().st_mode) == 0o4755
    return root


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015", "blake3"])
@pytest.mark.parametrize(
    "flags",
    [
        ["--preserve-mode"],
        ["--preserve-mtime"],
        ["--preserve-mode", "--preserve-mtime"],
        ["--preserve-mode", "--preserve-mtime", "--chunker=size-100"],
        ["--preserve-mode", "--preserve-mtime", "--max-directory-links=4", "--max-hamt-fanout=8"],
        ["--preserve-mode", "--preserve-mtime", "--trickle", "--chunker=size-100"],
        ["--preserve-mode", "--preserve-mtime", "-w"],
        ["--mode=0640"],
        ["--mtime=1234567890"],
        ["--mode=0640", "--mtime=1234567890"],
    ],
    ids=" ".join,
)
def test_modes_and_times_give_the_same_cids(pair: Pair, stamped: Path, profile: str, flags: list[str]):
    # Kubo refuses raw leaves with these flags and must be told; Shoal turns them off by itself.
    # Nor can it do this with --only-hash: it reads back blocks that it did not keep.
    arguments = ["-r", "--raw-leaves=false", *flags, stamped.name]
    pair.assert_same_add(*arguments, profile=profile, cwd=stamped.parent, only_hash=False)


def test_kept_modes_turn_raw_leaves_off_by_themselves(pair: Pair, stamped: Path):
    arguments = ["-r", "-n", "--preserve-mode", stamped.name]
    implied = pair.shoal.add(*arguments, profile="unixfs-v1-2025", cwd=stamped.parent)
    said = pair.shoal.add("--raw-leaves=false", *arguments, profile="unixfs-v1-2025", cwd=stamped.parent)
    assert implied == said


def test_what_is_stored_is_what_only_hash_says(pair: Pair, forest: Path):
    for profile in ALL:
        arguments = ["-r", "--hidden", forest.name]
        hashed = pair.shoal.add("--only-hash", *arguments, profile=profile, cwd=forest.parent)
        assert pair.shoal.add(*arguments, profile=profile, cwd=forest.parent) == hashed


def test_special_files_are_refused_by_both(pair: Pair, workspace: Path):
    root = workspace / "special"
    root.mkdir()
    (root / "file").write_text("x")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        for program, arguments in (
            (pair.kubo.at("unixfs-v1-2025"), ["add", "-rn", str(root)]),
            (pair.shoal, ["add", "-rn", str(root)]),
        ):
            with pytest.raises(AssertionError, match="socket"):
                program.run(*arguments)
