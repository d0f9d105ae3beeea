"""Addresses for TCP and the peer ids in them: one text for each, everything else refused, no hostile byte repeated."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, strategies as st

from shoal.errors import InvalidAddress
from shoal.transport.address import ADDRESS_TEXT_MAX, Scope, TcpAddress, peer_of, scope_of
from shoal.transport.peer_id import PEER_ID_BYTES_MAX, peer_id_bytes, peer_id_text

ED25519 = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
RSA = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/127.0.0.1/tcp/4001",
        "/ip4/0.0.0.0/tcp/0",
        "/ip4/255.255.255.255/tcp/65535",
        "/ip6/::/tcp/0",
        "/ip6/2001:db8::1/tcp/1",
        "/ip6/fe80::1/tcp/4001",
        "/ip6zone/eth0/ip6/fe80::1/tcp/4001",
        "/ip6zone/abcdefghijklmno/ip6/fe80::1/tcp/4001/p2p/" + ED25519,
        "/ip4/192.0.2.1/tcp/4001/p2p/" + ED25519,
        "/ip4/192.0.2.1/tcp/4001/p2p/" + RSA,
    ],
)
def test_a_canonical_address_is_given_back_as_it_is(text):
    assert str(TcpAddress.parse(text)) == text


def test_the_parts_are_told():
    address = TcpAddress.parse(f"/ip6zone/eth0/ip6/fe80::1/tcp/4001/p2p/{RSA}")
    assert address == TcpAddress(ipaddress.ip_address("fe80::1"), 4001, "eth0", RSA)
    assert str(address.without_peer()) == "/ip6zone/eth0/ip6/fe80::1/tcp/4001"


def test_other_texts_of_an_ipv6_address_become_the_canonical_one():
    assert str(TcpAddress.parse("/ip6/FE80:0:0::0001/tcp/1")) == "/ip6/fe80::1/tcp/1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "//",
        "ip4/127.0.0.1/tcp/1",
        " /ip4/127.0.0.1/tcp/1",
        "/ip4/127.0.0.1/tcp/1/",
        "/ip4/127.0.0.1/tcp/1 ",
        "/ip4/127.0.0.1/tcp/1\n",
        "/ip4/127.0.0.1/tcp",
        "/ip4/127.0.0.1/tcp/",
        "/ip4/127.0.0.1/tcp/65536",
        "/ip4/127.0.0.1/tcp/-1",
        "/ip4/127.0.0.1/tcp/+1",
        "/ip4/127.0.0.1/tcp/01",
        "/ip4/127.0.0.1/tcp/00",
        "/ip4/127.0.0.1/tcp/1_0",
        "/ip4/127.0.0.1/tcp/٣",
        "/ip4/127.0.0.1/tcp/999999999999999999999",
        "/ip4/127.0.0.01/tcp/1",
        "/ip4/127.1/tcp/1",
        "/ip4/::1/tcp/1",
        "/ip4//tcp/1",
        "/ip6/127.0.0.1/tcp/1",
        "/ip6/fe80::1%eth0/tcp/1",
        "/ip6/::ffff:127.0.0.1/tcp/1",
        "/ip6zone",
        "/ip6zone/eth0",
        "/ip6zone//ip6/fe80::1/tcp/1",
        "/ip6zone/abcdefghijklmnop/ip6/fe80::1/tcp/1",
        "/ip6zone/a b/ip6/fe80::1/tcp/1",
        "/ip6zone/a%b/ip6/fe80::1/tcp/1",
        "/ip6zone/eth0/ip6/2001:db8::1/tcp/1",
        "/ip6zone/eth0/ip4/169.254.0.1/tcp/1",
        "/ip6zone/eth0/ip6zone/eth0/ip6/fe80::1/tcp/1",
        "/ip4/127.0.0.1/udp/1",
        "/ip4/127.0.0.1/tcp/1/ws",
        "/ip4/127.0.0.1/tcp/1/p2p",
        "/ip4/127.0.0.1/tcp/1/p2p/",
        "/ip4/127.0.0.1/tcp/1/p2p/x",
        f"/ip4/127.0.0.1/tcp/1/p2p/{ED25519}/p2p-circuit",
        f"/ip4/127.0.0.1/tcp/1/p2p/{ED25519}x",
        "/ip4/127.0.0.1/tcp/1/p2p/" + "1" * 200,
        "/ip6/" + "0" * ADDRESS_TEXT_MAX,
    ],
)
def test_what_is_no_address_for_tcp_is_refused_with_a_word_of_help(text):
    with pytest.raises(InvalidAddress) as caught:
        TcpAddress.parse(text)
    assert "such as" in str(caught.value) or "a port is" in str(caught.value) or ":" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_message_repeats_nothing_of_a_hostile_address():
    for text in ("/ip4/\x1b[31mred/tcp/1", "/ip6zone/\x1b[31m/ip6/fe80::1/tcp/1", "/ip4/1.2.3.4/tcp/1/p2p/\x1b[31m"):
        with pytest.raises(InvalidAddress) as caught:
            TcpAddress.parse(text)
        assert "\x1b" not in str(caught.value)


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from(["ip4", "ip6", "ip6zone", "tcp", "p2p", "::1", "1.2.3.4", "1", RSA, "", "a"])).map(
        lambda parts: "/" + "/".join(parts)
    )
)
def test_any_text_is_an_address_or_refused(text):
    try:
        address = TcpAddress.parse(text)
    except InvalidAddress:
        return
    assert TcpAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    ("ip", "scope"),
    [
        ("127.0.0.1", Scope.LOOPBACK),
        ("127.255.255.255", Scope.LOOPBACK),
        ("::1", Scope.LOOPBACK),
        ("169.254.1.1", Scope.LINK),
        ("fe80::1", Scope.LINK),
        ("10.0.0.1", Scope.PRIVATE),
        ("192.168.255.255", Scope.PRIVATE),
        ("100.64.0.1", Scope.PRIVATE),
        ("fd00::1", Scope.PRIVATE),
        ("8.8.8.8", Scope.PUBLIC),
        ("2606:4700::1", Scope.PUBLIC),
    ],
)
def test_how_far_an_address_reaches(ip, scope):
    assert scope_of(ipaddress.ip_address(ip)) is scope


# Peer ids


@pytest.mark.parametrize("text", [ED25519, RSA])
def test_a_peer_id_goes_to_bytes_and_back(text):
    assert peer_id_text(peer_id_bytes(text)) == text


def test_the_bytes_of_a_peer_id_are_its_multihash():
    assert peer_id_bytes(ED25519)[:6] == bytes.fromhex("002408011220")
    assert peer_id_bytes(RSA)[:2] == bytes.fromhex("1220")


@pytest.mark.parametrize("size", [1, 36, 42])
def test_a_key_of_up_to_42_bytes_stands_in_its_id(size):
    data = bytes([0, size]) + bytes(range(1, size + 1))
    assert peer_id_bytes(peer_id_text(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\0",
        bytes([0, 43]) + bytes(43),
        bytes([0, 2, 1]),
        bytes([0, 1, 1, 1]),
        bytes([0x12, 31]) + bytes(31),
        bytes([0x12, 33]) + bytes(33),
        bytes([0x1E, 32]) + bytes(32),
    ],
)
def test_bytes_that_are_no_peer_id_are_refused(data):
    with pytest.raises(InvalidAddress, match="not a peer id"):
        peer_id_text(data)


@pytest.mark.parametrize("text", ["", "1", "0OIl", ED25519 + "0", "1" * PEER_ID_BYTES_MAX, "z" * 65, "é"])
def test_text_that_is_no_peer_id_is_refused(text):
    with pytest.raises(InvalidAddress, match="not a peer id"):
        peer_id_bytes(text)


def test_the_peer_id_at_the_end_of_any_address_is_found():
    assert peer_of(f"/dns4/example.com/udp/1/quic-v1/p2p/{RSA}") == ("/dns4/example.com/udp/1/quic-v1", RSA)
    assert peer_of("/memory/1") == ("/memory/1", None)
    circuit = f"/ip4/1.2.3.4/tcp/1/p2p/{RSA}/p2p-circuit"
    assert peer_of(circuit) == (circuit, None)
    with pytest.raises(InvalidAddress):
        peer_of("/memory/1/p2p/x")
