"""`shoal add`: what it prints, in which order, and which CIDs its flags ask for."""

from __future__ import annotations

import os

import pytest

# Any tool can check this one: `printf 'hello world\n' | b3sum` and its multihash in base32.
HELLO_SHA256 = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"


def names(run) -> list[str]:
    return [line.split(" ", 2)[2] for line in run.lines]


def test_prints_one_line_for_a_file(shoal, photos) -> None:
    run = shoal("add", "--profile", "unixfs-v1-2025", "notes.txt")
    assert run.out == f"added {HELLO_SHA256} notes.txt\n"
    assert run.errors == ""


def test_prints_files_as_they_come_and_then_their_directories(shoal, photos) -> None:
    printed = names(shoal("add", "photos"))
    assert printed == ["photos/2024/moon.txt", "photos/hill.txt", "photos/sea.txt", "photos/2024", "photos"]


def test_accepts_the_recursive_flag_of_ipfs(shoal, photos) -> None:
    assert shoal("add", "-r", "photos").out == shoal("add", "photos").out


def test_names_a_directory_by_its_real_name_however_it_is_given(shoal, photos) -> None:
    assert names(shoal("add", "."))[-1] == "work"
    assert names(shoal("add", "./photos/"))[-1] == "photos"
    assert names(shoal("add", "../work/photos"))[-1] == "photos"


def test_quiet_prints_cids_and_quieter_the_last(shoal, photos) -> None:
    everything = [line.split()[1] for line in shoal("add", "photos").lines]
    assert shoal("add", "-q", "photos").lines == everything
    assert shoal("add", "-Q", "photos").lines == everything[-1:]
    assert shoal("add", "--silent", "photos").out == ""


def test_adds_several_paths(shoal, photos) -> None:
    run = shoal("add", "notes.txt", "photos/sea.txt")
    assert names(run) == ["notes.txt", "sea.txt"]


def test_wraps_several_paths_into_one_directory(shoal, photos) -> None:
    run = shoal("add", "-w", "notes.txt", "photos/sea.txt")
    root = run.lines[-1].split(" ")
    assert root[0] == "added"
    assert root[2] == ""
    assert [line.split()[2] for line in shoal("ls", root[1]).lines] == ["notes.txt", "sea.txt"]


def test_reads_stdin_for_a_dash_and_for_a_pipe(shoal, photos) -> None:
    cid = shoal("add", "-Q", "notes.txt").word
    assert shoal("add", "-", stdin=b"hello world\n").out == f"added {cid} {cid}\n"
    assert shoal("add", stdin=b"hello world\n").out == f"added {cid} {cid}\n"


def test_names_stdin(shoal) -> None:
    assert names(shoal("add", "--stdin-name", "greeting", stdin=b"hi")) == ["greeting"]
    root = shoal("add", "-wQ", "--stdin-name", "greeting", stdin=b"hi").word
    assert shoal("cat", f"{root}/greeting").raw == b"hi"


def test_wrapped_stdin_without_a_name_is_named_by_its_cid(shoal) -> None:
    file, root = shoal("add", "-w", stdin=b"hi").lines
    cid = file.split()[1]
    assert file == f"added {cid} {cid}"
    assert shoal("cat", f"{root.split()[1]}/{cid}").raw == b"hi"


def test_only_hash_gives_the_same_cid_and_keeps_nothing(shoal, photos) -> None:
    cid = shoal("add", "-nQ", "photos").word
    assert shoal("repo", "stat", "--json").json["blocks"] == 0
    assert shoal("add", "-Q", "photos").word == cid


def test_second_add_stores_nothing(shoal, photos) -> None:
    first = shoal("add", "--json", "photos").json_lines[-1]
    second = shoal("add", "--json", "photos").json_lines[-1]
    assert first["new_bytes"] > 0
    assert first["cid"] == second["cid"]
    assert second["new_bytes"] == 0
    assert second["new_blocks"] == 0


def test_leaves_out_hidden_files_unless_asked(shoal, photos) -> None:
    (photos / ".secret").write_text("x")
    assert "photos/.secret" not in names(shoal("add", "photos"))
    assert "photos/.secret" in names(shoal("add", "--hidden", "photos"))


def test_leaves_out_what_is_ignored(shoal, photos) -> None:
    assert names(shoal("add", "--ignore", "hill.*", "--ignore", "2024", "photos")) == ["photos/sea.txt", "photos"]
    (shoal.folder / "rules").write_text("# the moon\nmoon.txt\n")
    assert "photos/2024/moon.txt" not in names(shoal("add", "--ignore-rules-path", "rules", "photos"))


def test_leaves_out_empty_directories_on_request(shoal, photos) -> None:
    (photos / "empty").mkdir()
    assert "photos/empty" in names(shoal("add", "photos"))
    assert "photos/empty" not in names(shoal("add", "--no-empty-dirs", "photos"))
    assert "photos/empty" not in names(shoal("add", "--empty-dirs=false", "photos"))


def test_follows_symlinks_on_request(shoal, photos) -> None:
    (photos / "link").symlink_to("sea.txt")
    link = shoal("add", "-Q", "photos").word
    assert [entry["kind"] for entry in shoal("ls", "--json", link).json_lines if entry["name"] == "link"] == ["symlink"]
    followed = shoal("add", "-Q", "--dereference-symlinks", "photos").word
    assert shoal("cat", f"{followed}/link").out == "the sea\n"


def test_keeps_modes_and_times_on_request(shoal, photos) -> None:
    os.chmod(photos / "sea.txt", 0o640)
    os.utime(photos / "sea.txt", (1_000_000_000, 1_000_000_000))
    root = shoal("add", "-Q", "--preserve-mode", "--preserve-mtime", "photos").word
    entry = next(entry for entry in shoal("ls", "--json", root).json_lines if entry["name"] == "sea.txt")
    assert (entry["mode"], entry["mtime"]) == (0o640, 1_000_000_000)
    line = next(line for line in shoal("ls", "--long", root).lines if line.endswith(" sea.txt"))
    assert line.startswith("-rw-r----- ")
    assert "Sep 09  2001" in line


def test_sets_a_mode_and_a_time_on_request(shoal, photos) -> None:
    shoal("add", "--mode", "0600", "--mtime", "5", "--mtime-nsecs", "500000000", "photos")
    root = shoal("add", "-wQ", "--mode", "0600", "--mtime", "5", "--mtime-nsecs", "500000000", "notes.txt").word
    (entry,) = [entry for entry in shoal("ls", "--json", root).json_lines if entry["name"] == "notes.txt"]
    assert (entry["mode"], entry["mtime"]) == (0o600, 5.5)


def test_pins_unless_told_not_to(shoal, photos) -> None:
    pinned = shoal("add", "-Q", "--pin-name", "trip", "photos").word
    shoal("add", "-Q", "--no-pin", "notes.txt")
    assert shoal("pin", "ls", "-t", "recursive", "--json").json_lines == [
        {"cid": pinned, "kind": "recursive", "name": "trip"}
    ]


def test_kubos_way_of_saying_no_is_understood(shoal, photos) -> None:
    shoal("add", "--pin=false", "notes.txt")
    assert shoal("pin", "ls").out == ""
    shoal("add", "--pin=true", "notes.txt")
    assert shoal("pin", "ls").out != ""
    assert (
        shoal("add", "-Q", "--raw-leaves=false", "notes.txt").word
        == shoal("add", "-Q", "--no-raw-leaves", "notes.txt").word
    )


@pytest.mark.parametrize(
    ("flags", "starts"),
    [
        (["--profile", "unixfs-v0-2015"], "Qm"),
        (
            ["--profile", "unixfs-v0-2015", "--hash", "blake3"],
            "bafkr4i",
        ),  # another hash implies version 1, and that raw leaves
        (["--profile", "unixfs-v0-2015", "--cid-version", "1"], "bafkrei"),
        (["--profile", "unixfs-v0-2015", "--cid-version", "1", "--no-raw-leaves"], "bafybei"),
        # leaves stay raw, and a raw block has no version 0
        (["--profile", "unixfs-v1-2025", "--cid-version", "0"], "bafkrei"),
        (["--cid-version", "0", "--hash", "sha2-256"], "bafkrei"),
        (["--cid-version", "0", "--hash", "sha2-256", "--no-raw-leaves"], "Qm"),
        (["--hash", "sha2-256"], "bafkrei"),
        (["--hash", "SHA2-256", "--no-raw-leaves"], "bafybei"),
        (["--hash", "sha2-512"], "bafkrgq"),
        ([], "bafkr4i"),
        (["--trickle"], "bafyb4i"),
        (["--inline"], "bafkqa"),
        (["--preserve-mode"], "bafyb4i"),
        (["--chunker", "size-4"], "bafyb4i"),
    ],
)
def test_flags_imply_what_they_imply_in_kubo(shoal, photos, flags, starts) -> None:
    assert shoal("add", "-nQ", *flags, "notes.txt").word.startswith(starts)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--cid-version", "0"], "CID version 0 knows only sha2-256, not blake3"),
        (["--cid-version", "2"], "--cid-version"),
        (["--hash", "nope"], "hash"),
        (["--chunker", "size-0"], "chunk"),
        (["--chunker", "nope"], "chunk"),
        (["--chunker", "size-99999999"], "chunk"),
        (["--max-hamt-fanout", "7"], "fanout"),
        (["--inline-limit", "64"], "--inline"),
        (["--inline", "--inline-limit", "200"], "--inline-limit"),
        (["--preserve-mode", "--raw-leaves"], "raw leaves cannot carry"),
        (["--mode", "rw"], "octal"),
        (["--profile", "unixfs-v1-2024"], "unixfs-v1-2025"),
        (["--pin-name", "x", "--no-pin"], "--pin-name"),
        (["--mtime-nsecs", "5"], "--mtime"),
    ],
)
def test_flags_that_make_no_sense_are_usage_errors(shoal, photos, flags, says) -> None:
    run = shoal("add", *flags, "notes.txt", code=2)
    assert says in run.errors
    assert run.errors.startswith("shoal: ")
    assert run.errors.count("\n") == 1
    assert run.out == ""


def test_a_missing_path_adds_nothing(shoal, photos) -> None:
    run = shoal("add", "photos", "no-such-file", code=1)
    assert "no-such-file" in run.errors
    assert shoal("pin", "ls").out == ""


def test_names_with_control_characters_are_escaped_in_lines_and_in_json(shoal, photos) -> None:
    (photos / "tab\tesc\x1b[31m").write_text("x")
    (photos / "line\nbreak").write_text("y")
    out = shoal("add", "photos").out
    assert "photos/tab\\tesc\\x1b[31m\n" in out
    assert "photos/line\\nbreak\n" in out
    assert "\x1b" not in out
    run = shoal("add", "--json", "photos")
    assert "\x1b" not in run.out
    assert {"photos/tab\tesc\x1b[31m", "photos/line\nbreak"} <= {entry["name"] for entry in run.json_lines}


def test_a_name_that_is_not_utf8_is_added_and_given_back(shoal, photos) -> None:
    odd = os.fsencode(photos) + b"/caf\xe9"
    with open(odd, "wb") as opened:
        opened.write(b"coffee")
    run = shoal("add", "photos")
    assert "photos/caf\\xe9" in run.out
    shoal("get", run.lines[-1].split()[1], "-o", "back")
    assert b"caf\xe9" in os.listdir(os.fsencode(shoal.folder / "back"))
