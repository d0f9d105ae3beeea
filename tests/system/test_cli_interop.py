"""The same words to `ipfs` and to `shoal`, the same lines from both. The counterpart is Kubo, named by SHOAL_KUBO."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.interop
PROFILE = ["--profile", "unixfs-v1-2025"]


@pytest.fixture
def odd(shoal, photos):
    """`photos`, with names and kinds that are easy to get wrong."""
    (photos / "empty").mkdir()
    (photos / "empty.txt").write_bytes(b"")
    (photos / "link").symlink_to("sea.txt")
    (photos / "space name é").write_text("x")
    (photos / "line\nbreak").write_text("x")
    (photos / "esc\x1b[31m").write_text("x")
    (photos / 'quote"and\\slash').write_text("x")
    (photos / ".hidden").write_text("h")
    return photos


@pytest.mark.parametrize(
    "flags",
    [
        ["-r", "photos"],
        ["-r", "-q", "photos"],
        ["-r", "-Q", "photos"],
        ["-r", "-w", "photos"],
        ["-r", "-H", "photos"],
        ["-r", "--empty-dirs=false", "photos"],
        ["-r", "--ignore", "*.txt", "photos"],
        ["-r", "--only-hash", "photos"],
        ["-r", "--dereference-symlinks", "photos"],
        ["notes.txt", "photos/sea.txt"],
        ["-w", "notes.txt", "photos/sea.txt"],
        ["-Q", "notes.txt", "photos/sea.txt"],
        ["-r", "./photos/"],
        ["-r", "--raw-leaves=false", "photos"],
        ["-r", "--trickle", "photos"],
        ["-r", "--inline", "photos"],
        ["-r", "--hash", "blake3", "photos"],
        ["-r", "--chunker", "size-4", "--max-file-links", "2", "photos"],
        ["--mode", "0640", "--mtime", "5", "--raw-leaves=false", "notes.txt"],
    ],
    ids=" ".join,
)
def test_add_prints_the_same_lines(shoal, kubo, odd, flags) -> None:
    theirs = kubo("add", *flags, cwd=shoal.folder)
    assert theirs.code == 0, theirs.errors
    assert shoal("add", *PROFILE, *flags).out == theirs.out


def test_add_of_a_sharded_directory_prints_the_same_lines_in_another_order(shoal, kubo, odd) -> None:
    """Kubo visits the directories in a sharded one by the hashes of their names; we go by the names."""
    flags = ["-r", "--max-directory-links", "2", "--max-hamt-fanout", "16", "photos"]
    theirs = kubo("add", *flags, cwd=shoal.folder).lines
    ours = shoal("add", *PROFILE, *flags).lines
    assert sorted(ours) == sorted(theirs)
    assert ours[-1] == theirs[-1]


@pytest.mark.parametrize(
    "flags", [[], ["-"], ["--stdin-name", "greeting"], ["-w"], ["-w", "--stdin-name", "greeting"]], ids=" ".join
)
def test_add_of_stdin_prints_the_same_lines(shoal, kubo, flags) -> None:
    theirs = kubo("add", *flags, cwd=shoal.folder, stdin=b"hey\n")
    assert shoal("add", *PROFILE, *flags, stdin=b"hey\n").out == theirs.out


@pytest.mark.parametrize(
    "words",
    [
        ["ls", "ROOT"],
        ["ls", "--headers", "ROOT"],
        ["ls", "--long", "--headers", "ROOT"],
        ["ls", "--size=false", "ROOT"],
        ["ls", "ROOT/2024", "ROOT"],
        ["ls", "/ipfs/ROOT/2024"],
        ["ls", "ROOT/sea.txt"],
        ["cat", "ROOT/sea.txt", "ROOT/hill.txt"],
        ["cat", "-o", "3", "-l", "8", "ROOT/sea.txt", "ROOT/hill.txt"],
        ["cat", "-o", "100", "ROOT/sea.txt"],
        ["refs", "ROOT"],
        ["refs", "-r", "ROOT"],
        ["refs", "-r", "-u", "ROOT"],
        ["refs", "-e", "-r", "ROOT"],
        ["refs", "-r", "--max-depth", "1", "ROOT"],
        ["block", "stat", "ROOT"],
        ["block", "get", "ROOT/2024"],
        ["dag", "get", "ROOT"],
        ["dag", "get", "ROOT/2024"],
        ["dag", "export", "ROOT"],
        ["pin", "ls", "ROOT"],
        ["pin", "rm", "ROOT"],
        ["cid", "inspect", "ROOT"],
        ["cid", "format", "-v", "0", "ROOT"],
        ["cid", "format", "-f", "%b %v %c %h %L %m %d %s %P", "ROOT"],
    ],
    ids=" ".join,
)
def test_reading_prints_the_same_lines(shoal, kubo, odd, words) -> None:
    theirs = kubo("add", "-r", "-Q", "photos", cwd=shoal.folder).word
    ours = shoal("add", *PROFILE, "-Q", "photos").word
    assert ours == theirs
    filled = [word.replace("ROOT", ours) for word in words]
    assert shoal(*filled).raw == kubo(*filled, cwd=shoal.folder).raw


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["block", "put", "--mhtype", "sha2-256"], b"\x00raw"),
        (["block", "put", "--mhtype", "sha2-256", "--cid-codec", "dag-pb"], b""),
        (["dag", "put", "--hash", "sha2-256"], b'{"b":[1,-2.5,null,true],"a":{"/":{"bytes":"aGk"}}}'),
        (["dag", "put", "--hash", "sha2-256", "--store-codec", "dag-json"], b'{"b":1,"a":"x"}'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_blocks_and_objects_have_the_same_cids(shoal, kubo, words, stdin) -> None:
    assert shoal(*words, stdin=stdin).out == kubo(*words, cwd=shoal.folder, stdin=stdin).out


def test_a_recorded_time_and_mode_is_listed_alike(shoal, kubo, photos) -> None:
    flags = ["-Q", "-r", "--preserve-mode", "--preserve-mtime", "--raw-leaves=false", "photos"]
    root = shoal("add", *PROFILE, *flags).word
    assert root == kubo("add", *flags, cwd=shoal.folder).word
    assert shoal("ls", "-l", root).out == kubo("ls", "-l", root, cwd=shoal.folder).out


def test_each_reads_what_the_other_exports(shoal, kubo, odd, tmp_path) -> None:
    ours = shoal("add", "-Q", "photos").word
    car = shoal("dag", "export", ours).raw
    assert kubo("dag", "import", cwd=shoal.folder, stdin=car).out == f"Pinned root\t{ours}\tsuccess\n"
    assert kubo("cat", f"{ours}/sea.txt", cwd=shoal.folder).raw == b"the sea\n"
    theirs = kubo("add", "-r", "-Q", "photos", cwd=shoal.folder).word
    car = kubo("dag", "export", theirs, cwd=shoal.folder).raw
    assert shoal("dag", "import", "--store", tmp_path / "new", stdin=car).out == f"Pinned root\t{theirs}\tsuccess\n"
    shoal("get", "--store", tmp_path / "new", theirs, "-o", "back")
    assert (shoal.folder / "back" / "2024" / "moon.txt").read_text() == "the moon\n"
