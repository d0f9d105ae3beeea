"""Multicast packets: Kubo's own are understood, ours are what dnspython reads, and no packet is more than its limits."""

from __future__ import annotations

import ipaddress
import json
import struct
from pathlib import Path

import dns.message
import dns.rdatatype
import pytest
from hypothesis import given, strategies as st

from shoal.discovery.mdns_packet import (
    JUMPS_MAX,
    LEGACY_TTL_SECONDS,
    PACKET_BYTES_MAX,
    PACKET_BYTES_SENT_MAX,
    RECORDS_MAX,
    TTL_SECONDS,
    Query,
    Reply,
    is_relevant,
    query_packet,
    read_packet,
    reply_packet,
    services_packet,
)

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "mdns.json").read_text())
KUBO = {vector["name"]: bytes.fromhex(vector["packet"]) for vector in VECTORS["packets"]}
PEER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
ADDRESS = f"/ip4/192.0.2.1/tcp/4001/p2p/{PEER}"
NAME = "abcdefghijklmnopqrstuvwxyz0123456789"
IPS = [ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.2"), ipaddress.ip_address("fd00::1")]
SERVICE = b"\x04_p2p\x04_udp\x05local\0"


def header(flags: int, *counts: int) -> bytes:
    return struct.pack("!HHHHHH", 0, flags, *counts, *[0] * (4 - len(counts)))


def record(name: bytes, kind: int, content: bytes, ttl: int = 120, group: int = 1) -> bytes:
    return name + struct.pack("!HHIH", kind, group, ttl, len(content)) + content


def txt(*strings: bytes, ttl: int = 120, group: int = 1, name: bytes = b"\x02me" + SERVICE) -> bytes:
    return record(name, 16, b"".join(bytes([len(string)]) + string for string in strings), ttl, group)


def test_kubos_question_is_understood():
    query = read_packet(KUBO["query"])
    assert isinstance(query, Query)
    assert query.asks_for_peers
    assert not query.wants_unicast


@pytest.mark.parametrize("which", ["reply", "announcement"])
def test_kubos_answers_are_understood(which):
    reply = read_packet(KUBO[which])
    assert isinstance(reply, Reply)
    (found,) = reply.peers.values()
    at = f"/tcp/4001/p2p/{VECTORS['peer']}"
    assert found.addresses == (f"/ip4/127.0.0.1{at}", f"/ip4/10.77.0.1{at}", f"/ip6/::1{at}")
    assert found.ttl == 3200


def test_kubos_probe_asks_for_a_name_only():
    probe = read_packet(KUBO["probe"])
    assert isinstance(probe, Query)
    assert not probe.asks_for_peers
    assert len(probe.instances) == 1


def test_our_question_is_kubos_but_for_its_number():
    assert query_packet()[2:] == KUBO["query"][2:]


def test_our_answer_is_what_another_reader_reads():
    packet = reply_packet(NAME, [ADDRESS, ADDRESS.replace("4001", "4002")], IPS)
    message = dns.message.from_wire(packet)
    assert message.id == 0
    assert message.question == []
    assert [rrset.to_text() for rrset in message.answer] == [
        f"_p2p._udp.local. {TTL_SECONDS} IN PTR {NAME}._p2p._udp.local."
    ]
    beside = {dns.rdatatype.to_text(rrset.rdtype): rrset for rrset in message.additional}
    assert beside["SRV"].to_text().endswith(f"IN SRV 0 0 4001 {NAME}.local.")
    assert beside["TXT"][0].strings == (
        f"dnsaddr={ADDRESS}".encode(),
        f"dnsaddr={ADDRESS.replace('4001', '4002')}".encode(),
    )
    # go-libp2p believes no answer without an address of the name that SRV has.
    assert beside["A"].to_text() == f"{NAME}.local. {TTL_SECONDS} IN A 192.0.2.1"
    assert beside["AAAA"].to_text() == f"{NAME}.local. {TTL_SECONDS} IN AAAA fd00::1"
    assert read_packet(packet).peers[NAME].addresses == (ADDRESS, ADDRESS.replace("4001", "4002"))


def test_who_knows_no_multicast_gets_its_question_back():
    asked = Query(4711, asks_for_peers=True, asks_for_services=False)
    message = dns.message.from_wire(reply_packet(NAME, [ADDRESS], IPS, asked))
    assert message.id == 4711
    assert [rrset.to_text() for rrset in message.question] == ["_p2p._udp.local. IN PTR"]
    assert {rrset.ttl for rrset in [*message.answer, *message.additional]} == {LEGACY_TTL_SECONDS}


def test_browsers_are_told_of_the_service():
    message = dns.message.from_wire(services_packet())
    assert message.answer[0].to_text() == f"_services._dns-sd._udp.local. {TTL_SECONDS} IN PTR _p2p._udp.local."
    asked = dns.message.make_query("_services._dns-sd._udp.local.", "PTR").to_wire()
    assert is_relevant(asked)
    assert read_packet(asked).asks_for_services


def test_an_answer_fits_a_frame_and_leaves_out_what_does_not():
    many = [ADDRESS.replace("4001", str(port)) for port in range(1000, 1100)]
    packet = reply_packet("n" * 63, many, IPS)
    assert PACKET_BYTES_SENT_MAX - 100 < len(packet) <= PACKET_BYTES_SENT_MAX
    told = read_packet(packet).peers["n" * 63].addresses
    assert told == tuple(many[: len(told)])
    assert reply_packet(NAME, ["/" + "a" * 250], IPS) is None
    assert reply_packet(NAME, [], IPS) is None


@pytest.mark.parametrize(("length", "fits"), [(247, True), (248, False)])
def test_a_string_has_at_most_255_bytes(length, fits):
    assert (reply_packet(NAME, ["/" * length], []) is not None) == fits


def test_what_the_asker_knows_is_read():
    known = record(SERVICE, 12, b"\x02me\xc0\x0c", ttl=TTL_SECONDS // 2)
    stale = record(SERVICE, 12, b"\x05stale\xc0\x0c", ttl=TTL_SECONDS // 2 - 1)
    question = SERVICE + struct.pack("!HH", 12, 0x8001)
    query = read_packet(header(0, 1, 2) + question + known + stale)
    assert query.known == {"me"}
    assert query.wants_unicast


def test_letters_of_either_size_are_the_same():
    assert read_packet(header(0, 1) + SERVICE.upper() + struct.pack("!HH", 255, 1)).asks_for_peers
    found = read_packet(header(0x8400, 0, 1) + txt(b"dnsaddr=/a", name=b"\x02ME" + SERVICE.upper(), group=0x8001))
    assert found.peers["me"].addresses == ("/a",)


def test_strings_that_are_no_addresses_are_passed_over():
    packet = header(0x8400, 0, 1) + txt(
        b"", b"txtvers=1", b"dnsaddr=/a b", b"dnsaddr=/\x1b", b"dnsaddr=/\xff", b"dnsaddr=/a"
    )
    assert read_packet(packet).peers["me"].addresses == ("/a",)


# What is refused


def chain(jumps: int) -> bytes:
    """A record whose name is reached through so many pointers, each of which points at the one before."""
    begin = 12 + 1 + 10
    pointers = b"\0\0" + b"".join(struct.pack("!H", 0xC000 | (begin + 2 * at)) for at in range(jumps - 1))
    last = struct.pack("!H", 0xC000 | (begin + 2 * (jumps - 1)))
    return header(0x8400, 0, 3) + record(b"\0", 10, pointers) + txt(b"dnsaddr=/a") + record(last, 10, b"")


@pytest.mark.parametrize(("jumps", "is_read"), [(JUMPS_MAX, True), (JUMPS_MAX + 1, False), (4000, False)])
def test_a_name_has_at_most_so_many_pointers(jumps, is_read):
    assert (read_packet(chain(jumps)) is not None) == is_read


@pytest.mark.parametrize(("count", "is_read"), [(RECORDS_MAX, True), (RECORDS_MAX + 1, False)])
def test_a_packet_has_at_most_so_many_records(count, is_read):
    packet = header(0x8400, 0, count) + txt(b"dnsaddr=/a") + record(b"\0", 10, b"") * (count - 1)
    assert (read_packet(packet) is not None) == is_read


@pytest.mark.parametrize(("size", "is_read"), [(PACKET_BYTES_MAX, True), (PACKET_BYTES_MAX + 1, False)])
def test_a_packet_has_at_most_so_many_bytes(size, is_read):
    packet = query_packet()
    assert (read_packet(packet + bytes(size - len(packet))) is not None) == is_read


QUESTION = struct.pack("!HH", 12, 1)
BROKEN = {
    "nothing": b"",
    "less than a header": bytes(11),
    "a header alone": bytes(12),
    "a pointer to itself": header(0, 1) + b"\xc0\x0c" + QUESTION,
    "a pointer forwards": header(0, 1) + b"\xc0\x20" + QUESTION,
    "a pointer into the header": header(0, 1) + b"\xc0\x00" + QUESTION,
    "two pointers to each other": header(0, 2) + b"\xc0\x12" + QUESTION + b"\xc0\x0c" + QUESTION,
    "half a pointer": header(0, 1) + b"\xc0",
    "a label of a kind that is not": header(0, 1) + b"\x40" + SERVICE + QUESTION,
    "a label longer than the packet": header(0, 1) + b"\x3fa",
    "a name of 256 bytes": header(0, 1) + (b"\x3f" + b"a" * 63) * 4 + b"\0" + QUESTION,
    "a name without an end": header(0, 1) + b"\x04_p2p",
    "a question cut short": header(0, 1) + SERVICE + b"\0",
    "a record cut short": header(0x8400, 0, 1) + txt(b"dnsaddr=/a")[:-1],
    "a string longer than its record": header(0x8400, 0, 1) + record(b"\x02me" + SERVICE, 16, b"\xffdnsaddr=/a"),
    "fewer records than announced": header(0x8400, 0, 2) + txt(b"dnsaddr=/a"),
    "another opcode": header(0x0800, 1) + SERVICE + QUESTION,
    "an error": header(0x8403, 0, 1) + txt(b"dnsaddr=/a"),
    "another class": header(0, 1) + SERVICE + struct.pack("!HH", 12, 3),
    "another type": header(0, 1) + SERVICE + struct.pack("!HH", 1, 1),
    "another service": header(0, 1) + b"\x05_http\x04_tcp\x05local\0" + QUESTION,
    "a record of another class": header(0x8400, 0, 1) + txt(b"dnsaddr=/a", group=3),
    "a name with an escape": header(0x8400, 0, 1) + txt(b"dnsaddr=/a", name=b"\x02\x1b[" + SERVICE),
    "a name of two labels": header(0x8400, 0, 1) + txt(b"dnsaddr=/a", name=b"\x01a\x01b" + SERVICE),
}  # fmt: skip


@pytest.mark.parametrize("packet", BROKEN.values(), ids=BROKEN)
def test_what_is_not_well_formed_or_not_ours_is_nothing(packet):
    assert read_packet(packet) is None


def test_every_cut_of_a_packet_is_nothing_or_less():
    for whole in KUBO.values():
        for end in range(len(whole)):
            read = read_packet(whole[:end])
            assert read is None or len(whole) > end


@given(
    st.binary(max_size=600)
    | st.tuples(st.sampled_from([0, 0x8400]), st.binary(max_size=600)).map(
        lambda two: struct.pack("!HHHHHH", 0, two[0], 3, 3, 3, 3) + two[1]
    )
)
def test_any_bytes_are_read_or_nothing(data):
    read_packet(data)


@given(st.sampled_from(list(KUBO.values())), st.data())
def test_any_change_to_a_packet_is_read_or_nothing(packet, data):
    changed = bytearray(packet)
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    read = read_packet(bytes(changed))
    if isinstance(read, Reply):
        assert all(
            0x21 <= ord(letter) <= 0x7E
            for found in read.peers.values()
            for address in found.addresses
            for letter in address
        )


@given(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=32, max_size=63),
    st.lists(st.integers(1000, 9999), max_size=12),
)
def test_what_is_written_is_read_by_us_and_by_another(name, ports):
    addresses = [ADDRESS.replace("4001", str(port)) for port in ports]
    packet = reply_packet(name, addresses, IPS)
    if not addresses:
        assert packet is None
        return
    told = read_packet(packet).peers[name].addresses
    assert told == tuple(addresses[: len(told)])
    assert len(dns.message.from_wire(packet).additional) == 4
