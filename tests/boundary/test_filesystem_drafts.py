"""Drafts: trees written through fsspec until a commit gives them a CID. A file is in its draft whole or not, a draft in the store whole or not."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import pytest

import shoal
from shoal.errors import UnknownProfile
from shoal.filesystem import ShoalFileSystem


@pytest.fixture
def fs(store):
    return ShoalFileSystem(store.path, write=True, skip_instance_cache=True)


def left_over(store: shoal.Store) -> list[str]:
    """All that is on disk of drafts."""
    return sorted(str(path.relative_to(store.path)) for path in Path(store.path, "drafts").rglob("*"))


def test_a_commit_gives_the_cid_that_add_gives_the_same_tree(store, fs, tmp_path, painted):
    folder = tmp_path / "tree"
    for name, data in {"a/b/large.bin": painted(3 << 20), "a/.hidden": b"hidden", "ä ö": b"", ".dot/x": b"x"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        fs.pipe(f"shoal://new/{name}", data)
    (folder / "empty").mkdir()
    fs.mkdir("shoal://new/empty")
    for profile in ("blake3", "unixfs-v1-2025"):
        fs.cp("new", "again", recursive=True)
        cid = fs.commit("again", profile=profile, pin_name="made here")
        assert cid == store.add(folder, hidden=True, only_hash=True, profile=profile).cid
        assert [(pin.cid, pin.name) for pin in store.pins.ls(cid=cid)] == [(cid, "made here")]
        assert fs.cat_file(f"shoal://{cid}/a/b/large.bin", end=9) == painted(3 << 20)[:9]
        assert not fs.exists("again")
    unpinned = fs.commit("shoal://new", pin=False)
    assert unpinned == store.add(folder, hidden=True, only_hash=True).cid
    assert left_over(store) == []


def test_a_draft_may_be_a_single_file(store, fs, painted):
    data = painted(100_000)
    with fs.open("shoal://one.bin", "wb") as file:
        file.write(data)
    assert fs.isfile("one.bin")
    assert fs.commit("one.bin") == store.add(data, only_hash=True).cid
    fs.pipe("one.bin", b"x")
    fs.rm("one.bin")
    assert left_over(store) == []


def test_a_file_is_in_its_draft_once_it_is_closed(store, fs):
    fs.pipe("new/a", b"before")
    file = fs.open("new/a", "wb")
    file.write(b"after")
    file.flush()
    assert fs.cat_file("new/a") == b"before"
    assert fs.ls("new", detail=False) == ["new/a"]
    file.close()
    file.close()
    assert fs.cat_file("new/a") == b"after"
    with fs.open("new/a", "ab") as file:
        file.write(b" that")
    assert fs.cat_file("new/a") == b"after that"
    with fs.open("new/text", "w") as file:
        file.write("ä\n")
    assert fs.cat_file("new/text", start=-2) == "ä\n".encode()[-2:]
    assert fs.info("new/text")["size"] == 3


def test_a_file_that_was_not_finished_is_thrown_away(store, fs):
    fs.pipe("new/a", b"before")

    def write_and_fail() -> None:
        with fs.open("new/a", "wb") as file:
            file.write(b"half of")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        write_and_fail()
    with pytest.raises(RuntimeError), fs.transaction, fs.open("new/a", "w") as file:
        file.write("half of")
        raise RuntimeError("half way")
    fs.open("new/b", "wb").write(b"never closed")
    gc.collect()
    assert fs.find("new") == ["new/a"]
    assert fs.cat_file("new/a") == b"before"
    assert not [name for name in left_over(store) if "/part/" in name]


def test_an_exclusive_file_replaces_nothing(store, fs):
    first, second = fs.open("new/a", "xb"), fs.open("new/a", "xb")
    first.write(b"first")
    second.write(b"second")
    first.close()
    with pytest.raises(FileExistsError):
        second.close()
    with pytest.raises(FileExistsError):
        fs.open("new/a", "xb")
    assert fs.cat_file("new/a") == b"first"
    assert not [name for name in left_over(store) if "/part/" in name]
    with pytest.raises(IsADirectoryError):
        fs.open("new", "wb")


def test_a_transaction_of_fsspec_is_all_or_nothing(fs):
    with fs.transaction:
        fs.pipe("new/a", b"a")
        fs.pipe("new/b", b"b")
        assert not fs.exists("new/a")
    assert fs.cat("new/*") == {"new/a": b"a", "new/b": b"b"}
    with pytest.raises(RuntimeError), fs.transaction:
        fs.pipe("new/c", b"c")
        raise RuntimeError("not this one")
    assert not fs.exists("new/c")


def test_a_commit_that_fails_leaves_the_draft_as_it_was(store, fs, monkeypatch):
    fs.pipe("new/a", b"a")
    with pytest.raises(UnknownProfile):
        fs.commit("new", profile="nosuch")
    before = left_over(store)
    monkeypatch.setattr(shoal.Store, "add", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fs.commit("new")
    assert left_over(store) == before
    assert fs.cat("new/a") == b"a"
    with pytest.raises(FileNotFoundError, match="no such draft"):
        fs.commit("nothing")
    with pytest.raises(ValueError, match="whole"):
        fs.commit("new/a")


def test_a_file_open_during_the_commit_is_in_neither_and_says_so(store, fs):
    fs.pipe("new/a", b"a")
    late = fs.open("new/late", "wb")
    late.write(b"late")
    cid = fs.commit("new")
    fs.pipe("new/b", b"the next draft of that name")
    with pytest.raises(FileNotFoundError, match="committed or discarded"):
        late.close()
    assert fs.ls(str(cid), detail=False) == [f"{cid}/a"]
    assert fs.ls("new", detail=False) == ["new/b"]
    late = fs.open("new/late", "wb")
    fs.discard("new")
    with pytest.raises(FileNotFoundError, match="committed or discarded"):
        late.close()
    assert left_over(store) == []


def test_a_commit_that_was_cut_short_is_seen_and_can_be_taken_up(store, fs):
    fs.pipe("new/a", b"a")
    # What a process leaves that dies between taking the draft's name and adding it.
    os.rename(Path(store.path, "drafts/new"), Path(store.path, "drafts/new.committing"))
    assert [info["name"] for info in fs.ls("")] == ["new.committing"]
    fs.pipe("new/b", b"b")
    with pytest.raises(FileExistsError, match="cut short"):
        fs.commit("new")
    assert fs.cat("new/b") == b"b"
    cid = fs.commit("new.committing")
    assert fs.cat(f"{cid}/a") == b"a"
    fs.discard("new")
    assert left_over(store) == []


def test_threads_and_processes_write_to_one_draft(store, fs):
    def write(number: int) -> None:
        ShoalFileSystem(store.path, write=True).pipe(f"new/{number}", b"from a thread")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    program = (
        f"import fsspec; fsspec.filesystem('shoal', store={store.path!r}, write=True).pipe('new/other', b'process')"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    cid = fs.commit("new")
    assert len(fs.find(str(cid))) == 9
    assert fs.cat(f"{cid}/other") == b"process"


def test_what_is_below_a_cid_is_copied_into_a_draft_and_changed_there(store, fs, painted):
    for name in ("a", "b/c", "b/d"):
        fs.pipe(f"first/{name}", painted(1 << 20, name))
    first = fs.commit("first")
    fs.cp(f"shoal://{first}/", "second", recursive=True)
    with fs.open("second/b/c", "ab") as file:
        file.write(b"more")
    fs.rm("second/a")
    blocks = store.stat().blocks
    second = fs.commit("second")
    assert fs.find(str(second)) == [f"{second}/b/c", f"{second}/b/d"]
    assert fs.cat(f"{second}/b/c") == painted(1 << 20, "b/c") + b"more"
    assert fs.cat(f"{second}/b/d") == painted(1 << 20, "b/d")
    # The last piece of c, its node, and the two directories; the rest was there.
    assert store.stat().blocks == blocks + 4


def test_files_and_directories_are_moved_as_fsspec_moves_them(fs):
    def contents(draft: str) -> dict[str, bytes]:
        return {path.partition("/")[2]: fs.cat_file(path) for path in fs.find(draft)}

    fs.pipe({"new/a": b"a", "new/b/c": b"c", "new/b/d": b"d"})
    fs.mv("new/a", "shoal://new/e/f")
    assert contents("new") == {"e/f": b"a", "b/c": b"c", "b/d": b"d"}
    fs.mv("new/e/f", "new/b/")
    assert contents("new") == {"b/f": b"a", "b/c": b"c", "b/d": b"d"}
    assert fs.isdir("new/e")
    fs.mv("new/b/f", "new/e")
    fs.mv("new/b", "new/moved", recursive=True)
    assert contents("new") == {"e/f": b"a", "moved/c": b"c", "moved/d": b"d"}
    fs.mv("new/moved", "new/e", recursive=True)
    assert contents("new") == {"e/f": b"a", "e/moved/c": b"c", "e/moved/d": b"d"}
    fs.mv("new/e/moved/*", "other/")
    fs.mv("new/e/f", "other/c")
    assert contents("other") == {"c": b"a", "d": b"d"}
    fs.mv("other/d", "other/d")
    fs.mv("other", "renamed", recursive=True)
    assert contents("renamed") == {"c": b"a", "d": b"d"}
    assert not fs.exists("other")
    with pytest.raises(FileNotFoundError):
        fs.mv("renamed/nothing", "renamed/x")


def test_directories_are_made_and_removed(store, fs):
    fs.mkdir("new/a/b")
    with pytest.raises(FileExistsError):
        fs.mkdir("new/a")
    with pytest.raises(FileNotFoundError):
        fs.mkdir("new/c/d", create_parents=False)
    fs.makedirs("new/a", exist_ok=True)
    with pytest.raises(FileExistsError):
        fs.makedirs("new/a")
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir("new/a")
    fs.rmdir("new/a/b")
    fs.touch("new/a/file")
    fs.pipe("new/a/file", b"kept")
    fs.touch("new/a/file", truncate=False)
    assert fs.cat("new/a/file") == b"kept"
    fs.touch("new/a/file")
    assert fs.cat("new/a/file") == b""
    fs.rm("new", recursive=True)
    assert not fs.exists("new")
    assert left_over(store) == []


def test_what_identifies_a_drafts_file_changes_with_it(fs):
    fs.pipe("new/a", b"one")
    before = fs.ukey("new/a"), fs.checksum("new/a")
    assert (fs.ukey("new/a"), fs.checksum("new/a")) == before
    fs.pipe("new/a", b"two")
    assert fs.ukey("new/a") != before[0]
    assert fs.checksum("new/a") != before[1]


def test_no_name_leads_out_of_the_drafts(store, fs, tmp_path):
    cid = store.add(b"x").cid
    for name in ("..", "../x", ".", ".hidden", ".hidden/x", "new/../../../x", "new/./x", "new/a\0b", "n" * 201):
        with pytest.raises(ValueError, match="name"):
            fs.pipe(name, b"escaped")
        assert not fs.exists(name)
    with pytest.raises(OSError, match="never changes"):
        fs.pipe(f"{cid}", b"")
    fs.pipe("n" * 200, b"just so long")
    assert fs.commit("n" * 200)
    assert not [path for path in tmp_path.rglob("*") if path.name in {"x", ".hidden"}]


def test_drafts_are_no_content_and_need_to_be_asked_for(store, fs):
    fs.pipe("new/a", b"draft")
    assert store.verify().ok
    store.gc()
    fs.pipe("a.new/b.new", b"not one of the store's own temporary files")
    with shoal.Store(store.path) as again:
        again.add(b"written beside it")
    assert fs.cat("new/a") == b"draft"
    assert fs.exists("a.new/b.new")
    reader = ShoalFileSystem(store.path, skip_instance_cache=True)
    assert not reader.exists("new/a")
    assert "new" not in reader.ls("", detail=False)
    with pytest.raises(FileNotFoundError, match="write=True"):
        reader.open("new/a")
    assert ("new", "directory") in [(info["name"], info["type"]) for info in fs.ls("")]


def test_addresses_are_enough_to_write(store):
    options = {"store": store.path, "write": True}
    with fsspec.open("shoal://new/a.txt", "w", **options) as file:
        file.write("by its address")
    cid = fsspec.filesystem("shoal", **options).commit("new")
    with fsspec.open(f"shoal://{cid}/a.txt", "r", store=store.path) as file:
        assert file.read() == "by its address"
