"""Two nodes of this machine find each other over the loopback, by real multicast packets, on asyncio and trio.

Between machines, and with Kubo, is `tests/interop/test_mdns.py`.
"""

from __future__ import annotations

import ipaddress
import socket

import anyio
import psutil
import pytest

from shoal.discovery.base import Announcement, Found
from shoal.discovery.mdns import Mdns
from shoal.discovery.mdns_packet import query_packet, read_packet
from shoal.transport.interfaces import Interface

pytestmark = [pytest.mark.anyio]

ONE = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
OTHER = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture
def port():
    """Not 5353: other programs of this machine, and other tests, are not to be met."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def on_loopback(port: int, **options) -> Mdns:
    return Mdns(uses=lambda interface: interface.is_loopback, port=port, **options)


async def found_by(mdns: Mdns, announce: Announcement | None, found: list[Found], wanted: int) -> None:
    """Runs it until it has found so many."""
    enough = anyio.Event()

    def tell(what: Found) -> None:
        found.append(what)
        if len(found) >= wanted:
            enough.set()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mdns.run, announce, tell)
            await enough.wait()
            tasks.cancel_scope.cancel()


async def test_two_nodes_find_each_other_and_leave_nothing(port):
    handles = psutil.Process().num_fds()
    found: list[list[Found]] = [[], []]
    announcements = [
        Announcement(ONE, ("/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001")),
        Announcement(OTHER, ("/ip4/127.0.0.1/tcp/4002",)),
    ]
    both = [on_loopback(port), on_loopback(port)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(both[0].run, announcements[0], found[0].append)
        await found_by(both[1], announcements[1], found[1], 1)
        tasks.cancel_scope.cancel()
    assert found[1] == [Found(ONE, ("/ip4/127.0.0.1/tcp/4001", "/ip6/::1/tcp/4001"), "mdns")]
    assert found[0] in ([], [Found(OTHER, ("/ip4/127.0.0.1/tcp/4002",), "mdns")])
    assert [mdns.statistics().links for mdns in both] == [0, 0]
    assert psutil.Process().num_fds() == handles


async def test_who_announces_nothing_finds_and_is_not_found(port):
    found: list[Found] = []
    seeker, seen = on_loopback(port), on_loopback(port)
    told: list[Found] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.run, Announcement(ONE, ("/ip4/127.0.0.1/tcp/1",)), told.append)
        await found_by(seeker, None, found, 1)
        tasks.cancel_scope.cancel()
    assert found[0].peer == ONE
    assert told == []
    assert seeker.statistics().answered == 0


async def test_who_knows_no_multicast_is_answered_alone(port):
    """As RFC 6762 §6.7 has it for resolvers that ask from a port of their own."""
    mdns = on_loopback(port)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mdns.run, Announcement(ONE, ("/ip4/127.0.0.1/tcp/1",)), lambda _: None)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as plain:
            plain.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            plain.bind(("127.0.0.1", 0))
            with anyio.fail_after(20):
                reply = None
                while reply is None:
                    plain.sendto(b"\x12\x34" + query_packet()[2:], ("224.0.0.251", port))
                    with anyio.move_on_after(0.5):
                        await anyio.wait_readable(plain)
                        reply = plain.recv(9000)
        tasks.cancel_scope.cancel()
    assert reply[:2] == b"\x12\x34"
    (record,) = read_packet(reply).peers.values()
    assert record.addresses == (f"/ip4/127.0.0.1/tcp/1/p2p/{ONE}",)
    assert record.ttl == 10


async def test_garbage_and_floods_are_passed_over(port):
    found: list[Found] = []
    seeker, seen = on_loopback(port), on_loopback(port)

    async def shout() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            plain.bind(("127.0.0.2", 0))
            for number in range(200):
                plain.sendto(b"\x04_p2p" + bytes(number), ("224.0.0.251", port))
                await anyio.sleep(0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.run, Announcement(ONE, ("/ip4/127.0.0.1/tcp/1",)), lambda _: None)
        tasks.start_soon(seeker.run, None, found.append)
        await anyio.sleep(0.05)
        await shout()
        with anyio.fail_after(20):
            while not found:
                await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()
    statistics = seeker.statistics()
    assert statistics.over_budget > 0
    assert statistics.not_ours > 0
    assert found[0].peer == ONE


async def test_a_link_on_which_multicast_is_forbidden_is_one_warning_and_no_error(port, monkeypatch):
    # An interface that is gone by the time that its group is joined.
    gone = Interface(999_999, "gone0", (ipaddress.ip_address("192.0.2.77"),), (), is_loopback=False, can_multicast=True)
    monkeypatch.setattr("shoal.discovery.mdns.interfaces", lambda: [gone])
    monkeypatch.setattr("shoal.discovery.mdns.LOOK_SECONDS", 0.02)
    warnings: list[str] = []
    mdns = Mdns(port=port, on_warning=warnings.append)
    with anyio.move_on_after(0.2):
        await mdns.run(None, lambda _: None)
    assert len(warnings) == 1
    assert "multicast on gone0 does not work" in warnings[0]
    assert "give their addresses" in warnings[0]
