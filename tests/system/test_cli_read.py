"""`shoal get`, `cat`, `ls` and `refs`: what comes out is what went in."""

from __future__ import annotations

import base64

import pytest


@pytest.fixture
def root(shoal, photos) -> str:
    return shoal("add", "-Q", "photos").word


def test_get_writes_a_directory_under_its_cid(shoal, root) -> None:
    assert shoal("get", root).out == f"Saving file(s) to {root}\n"
    assert (shoal.folder / root / "2024" / "moon.txt").read_text() == "the moon\n"


def test_get_names_a_file_by_its_path(shoal, root) -> None:
    shoal("get", f"/ipfs/{root}/sea.txt")
    assert (shoal.folder / "sea.txt").read_text() == "the sea\n"


def test_get_writes_to_the_name_it_is_given(shoal, root) -> None:
    shoal("get", f"{root}/2024", "-o", "copy")
    assert (shoal.folder / "copy" / "moon.txt").read_text() == "the moon\n"


def test_get_puts_a_file_into_a_directory_as_cp_does(shoal, root) -> None:
    (shoal.folder / "into").mkdir()
    shoal("get", f"{root}/sea.txt", "-o", "into")
    assert (shoal.folder / "into" / "sea.txt").read_text() == "the sea\n"


def test_get_replaces_nothing_without_force(shoal, root) -> None:
    (shoal.folder / "sea.txt").write_text("mine")
    run = shoal("get", f"{root}/sea.txt", code=1)
    assert "sea.txt" in run.errors
    assert "force" in run.errors
    assert (shoal.folder / "sea.txt").read_text() == "mine"
    shoal("get", f"{root}/sea.txt", "--force")
    assert (shoal.folder / "sea.txt").read_text() == "the sea\n"


def test_get_of_a_dash_is_stdout(shoal, root) -> None:
    assert shoal("get", f"{root}/sea.txt", "-o", "-").raw == b"the sea\n"


def test_get_reports_what_it_wrote(shoal, root) -> None:
    written = shoal("get", "--json", root, "-o", "copy").json
    assert (written["path"], written["files"]) == (str(shoal.folder / "copy"), 3)
    assert written["bytes"] == len("the sea\na hill\nthe moon\n")


def test_cat_prints_files_one_after_the_other(shoal, root) -> None:
    assert shoal("cat", f"{root}/sea.txt", f"{root}/hill.txt").raw == b"the sea\na hill\n"


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, None), (4, None), (0, 3), (4, 3), (6, 5), (8, 1), (7, 2), (8, None), (14, 3), (15, 1), (99, None), (0, 0)],
)
def test_offset_and_length_count_over_all_files(shoal, root, offset, length) -> None:
    flags = ["--offset", str(offset), *(["--length", str(length)] if length is not None else [])]
    whole = b"the sea\na hill\n"
    expected = whole[offset : None if length is None else offset + length]
    assert shoal("cat", *flags, f"{root}/sea.txt", f"{root}/hill.txt").raw == expected


def test_a_range_of_one_file_of_many_blocks(shoal) -> None:
    content = bytes(range(256)) * 40
    (shoal.folder / "file").write_bytes(content)
    cid = shoal("add", "-Q", "--chunker", "size-1000", "file").word
    assert shoal("cat", "-o", "999", "-l", "1002", cid).raw == content[999:2001]


def test_cat_in_json_carries_any_bytes(shoal) -> None:
    cid = shoal("add", "-Q", stdin=b"\x00\xff").word
    (piece,) = shoal("cat", "--json", cid).json_lines
    assert piece == {"path": cid, "offset": 0, "bytes": 2, "base64": "AP8="}
    (piece,) = shoal("cat", "--json", "--offset", "1", cid).json_lines
    assert (piece["offset"], base64.b64decode(piece["base64"])) == (1, b"\xff")


def test_cat_of_a_directory_says_what_to_do(shoal, root) -> None:
    assert "directory" in shoal("cat", root, code=1).errors


def test_ls_prints_aligned_columns(shoal, root) -> None:
    lines = shoal("ls", root).lines
    assert [line.split()[1:] for line in lines] == [["-", "2024/"], ["7", "hill.txt"], ["8", "sea.txt"]]
    assert len({line.index(line.split()[2]) for line in lines}) == 1


def test_ls_prints_headings_modes_and_times_on_request(shoal, root) -> None:
    heading, *lines = shoal("ls", "--long", "--headers", root).lines
    assert heading.split() == ["Mode", "Hash", "Size", "ModTime", "Name"]
    assert all(line.split()[0] == "-" and line.split()[3] == "-" for line in lines)
    assert shoal("ls", "--headers", "--no-size", root).lines[0].split() == ["Hash", "Name"]
    assert shoal("ls", "--size=false", root).lines[1].split()[1:] == ["hill.txt"]


def test_ls_of_several_names_each(shoal, root) -> None:
    assert shoal("ls", f"{root}/2024", root).lines[0] == f"{root}/2024:"
    assert shoal("ls", f"{root}/2024", root).lines[2:4] == ["", f"{root}:"]


def test_ls_in_json_has_what_is_known(shoal, root) -> None:
    entries = shoal("ls", "--json", root).json_lines
    assert [entry["name"] for entry in entries] == ["2024", "hill.txt", "sea.txt"]
    assert [entry["kind"] for entry in entries] == ["directory", "file", "file"]
    assert [entry["size"] for entry in entries] == [None, 7, 8]
    assert all(entry["root"] == root for entry in entries)


def test_ls_goes_down_on_request(shoal, root) -> None:
    assert [line.split()[2] for line in shoal("ls", "-R", root).lines] == [
        "2024/",
        "2024/moon.txt",
        "hill.txt",
        "sea.txt",
    ]


def test_ls_streams_on_request(shoal, root) -> None:
    assert [line.split() for line in shoal("ls", "--stream", root).lines] == [
        line.split() for line in shoal("ls", root).lines
    ]


def test_ls_escapes_names(shoal, photos) -> None:
    (photos / "esc\x1b]0;title\x07").write_text("x")
    root = shoal("add", "-Q", "photos").word
    assert "esc\\x1b]0;title\\a" in shoal("ls", root).out
    assert "\x1b" not in shoal("ls", root).out + shoal("ls", "--json", root).out


def test_refs_lists_links(shoal, root) -> None:
    children = [entry["cid"] for entry in shoal("ls", "--json", root).json_lines]
    assert shoal("refs", root).lines == children
    assert shoal("refs", "-e", root).lines == [f"{root} -> {child}" for child in children]
    assert shoal("refs", "--format", "<linkname>", root).lines == ["2024", "hill.txt", "sea.txt"]


def test_refs_follows_links_on_request(shoal, root) -> None:
    assert len(shoal("refs", "-r", root).lines) == 4
    assert len(shoal("refs", "-r", "--max-depth", "1", root).lines) == 3


def test_refs_prints_each_target_once_on_request(shoal, photos) -> None:
    (photos / "again.txt").write_text("the sea\n")
    root = shoal("add", "-Q", "photos").word
    assert len(shoal("refs", root).lines) == 4
    assert len(shoal("refs", "-u", root).lines) == 3
    assert len(shoal("refs", "-u", root, root).lines) == 3


def test_refs_local_lists_every_block(shoal, root) -> None:
    assert sorted(shoal("refs", "local").lines) == sorted([root, *shoal("refs", "-r", root).lines])


def test_refs_in_json_names_source_and_target(shoal, root) -> None:
    assert {tuple(sorted(link)) for link in shoal("refs", "--json", root).json_lines} == {("cid", "name", "source")}
