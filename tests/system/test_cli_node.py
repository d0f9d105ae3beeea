"""`shoal node`, and the commands that ask it: swarm, id, ping, get and share through its socket. Real processes and sockets."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time

import psutil
import pytest
from sharing import LOOPBACK, another, painted, running, sharing

MIB = 1 << 20

PEER = {
    "id", "address", "direction", "security", "agent", "protocols", "round_trip", "received_bytes", "sent_bytes"
}  # fmt: skip


@pytest.fixture
def friend(shoal):
    return another(shoal, "friend")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_node_says_when_it_is_ready_and_ends_when_told(shoal, end) -> None:
    with running(shoal, "node", end=end) as node:
        assert node.ready["event"] == "ready"
        assert [address.split("/tcp/")[0] for address in node.ready["addrs"]] == ["/ip4/127.0.0.1"]
        assert node.ready["addrs"][0].endswith(node.ready["id"])
        assert shoal("id").lines == [node.ready["id"], *node.ready["addrs"]]
        # Without being told, only this machine.
        places = {c.laddr.ip for c in psutil.Process(node.process.pid).net_connections("inet") if c.status == "LISTEN"}
        assert places == {"127.0.0.1"}
    assert node.process.returncode == 0
    assert node.errors == ""
    assert not (shoal.store / "node.sock").exists()


def test_it_ends_in_the_middle_of_a_fetch_and_leaves_nothing(shoal, friend) -> None:
    (shoal.folder / "large").write_bytes(painted(32 * MIB))
    with sharing(shoal, shoal.folder / "large", "--bwlimit", "2MiB") as share:
        with running(friend, "node", end=signal.SIGTERM) as node:
            get = friend.start("get", share.ready["ticket"], stdout=-3, stderr=-1)
            share.event_of("moving")
            begun = time.monotonic()
            node.process.send_signal(signal.SIGTERM)
            node.process.wait(60)
            # A second on an idle machine; what is stored at that moment is finished.
            assert time.monotonic() - begun < 10
        _, errors = get.communicate(timeout=60)
        assert get.returncode == 4
        assert b"the same command" in errors or b"goes on from there" in errors
        assert b"Traceback" not in errors
    assert [path.name for path in friend.folder.iterdir()] == []


def test_the_id_is_the_same_whether_or_not_it_runs(shoal) -> None:
    about = shoal("id", "--json").json
    assert about.keys() == {"id", "addrs", "protocols", "agent"}
    assert about["addrs"] == []
    assert "/ipfs/bitswap/1.2.0" in about["protocols"]
    with running(shoal, "node") as node:
        assert node.ready["id"] == about["id"] == shoal("id", "--json").json["id"]


def test_nodes_are_connected_seen_and_parted(shoal, friend) -> None:
    with running(shoal, "node") as one, running(friend, "node") as two:
        address = two.ready["addrs"][0]
        assert shoal("swarm", "addrs").lines == one.ready["addrs"]
        assert shoal("swarm", "peers").out == ""
        assert shoal("swarm", "connect", address, "--json").json == {"id": two.ready["id"]}
        seen = shoal("swarm", "peers", "--json").json
        assert seen.keys() == PEER
        assert (seen["id"], seen["direction"]) == (two.ready["id"], "out")
        assert friend("swarm", "peers", "--json").json["direction"] == "in"
        assert shoal("swarm", "peers").word.startswith(address)
        assert two.event_of("connected")["peer"] == one.ready["id"]
        assert shoal("swarm", "disconnect", address).word == f"disconnected {two.ready['id']}"
        assert two.event_of("disconnected")["peer"] == one.ready["id"]
        assert "not connected" in shoal("swarm", "disconnect", two.ready["id"], code=4).errors
        assert "cannot be reached" in shoal("swarm", "connect", "/ip4/127.0.0.1/tcp/1", code=4).errors
        assert "no transport" in shoal("swarm", "connect", "nonsense", code=2).errors


def test_what_needs_a_node_says_how_to_start_one(shoal) -> None:
    for words in (["swarm", "peers"], ["swarm", "addrs"], ["swarm", "connect", LOOPBACK], ["swarm", "disconnect", "X"]):
        assert "`shoal node` starts one" in shoal(*words, code=4).errors
    assert not shoal.store.exists()


def test_a_ping_tells_each_and_all(shoal, friend) -> None:
    with running(shoal, "node") as node:
        *each, total = friend("ping", "-n", "3", "-i", "0", "--json", node.ready["addrs"][0]).json_lines
        assert [one["number"] for one in each] == [1, 2, 3]
        assert all(one.keys() == {"number", "peer", "seconds", "reason"} and one["seconds"] > 0 for one in each)
        assert (total["sent"], total["received"], total["peer"]) == (3, 3, node.ready["id"])
        assert total["seconds_min"] <= total["seconds_mean"] <= total["seconds_max"]
        # Without the id, whoever answers is taken; people get a sentence for each and two for all.
        lines = friend("ping", "-n", "2", "-i", "0", node.ready["addrs"][0].partition("/p2p/")[0]).lines
        assert len(lines) == 4
        assert lines[2] == "2 sent, 2 came back, 0% lost"
    assert "cannot be reached" in friend("ping", "-n", "1", node.ready["addrs"][0], code=4).errors
    assert "not connected" in friend("ping", "-n", "1", node.ready["id"], code=4).errors


def test_a_second_node_of_the_same_store_is_refused(shoal) -> None:
    with running(shoal, "node") as node:
        assert f"process {node.process.pid} is this store's node" in shoal("node", code=1).errors
        # And has harmed nothing.
        assert shoal("id").lines[0] == node.ready["id"]


def test_a_node_serves_what_is_shared_or_all_if_it_is_told(shoal, friend) -> None:
    cid = shoal("add", "-Q", stdin=b"not shared").word
    with running(shoal, "node") as node:
        friend("get", cid, "--peer", node.ready["addrs"][0], "--timeout", "2", code=4)
    with running(shoal, "node", "--serve", "all") as node:
        friend("get", cid, "--peer", node.ready["addrs"][0], "-o", "out")
    assert (friend.folder / "out").read_bytes() == b"not shared"


def test_a_node_stays_connected_to_the_peers_it_was_given(shoal, friend) -> None:
    with running(shoal, "node", "--listen", LOOPBACK) as one:
        port = one.ready["addrs"][0].split("/")[4]
        with running(friend, "node", "--peer", one.ready["addrs"][0]) as two:
            assert one.event_of("connected")["peer"] == two.ready["id"]
    with running(friend, "node", "--peer", one.ready["addrs"][0]) as two:
        assert "cannot be reached" in two.event_of("unreachable")["reason"]
        with running(shoal, "node", "--listen", f"/ip4/127.0.0.1/tcp/{port}") as one:
            assert one.event_of("connected")["peer"] == two.ready["id"]


def test_commands_beside_an_idle_node_do_not_notice_it(shoal, friend) -> None:
    file = shoal.folder / "file"
    file.write_bytes(painted(MIB))
    with running(shoal, "node") as node:
        cid = shoal("add", "-Q", file).word
        assert shoal("cat", cid).raw == painted(MIB)
        shoal("pin", "rm", cid)
        shoal("pin", "add", cid)
        shoal("gc")
        shoal("verify")
        with sharing(shoal, file) as share:
            assert share.ready["id"] == node.ready["id"]
            friend("get", share.ready["ticket"])
    assert (friend.folder / "file").read_bytes() == painted(MIB)


def test_where_it_cannot_listen_is_a_sentence(shoal) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = shoal("node", "--listen", f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}", code=1)
    assert run.errors.startswith("shoal: ")
    assert "/ip4/127.0.0.1/tcp/0" in shoal("node", "--listen", "127.0.0.1:4001", code=2).errors


def test_a_key_that_others_can_read_is_refused(shoal) -> None:
    shoal("id")
    (shoal.store / "keys" / "self").chmod(0o644)
    assert "chmod 600" in shoal("node", code=2).errors


# What comes over the socket that no command of ours sends, and what is to come back; None for an end without a word.
STRANGE = {
    "nothing": (b"", None),
    "no JSON": (b"GET / HTTP/1.1\r\n\r\n", "not a line"),
    "a list": (b"[1]\n", "not a line"),
    "another version": (b'{"shoal":2,"verb":"id","arguments":{}}\n', "version 1"),
    "no arguments": (b'{"shoal":1,"verb":"id"}\n', "not a request"),
    "a verb that is none": (b'{"shoal":1,"verb":"__class__","arguments":{}}\n', "knows no"),
    "arguments of other kinds": (b'{"shoal":1,"verb":"fetch","arguments":{"content":7}}\n', "content"),
    "a CID that is none": (b'{"shoal":1,"verb":"share","arguments":{"cid":"../../etc"}}\n', "not"),
    "a count beyond all": (b'{"shoal":1,"verb":"ping","arguments":{"peer":"X","count":1e99,"interval":0}}\n', "ping"),
    "nested too deep": (b"[" * 100_000 + b"\n", "not a line"),
    "a line without end": (b"a" * (2 * MIB), None),
}


def test_whatever_comes_over_the_socket_is_answered_or_closed(shoal) -> None:
    with running(shoal, "node") as node:
        for what, (sent, expected) in STRANGE.items():
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(30)
                connection.connect(str(shoal.store / "node.sock"))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(sent)
                    if not sent:
                        connection.shutdown(socket.SHUT_WR)
                answer = b""
                with contextlib.suppress(ConnectionResetError):
                    while data := connection.recv(65536):
                        answer += data
            if expected is None:
                assert answer == b"", what
            else:
                assert expected in json.loads(answer)["error"]["message"], what
        assert shoal("id").lines[0] == node.ready["id"]


def test_a_hundred_who_say_nothing_keep_nobody_out_for_long(shoal) -> None:
    with running(shoal, "node") as node, contextlib.ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(shoal.store / "node.sock"))
        assert shoal("id").lines[0] == node.ready["id"]
