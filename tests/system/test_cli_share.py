"""`shoal share` and `shoal get` as two people use them: two stores, two processes, real sockets on the loopback."""

from __future__ import annotations

import os
import pty
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from sharing import another, painted, sharing

import shoal as library

MIB = 1 << 20


@pytest.fixture
def tree(shoal):
    folder = shoal.folder / "tree"
    (folder / "below").mkdir(parents=True)
    (folder / "a.txt").write_text("painted\n")
    (folder / "below" / "big").write_bytes(painted(3 * MIB + 5))
    return folder


@pytest.fixture
def friend(shoal):
    return another(shoal, "friend")


def same_tree(left, right) -> bool:
    return subprocess.run(["diff", "-r", left, right], check=False).returncode == 0


def test_a_ticket_brings_a_folder_to_another_store(shoal, friend, tree) -> None:
    with sharing(shoal, tree) as share:
        ready = share.ready
        assert ready["event"] == "ready"
        assert ready["name"] == "tree"
        assert all(address.endswith(f"/p2p/{ready['id']}") for address in ready["addrs"])
        got = friend("get", ready["ticket"], "--json").json
        # Under the name that the ticket suggests.
        assert same_tree(tree, friend.folder / "tree")
        assert got["files"] == 2
        assert got["fetched"]["cid"] == ready["cid"]
        assert list(got["fetched"]["peers"]) == [ready["id"]]
        assert got["fetched"]["duplicate_bytes"] == 0
        assert share.event_of("connected")["peer"]
        left = share.event_of("disconnected")
        assert left["sent_bytes"] >= 3 * MIB
        # Once it is there nobody is asked again.
        assert "fetched" not in friend("get", ready["ticket"], "-o", "again", "--json").json
    assert "fetched" not in friend("get", ready["cid"], "-o", "without", "--json").json


def test_cids_paths_uris_and_tickets_name_the_same(shoal, friend, tree) -> None:
    with sharing(shoal, tree) as share:
        address, cid, ticket = share.ready["addrs"][0], share.ready["cid"], share.ready["ticket"]
        for number, what in enumerate(
            (cid, f"{cid}/a.txt", f"ipfs://{cid}/below/big", f"{ticket}/below", ticket.upper())
        ):
            one = another(friend, f"friend-{number}")
            one("get", what, "--peer", address, "-o", "out")
            name = what.rpartition("/")[2] if "/" in what else ""
            original = {"a.txt": tree / "a.txt", "big": tree / "below" / "big", "below": tree / "below"}.get(name, tree)
            assert same_tree(original, one.folder / "out"), what


def test_a_pipe_gets_the_bytes_as_well(shoal, friend, tree) -> None:
    with sharing(shoal, tree / "below" / "big") as share:
        assert friend("get", share.ready["ticket"], "-o", "-").raw == painted(3 * MIB + 5)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_sharing_ends_well_when_it_is_told_to(shoal, tree, end) -> None:
    with sharing(shoal, tree, end=end) as share:
        pass
    assert share.process.returncode == 0
    assert share.errors == ""


def test_nothing_but_what_is_shared_can_be_fetched(shoal, friend, tree) -> None:
    secret = shoal("add", "-Q", stdin=b"a secret of the same store").word
    with sharing(shoal, tree) as share:
        run = friend("get", secret, "--peer", share.ready["addrs"][0], "--timeout", "2", code=4)
        assert "could not be had" in run.errors
        friend("get", share.ready["ticket"])


def test_a_cid_is_shared_without_adding_anything(shoal, friend, tree) -> None:
    cid = shoal("add", "-Q", tree).word
    with sharing(shoal, cid) as share:
        assert share.ready["cid"] == cid
        friend("get", share.ready["ticket"], "-o", "out")
        assert same_tree(tree, friend.folder / "out")
    absent = str(library.CID.of(b"absent"))
    assert "not in the store" in shoal("share", absent, code=3).errors
    assert "no file here, and no CID" in shoal("share", "nowhere", code=2).errors


def test_a_peer_that_is_gone_is_a_sentence_and_exit_code_4(shoal, friend, tree) -> None:
    with sharing(shoal, tree) as share:
        ticket = share.ready["ticket"]
    run = friend("get", ticket, code=4)
    assert "cannot be reached" in run.errors
    assert not (friend.folder / "tree").exists()


def test_what_nobody_can_be_asked_for_says_what_to_do(shoal, tree) -> None:
    shoal("add", "-q", tree)
    run = shoal("get", str(library.CID.of(b"absent")), code=3)
    assert "shoal share" in run.errors
    assert "--peer" in run.errors


def test_a_ticket_that_is_cut_short_is_told_from_a_cid(shoal, tree) -> None:
    with sharing(shoal, tree) as share:
        assert "cut short" in shoal("get", share.ready["ticket"][:-8], code=2).errors


def test_a_name_that_is_taken_is_refused_before_anything_is_fetched(shoal, friend, tree) -> None:
    (friend.folder / "tree").write_text("mine")
    with sharing(shoal, tree) as share:
        assert "--force" in friend("get", share.ready["ticket"], code=1).errors
        assert friend("get", share.ready["ticket"], "-o", "tree", code=1)
        assert (friend.folder / "tree").read_text() == "mine"
        assert not friend.store.exists()
    with sharing(shoal, tree / "a.txt", "--no-pin") as share:
        (friend.folder / "a.txt").write_text("mine")
        friend("get", share.ready["ticket"], "--force")
    assert (friend.folder / "a.txt").read_text() == "painted\n"


def test_what_was_fetched_and_pinned_outlives_a_collection(shoal, friend, tree) -> None:
    with sharing(shoal, tree) as share:
        cid = share.ready["cid"]
        friend("get", share.ready["ticket"], "--pin", "-o", "first")
    friend("gc")
    assert cid in friend("pin", "ls", "-t", "recursive").out
    friend("get", cid, "-o", "second")


def test_a_killed_get_shows_nothing_and_goes_on_where_it_was(shoal, friend) -> None:
    """64 MiB at a rate that takes seconds; the first process is killed when a quarter has come."""
    size = 64 * MIB
    file = shoal.folder / "large"
    file.write_bytes(painted(size))
    with sharing(shoal, file, "--bwlimit", "24MiB") as share:
        first = friend.start("get", share.ready["ticket"], "-o", "out", stderr=subprocess.DEVNULL)
        taken = 0
        while taken < size // 4:
            taken = share.event_of("moving")["sent_bytes"]
        first.kill()
        first.wait(60)
        assert os.listdir(friend.folder) == []
        got = friend("get", share.ready["ticket"], "-o", "out", "--json").json
    kept = size - got["fetched"]["bytes"]
    # What is on its way, or waits to be stored with others, is lost; what was stored is not asked for again.
    assert 0 < kept < size
    assert got["fetched"]["duplicate_bytes"] == 0
    assert (friend.folder / "out").read_bytes() == file.read_bytes()
    assert os.listdir(friend.folder) == ["out"]


def test_a_second_share_goes_through_the_first(shoal, friend, tree) -> None:
    other = shoal.folder / "other.txt"
    other.write_text("another")
    with sharing(shoal, tree) as first:
        with sharing(shoal, other) as second:
            assert second.ready["id"] == first.ready["id"]
            friend("get", second.ready["ticket"])
        # It is not shared any more.
        stranger = another(friend, "stranger")
        stranger("get", second.ready["cid"], "--peer", first.ready["addrs"][0], "--timeout", "2", code=4)
        stranger("get", first.ready["ticket"])
    assert (friend.folder / "other.txt").read_text() == "another"


def test_a_get_goes_through_the_node_that_runs(shoal, friend, tree) -> None:
    own = friend.folder / "own"
    own.write_text("own")
    with sharing(shoal, tree) as share, sharing(friend, own) as node:
        got = friend("get", share.ready["ticket"], "--json").json
        assert got["fetched"]["cid"] == share.ready["cid"]
        assert share.event_of("connected")["peer"] == node.ready["id"]
    assert same_tree(tree, friend.folder / "tree")


def test_others_add_and_collect_beside_a_share(shoal, tree) -> None:
    with sharing(shoal, tree):
        added = shoal("add", "-Q", stdin=b"beside it").word
        shoal("pin", "rm", added)
        shoal("gc")
        assert "beside it" not in shoal("refs", "local").out


def test_the_socket_is_its_owners_alone_and_gone_at_the_end(shoal, tree) -> None:
    with sharing(shoal, tree):
        about = (shoal.store / "node.sock").stat()
        assert stat.S_ISSOCK(about.st_mode)
        assert stat.S_IMODE(about.st_mode) == 0o600
        assert stat.S_IMODE((shoal.store / "keys" / "self").stat().st_mode) == 0o600
    assert not (shoal.store / "node.sock").exists()


def test_a_socket_that_a_killed_node_left_is_taken_over(shoal, friend, tree) -> None:
    with sharing(shoal, tree) as first:
        first.process.kill()
        first.process.wait(60)
    assert (shoal.store / "node.sock").exists()
    # Nobody is behind it: commands do not wait for it.
    shoal("get", first.ready["cid"], "-o", "copy")
    with sharing(shoal, tree) as second:
        assert second.ready["id"] == first.ready["id"]
        friend("get", second.ready["ticket"])


def test_a_store_with_a_path_too_long_for_a_socket_has_one_elsewhere(shoal, friend, tree, tmp_path) -> None:
    # Short itself, wherever the tests' own folder is.
    with tempfile.TemporaryDirectory(prefix="run", dir="/tmp") as runtime:
        shoal.environment |= {"SHOAL_PATH": str(tmp_path / ("long" * 30)), "XDG_RUNTIME_DIR": runtime}
        _has_its_socket_in(Path(runtime), shoal, friend, tree)


def _has_its_socket_in(runtime: Path, shoal, friend, tree) -> None:
    with sharing(shoal, tree) as first, sharing(shoal, tree / "a.txt") as second:
        (socket,) = (runtime / "shoal").glob("*.sock")
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert first.ready["id"] == second.ready["id"]
        friend("get", second.ready["ticket"])
    assert not socket.exists()


def test_people_see_the_ticket_the_command_and_who_comes(shoal, friend, tree) -> None:
    process = shoal.start(
        "share", "--listen", "/ip4/127.0.0.1/tcp/0", tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        lines = [process.stdout.readline().decode() for _ in range(5)]
        assert lines[0].startswith("sharing tree (2 files, 3.15 MB) as bafy")
        assert lines[4].startswith("  shoal get shoal1")
        friend("get", lines[4].split()[-1])
        said = [process.stderr.readline().decode() for _ in range(2)]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert "connected from /ip4/127.0.0.1/tcp/" in said[0]
    assert "left: 3.1" in said[1]


def test_a_terminal_that_is_wide_enough_shows_a_code_to_photograph(shoal, tree) -> None:
    for columns, is_shown in ((200, True), (20, False)):
        leader, follower = pty.openpty()
        shoal.environment["COLUMNS"] = str(columns)
        process = shoal.start(
            "share", "--listen", "/ip4/127.0.0.1/tcp/0", tree, stdout=follower, stderr=subprocess.DEVNULL
        )
        os.close(follower)
        seen = b""
        while b"shoal get" not in seen:
            seen += os.read(leader, 65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        os.close(leader)
        assert ("█▀▀▀▀▀█".encode() in seen or "▄▄▄▄▄".encode() in seen or "█".encode() in seen) == is_shown


def test_a_rate_that_is_none_is_refused(shoal, tree) -> None:
    assert "--bwlimit" in shoal("share", "--bwlimit", "fast", tree, code=2).errors
    assert "at least" in shoal("share", "--bwlimit", "10", tree, code=2).errors
