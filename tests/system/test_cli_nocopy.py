"""`shoal add --nocopy` and `shoal repo references`: files that stay where they are, as a person at a shell meets them."""

from __future__ import annotations

import os


def test_a_file_that_changed_ends_every_command_that_needs_it_with_exit_code_5(shoal, photos) -> None:
    root = shoal("add", "-Q", "--nocopy", "photos").word
    assert root == shoal("add", "-Q", "--only-hash", "photos").word
    assert shoal("cat", f"{root}/sea.txt").out == "the sea\n"
    assert shoal("repo", "references", "check").out == "3 files, 0 changed\n"
    shoal("verify")
    sea = photos / "sea.txt"
    sea.write_text("the sea, and more\n")
    for words in (["cat", f"{root}/sea.txt"], ["get", root, "-o", "out"], ["dag", "export", root, "-o", "out.car"]):
        run = shoal(*words, code=5)
        assert f"{sea} (byte 0), and that file became longer (8 bytes, now 18)" in run.errors
    for words in (["verify"], ["repo", "references", "check"], ["repo", "references", "check", "--full"]):
        run = shoal(*words, code=5)
        assert str(sea) in run.out
    assert shoal("cat", f"{root}/hill.txt").out == "a hill\n"
    done = shoal("repo", "references", "forget", "--changed")
    assert done.out == f"forgot {sea}\nforgot 1 blocks (8 B) in 1 files\n"
    shoal("cat", f"{root}/sea.txt", code=3)


def test_forget_wants_to_know_what(shoal, photos) -> None:
    shoal("repo", "references", "forget", code=2)
    shoal("repo", "references", "forget", "--changed", "photos", code=2)
    shoal("add", "--nocopy", "--only-hash", "photos", code=2)
    assert "no place" in shoal("add", "--nocopy", stdin=b"piped", code=2).errors


def test_many_files_are_added_and_read_with_few_descriptors(shoal) -> None:
    folder = shoal.folder / "many"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:03}").write_bytes(os.urandom(10) + bytes(3000))
    run = shoal.script("ulimit -n 24 && shoal add -Q --nocopy many")
    assert run.code == 0, run.errors
    root = run.word
    run = shoal.script(f"ulimit -n 24 && shoal get {root} -o out && shoal verify && shoal repo references check --full")
    assert run.code == 0, run.errors
    assert (shoal.folder / "out" / "299").read_bytes() == (folder / "299").read_bytes()
