"""What multicast discovery tells on which link, what it believes there, and how much it listens to."""

from __future__ import annotations

import ipaddress
from random import Random

import pytest

from shoal.discovery.base import Announcement, Found
from shoal.discovery.mdns_packet import PeerRecord
from shoal.discovery.mdns_rules import (
    ADDRESSES_MAX,
    AGAIN_SECONDS,
    ALL_BURST,
    FOUND_BURST,
    PEERS_MAX,
    SOURCE_BURST,
    SOURCES_MAX,
    STALE_SECONDS,
    Backoff,
    Budget,
    Heard,
    believed,
    random_name,
    told,
)
from shoal.transport.interfaces import Interface

OURS = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
OTHER = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"


def interface(name: str, *addresses: str, is_loopback: bool = False) -> Interface:
    ips = [ipaddress.ip_interface(address) for address in addresses]
    return Interface(
        7, name, tuple(each.ip for each in ips), tuple(each.network for each in ips), is_loopback, not is_loopback
    )


LAN = interface("eth0", "192.168.1.2/24", "fd00::2/64", "fe80::2/64")
LOOPBACK = interface("lo", "127.0.0.1/8", "::1/128", is_loopback=True)


def places(announced: list[str], at: Interface) -> list[str]:
    return [place.removesuffix(f"/p2p/{OURS}") for place in told(Announcement(OURS, tuple(announced)), at)[0]]


def test_a_wildcard_is_told_as_the_addresses_of_the_link():
    announced = ["/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/2"]
    assert places(announced, LAN) == ["/ip4/192.168.1.2/tcp/1", "/ip6/fd00::2/tcp/2", "/ip6/fe80::2/tcp/2"]
    assert places(announced, LOOPBACK) == ["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/2"]


def test_a_loopback_address_is_told_on_the_loopback_alone():
    assert places(["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"], LAN) == []
    assert places(["/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.2/tcp/1"], LOOPBACK) == ["/ip4/127.0.0.1/tcp/1"]


def test_a_link_local_address_is_told_on_its_own_link_without_the_links_name():
    own, others = "/ip6zone/eth0/ip6/fe80::2/tcp/1", "/ip6zone/eth1/ip6/fe80::3/tcp/1"
    assert places([own, others], LAN) == ["/ip6/fe80::2/tcp/1"]


def test_addresses_of_other_kinds_are_not_told():
    assert places(["/memory/1", "/ip4/192.168.1.2/udp/1/quic-v1", f"/ip4/192.168.1.2/tcp/1/p2p/{OURS}"], LAN) == [
        "/ip4/192.168.1.2/tcp/1"
    ]


@pytest.mark.parametrize("count", [ADDRESSES_MAX, ADDRESSES_MAX + 1])
def test_at_most_so_many_addresses_are_told_and_believed(count):
    announced = [f"/ip4/192.168.1.2/tcp/{port}" for port in range(1, count + 1)]
    assert len(places(announced, LAN)) == ADDRESSES_MAX
    record = PeerRecord(tuple(f"{address}/p2p/{OTHER}" for address in announced), 120)
    assert len(believed(record, LAN, OURS)[OTHER]) == ADDRESSES_MAX


def test_what_is_believed_can_be_dialled_from_here():
    said = [
        f"/ip4/192.168.1.3/tcp/1/p2p/{OTHER}",
        f"/ip4/192.168.1.3/tcp/1/p2p/{OTHER}",
        f"/ip6/fe80::3/tcp/1/p2p/{OTHER}",
        f"/ip4/127.0.0.1/tcp/1/p2p/{OTHER}",
        f"/ip4/0.0.0.0/tcp/1/p2p/{OTHER}",
        f"/ip4/224.0.0.1/tcp/1/p2p/{OTHER}",
        f"/ip4/192.168.1.3/tcp/0/p2p/{OTHER}",
        f"/ip6zone/eth9/ip6/fe80::4/tcp/1/p2p/{OTHER}",
        f"/ip4/192.168.1.3/udp/1/quic-v1/p2p/{OTHER}",
        "/ip4/192.168.1.3/tcp/1",
        "garbage",
        f"/ip4/192.168.1.4/tcp/1/p2p/{OURS}",
    ]
    assert believed(PeerRecord(tuple(said), 120), LAN, OURS) == {
        OTHER: ("/ip4/192.168.1.3/tcp/1", "/ip6zone/eth0/ip6/fe80::3/tcp/1")
    }
    assert believed(PeerRecord((said[3],), 120), LOOPBACK, OURS) == {OTHER: ("/ip4/127.0.0.1/tcp/1",)}
    assert believed(PeerRecord((said[-1],), 120), LAN, None) == {OURS: ("/ip4/192.168.1.4/tcp/1",)}


def test_questions_are_asked_less_and_less_often():
    backoff = Backoff(Random(1))
    for seconds in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        assert seconds <= backoff.next() <= 1.2 * seconds


def test_names_have_32_to_63_letters_and_figures():
    names = {random_name(Random(seed)) for seed in range(500)}
    assert len(names) == 500
    assert {len(name) for name in names} == set(range(32, 64))
    assert all((name.isalnum() and name.islower()) or name.isdigit() for name in names)


# How much


def test_a_sender_has_its_burst_and_then_its_rate():
    budget = Budget()
    assert [budget.allows("a", 1.0) for _ in range(int(SOURCE_BURST) + 1)] == [True] * int(SOURCE_BURST) + [False]
    assert budget.allows("b", 1.0), "others are not held back by it"
    assert not budget.allows("a", 1.05)
    assert budget.allows("a", 1.2)


def test_all_senders_together_have_a_bound_and_are_bounded():
    budget = Budget()
    assert sum(budget.allows(str(number), 1.0) for number in range(10_000)) == ALL_BURST
    assert len(budget._sources) == SOURCES_MAX


def test_a_clock_that_goes_backwards_gives_nothing():
    budget = Budget()
    for _ in range(int(SOURCE_BURST)):
        budget.allows("a", 100.0)
    assert not budget.allows("a", 1.0)


def test_a_peer_is_told_of_once_and_again_after_a_while():
    heard = Heard("mdns")
    assert heard.heard("1", OTHER, ("/a",), 0.0) == Found(OTHER, ("/a",), "mdns")
    assert heard.heard("1", OTHER, ("/a",), AGAIN_SECONDS - 1) is None
    assert heard.heard("1", OTHER, ("/a",), AGAIN_SECONDS) == Found(OTHER, ("/a",), "mdns")


def test_new_addresses_are_told_at_once_together_with_those_of_other_links():
    heard = Heard("mdns")
    heard.heard("1", OTHER, ("/a",), 0.0)
    assert heard.heard("2", OTHER, ("/b",), 1.0).addresses == ("/a", "/b")
    assert heard.heard("1", OTHER, ("/a",), 2.0) is None
    assert heard.heard("2", OTHER, ("/c",), STALE_SECONDS + 2).addresses == ("/c",), (
        "what was not heard for long is left out"
    )


def test_a_peer_without_addresses_is_not_told_of():
    assert Heard("mdns").heard("1", OTHER, (), 0.0) is None


def test_memory_of_peers_is_bounded():
    heard = Heard("mdns")
    for number in range(PEERS_MAX + 10):
        heard.heard("1", str(number), ("/a",), float(number))
    assert len(heard) == PEERS_MAX


def test_made_up_peers_are_told_of_at_a_bounded_rate():
    heard = Heard("mdns")
    assert sum(heard.heard("1", str(number), ("/a",), 1.0) is not None for number in range(5000)) == FOUND_BURST
