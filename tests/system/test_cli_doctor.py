"""`shoal doctor`: every fault it knows is made here, and must be told in a sentence with a way out."""

from __future__ import annotations

import ipaddress
import resource
import socket
import sys

import pytest
from sharing import running

from shoal.cli import checks
from shoal.transport.interfaces import Interface


def found(run, check: str, verdict: str) -> list[str]:
    return [line["what"] for line in run.json_lines if (line["check"], line["verdict"]) == (check, verdict)]


def test_a_sound_machine_has_no_fault_before_and_after_the_first_add(shoal) -> None:
    run = shoal("doctor", "--json")
    assert found(run, "store", "ok")[0].endswith("`shoal add` makes one")
    assert not shoal.store.exists()
    shoal("add", stdin=b"something")
    before = sorted(shoal.store.rglob("*"))
    run = shoal("doctor", "--json")
    assert found(run, "store", "ok")[0].startswith("1 blocks")
    assert {line["check"] for line in run.json_lines} >= {"store", "disk", "clock", "limits", "keys", "node"}
    assert all((line["advice"] is None) == (line["verdict"] == "ok") for line in run.json_lines)
    assert sorted(shoal.store.rglob("*")) == before
    assert "ok      store: 1 blocks" in shoal("doctor").out


def test_a_running_node_is_seen_and_dialled(shoal) -> None:
    with running(shoal, "node") as node:
        run = shoal("doctor", "--json")
        assert "answers at" in found(run, "node", "ok")[0]
        address = node.ready["addrs"][0].partition("/p2p/")[0]
        assert f"{address} lets connections in" in found(run, "network", "ok")
        assert any("this machine alone" in line for line in found(run, "network", "ok"))
        node.process.kill()
        node.process.wait(60)
    assert "was killed" in found(shoal("doctor", "--json"), "node", "warning")[0]


def test_a_socket_that_others_may_use_is_a_fault(shoal) -> None:
    with running(shoal, "node"):
        (shoal.store / "node.sock").chmod(0o666)
        assert "mode 666" in found(shoal("doctor", "--json", code=1), "node", "fault")[0]


def test_keys_that_others_can_read_are_a_fault(shoal) -> None:
    shoal("id")
    assert found(shoal("doctor", "--json"), "keys", "ok")[0].startswith("this node is 12D3Koo")
    (shoal.store / "keys").chmod(0o755)
    (shoal.store / "keys" / "self").chmod(0o640)
    run = shoal("doctor", code=1)
    assert f"chmod 700 {shoal.store / 'keys'}" in run.out
    assert f"chmod 600 {shoal.store / 'keys' / 'self'}" in run.out


def test_a_file_that_is_no_key_is_a_fault(shoal) -> None:
    shoal("id")
    (shoal.store / "keys" / "self").write_bytes(b"nonsense")
    assert "is no key" in found(shoal("doctor", "--json", code=1), "keys", "fault")[0]


def test_a_store_that_does_not_open_is_a_fault(shoal) -> None:
    shoal("add", stdin=b"something")
    (shoal.store / "SHOAL").write_text("shoal 99\n")
    assert found(shoal("doctor", "--json", code=1), "store", "fault")


def test_a_pin_of_what_is_not_there_is_a_fault(shoal) -> None:
    shoal("add", stdin=b"something")
    for pack in (shoal.store / "packs").iterdir():
        pack.unlink()
    run = shoal("doctor", "--json", code=1)
    assert found(run, "store", "fault")


def test_a_folder_that_cannot_be_written_is_a_fault(tmp_path, monkeypatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checks.tempfile, "NamedTemporaryFile", refuse)
    (fault,) = [finding for finding in checks.check_disk(tmp_path) if finding.verdict == "fault"]
    assert "cannot write" in fault.what
    assert "--store" in str(fault.advice)


@pytest.mark.parametrize(
    ("free", "verdict"),
    [
        (checks.FREE_BYTES_NONE - 1, "fault"),
        (checks.FREE_BYTES_NONE, "warning"),
        (checks.FREE_BYTES_LOW - 1, "warning"),
        (checks.FREE_BYTES_LOW, "ok"),
    ],
)
def test_room_on_the_disk(tmp_path, monkeypatch, free, verdict) -> None:
    class Usage:
        pass

    usage = Usage()
    usage.free = free
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
    assert next(iter(checks.check_disk(tmp_path))).verdict == verdict


def test_what_a_disk_and_its_clock_say() -> None:
    assert checks.of_sync(0.1).verdict == "ok"
    assert checks.of_sync(0.101).verdict == "warning"
    assert checks.of_skew(-2.0).verdict == "ok"
    assert checks.of_skew(-2.1).verdict == "warning"
    assert checks.of_skew(2.1).verdict == "warning"


def test_what_clocks_say() -> None:
    assert checks.of_clock(2026, 0.05, 0.05).verdict == "ok"
    assert checks.of_clock(2025, 2.05, 0.05).verdict == "ok"
    assert checks.of_clock(2026, -60.0, 0.05).verdict == "warning"
    assert checks.of_clock(2024, 0.05, 0.05).verdict == "fault"
    assert checks.of_clock(2026, 0.05, 0.0).verdict == "fault"


def test_few_files_are_a_warning_and_hardly_any_a_fault() -> None:
    assert checks.of_file_limit(1024, 4096).verdict == "ok"
    assert checks.of_file_limit(-1, -1).verdict == "ok"
    assert "ulimit -n 1024" in str(checks.of_file_limit(1023, 4096).advice)
    assert "limits.conf" in str(checks.of_file_limit(256, 512).advice)
    assert checks.of_file_limit(128, 512).verdict == "warning"
    assert checks.of_file_limit(127, -1).verdict == "fault"


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_the_limit_of_this_process_is_looked_at(shoal) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        run = shoal("doctor", "--json")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found(run, "limits", "warning") == ["200 files may be open at a time"]


def interface(name: str, *ips: str) -> Interface:
    return Interface(1, name, tuple(map(ipaddress.ip_address, ips)), (), is_loopback=name == "lo", can_multicast=True)


def test_a_machine_without_a_network_is_told_so() -> None:
    (only,) = checks.check_reach([], [interface("lo", "127.0.0.1")])
    assert only.verdict == "warning"
    assert "no address but the loopback" in only.what


def test_an_address_that_lets_nobody_in_is_a_fault() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        # Bound, and not listening: refused.
        found = list(checks.check_reach([f"/ip4/127.0.0.1/tcp/{port}"], [interface("lo", "127.0.0.1")]))
    assert [finding.verdict for finding in found] == ["warning", "fault", "ok"]
    assert "firewall" in str(found[1].advice)
    # Nobody listens: the address itself is tried; one that is not this machine's lets nobody in.
    (own,) = checks.check_reach([], [interface("eth0", "127.0.0.1")])
    assert own.verdict == "ok"
    (foreign,) = checks.check_reach([], [interface("eth0", "192.0.2.1")])
    assert foreign.verdict == "fault"
