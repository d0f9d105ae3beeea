"""Multicast DNS packets of libp2p's service, read and written. Pure: bytes in, values out.

Anyone on the link writes these, so every length is checked before it is used, and the work for one packet is bounded by its
limits and not by what it says: packets of other services, and those that are not well formed, are `None`.
Specs: RFC 6762 (mDNS), RFC 6763 (DNS-SD), <https://github.com/libp2p/specs/blob/master/discovery/mdns.md>. Why this is not
dnspython: docs/decisions/2026-11-24-mdns-packets.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shoal.transport.address import IP

__all__ = [
    "PACKET_BYTES_MAX",
    "PeerRecord",
    "Query",
    "Reply",
    "is_relevant",
    "query_packet",
    "read_packet",
    "reply_packet",
    "services_packet",
]

PACKET_BYTES_MAX: Final = 9000
"""RFC 6762 §17."""
PACKET_BYTES_SENT_MAX: Final = 1400
"""What we send fits an Ethernet frame behind any headers: multicast fragments are lost on Wi-Fi."""
RECORDS_MAX: Final = 128
"""Questions and records of one packet that are looked at. A whole link's answers to one question are some dozens."""
JUMPS_MAX: Final = 16
"""Pointers in one name. Honest packets have one or two."""
NAME_BYTES_MAX: Final = 255
STRINGS_MAX: Final = 32
"""Strings of one TXT record that are read: Kubo has one for each of its addresses."""
PEERS_MAX: Final = 32
"""Names in one packet that are read: each peer answers for itself."""
TTL_SECONDS: Final = 120
"""How long others may believe an answer. RFC 6762 §10: 120 s for whatever holds an address."""
LEGACY_TTL_SECONDS: Final = 10
"""The same for those who know no multicast. RFC 6762 §6.7."""

Name: TypeAlias = tuple[bytes, ...]
"""Labels in lower case."""

SERVICE: Final[Name] = (b"_p2p", b"_udp", b"local")
_SERVICES: Final[Name] = (b"_services", b"_dns-sd", b"_udp", b"local")
_A, _PTR, _TXT, _AAAA, _SRV, _ANY_TYPE = 1, 12, 16, 28, 33, 255
_IN, _ANY_CLASS = 1, 255
_TOP_BIT: Final = 0x8000
"""Of a class: "answer to me alone" in a question, "forget what you knew" in a record."""
_REPLY, _AUTHORITATIVE, _OPCODE_AND_RCODE = 0x8000, 0x0400, 0x780F
_PREFIX: Final = b"dnsaddr="
_PORT: Final = 4001
"""SRV has to have a port. Nobody reads it; go-libp2p writes the same."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question that concerns libp2p's service."""

    id: int
    asks_for_peers: bool
    asks_for_services: bool
    """The question of browsers: which services are there at all?"""
    instances: frozenset[str] = frozenset()
    """Names of peers of which records are asked."""
    wants_unicast: bool = False
    known: frozenset[str] = frozenset()
    """Names of peers that the asker knows already."""


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """What is said of one name."""

    addresses: tuple[str, ...]
    """Behind `dnsaddr=`, not looked into: ASCII without spaces."""
    ttl: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Answers that concern libp2p's service."""

    peers: dict[str, PeerRecord] = field(default_factory=dict)


def is_relevant(data: bytes) -> bool:
    """Whether a packet may concern libp2p, for little: most multicast packets are about printers."""
    lowered = data.lower()
    return b"\x04_p2p" in lowered or b"\x09_services" in lowered


def read_packet(data: bytes) -> Query | Reply | None:
    """What a packet says of libp2p's service; None where it says nothing, or is not well formed."""
    if not 12 <= len(data) <= PACKET_BYTES_MAX:
        return None
    number, flags, *counts = struct.unpack_from("!HHHHHH", data)
    if flags & _OPCODE_AND_RCODE or sum(counts) > RECORDS_MAX:
        return None
    try:
        return _read_reply(data, counts) if flags & _REPLY else _read_query(data, number, counts)
    except (_Malformed, struct.error):
        return None


class _Malformed(Exception):
    """A packet that is not well formed."""


def _read_query(data: bytes, number: int, counts: Sequence[int]) -> Query | None:
    peers = services = unicast = False
    instances: set[str] = set()
    at = 12
    for _ in range(counts[0]):
        name, at = _name(data, at)
        kind, group = struct.unpack_from("!HH", data, at)
        at += 4
        if group & ~_TOP_BIT not in (_IN, _ANY_CLASS):
            continue
        if name == SERVICE and kind in (_PTR, _ANY_TYPE):
            peers = True
        elif name == _SERVICES and kind in (_PTR, _ANY_TYPE):
            services = True
        elif (instance := _instance(name)) is not None:
            instances.add(instance)
        else:
            continue
        unicast = unicast or bool(group & _TOP_BIT)
    if not (peers or services or instances):
        return None
    known = {
        instance
        for name, kind, ttl, begin, _ in _records(data, at, counts[1])
        if name == SERVICE
        and kind == _PTR
        and ttl >= TTL_SECONDS // 2
        and (instance := _instance(_name(data, begin)[0])) is not None
    }
    return Query(number, peers, services, frozenset(instances), unicast, frozenset(known))


def _read_reply(data: bytes, counts: Sequence[int]) -> Reply | None:
    at = 12
    for _ in range(counts[0]):
        _, at = _name(data, at)
        at += 4
    found: dict[str, PeerRecord] = {}
    for name, kind, ttl, begin, end in _records(data, at, sum(counts[1:])):
        instance = _instance(name)
        if kind == _TXT and instance is not None and (instance in found or len(found) < PEERS_MAX):
            found[instance] = PeerRecord(tuple(_addresses(data[begin:end])), ttl)
    return Reply(found) if found else None


def _records(data: bytes, at: int, count: int) -> Iterator[tuple[Name, int, int, int, int]]:
    """Name, type, seconds to live, and where the content begins and ends, of each record."""
    for _ in range(count):
        name, at = _name(data, at)
        kind, group, ttl, size = struct.unpack_from("!HHIH", data, at)
        at += 10
        if at + size > len(data):
            raise _Malformed
        if group & ~_TOP_BIT == _IN:
            yield name, kind, ttl, at, at + size
        at += size


def _name(data: bytes, at: int) -> tuple[Name, int]:
    """A name, and what is behind it. Pointers go backwards only, so names end."""
    labels: list[bytes] = []
    size = jumps = 0
    behind: int | None = None
    begin = at
    while True:
        if at >= len(data):
            raise _Malformed
        length = data[at]
        if length >= 0xC0:
            if at + 1 >= len(data) or jumps >= JUMPS_MAX:
                raise _Malformed
            target = (length & 0x3F) << 8 | data[at + 1]
            behind = at + 2 if behind is None else behind
            if target >= begin or target < 12:
                raise _Malformed
            at = begin = target
            jumps += 1
            continue
        size += length + 1
        if length >= 0x40 or size > NAME_BYTES_MAX or at + 1 + length > len(data):
            raise _Malformed
        if not length:
            return tuple(labels), (at + 1 if behind is None else behind)
        labels.append(data[at + 1 : at + 1 + length].lower())
        at += 1 + length


def _instance(name: Name) -> str | None:
    """The peer's name in `NAME._p2p._udp.local`. The spec says letters and figures; some have more."""
    if len(name) != 4 or name[1:] != SERVICE or not all(0x21 <= byte <= 0x7E for byte in name[0]):
        return None
    return name[0].decode("ascii")


def _addresses(content: bytes) -> Iterator[str]:
    at = 0
    for _ in range(STRINGS_MAX):
        if at >= len(content):
            return
        text = content[at + 1 : at + 1 + content[at]]
        if len(text) != content[at]:
            raise _Malformed
        at += 1 + len(text)
        if text.startswith(_PREFIX) and all(0x21 <= byte <= 0x7E for byte in text):
            yield text[len(_PREFIX) :].decode("ascii")


# Writing


def query_packet() -> bytes:
    """Who is there?"""
    return _header(0, 0, questions=1) + _wire_name(SERVICE) + struct.pack("!HH", _PTR, _IN)


def services_packet(number: int = 0) -> bytes:
    """The answer to "which services are there?"."""
    answer = _record(_wire_name(_SERVICES), _PTR, _wire_name(SERVICE), TTL_SECONDS)
    return _header(number, _REPLY | _AUTHORITATIVE, answers=1) + answer


def reply_packet(
    instance: str, addresses: Iterable[str], ips: Sequence[IP], legacy: Query | None = None
) -> bytes | None:
    """We are there: PTR, and beside it SRV, TXT, A and AAAA, which go-libp2p does not believe an answer without.

    Of the addresses, with the peer id at their end, the first that fit; None where none does. `legacy` is the question of one
    who knows no multicast, and is repeated (RFC 6762 §6.7).
    """
    ttl = TTL_SECONDS if legacy is None else LEGACY_TTL_SECONDS
    service, label = _wire_name(SERVICE), instance.encode("ascii")
    name, host = _wire_name((label, *SERVICE)), _wire_name((label, b"local"))
    beside = [_record(name, _SRV, struct.pack("!HHH", 0, 0, _PORT) + host, ttl)]
    for version, kind in ((4, _A), (6, _AAAA)):
        beside += [_record(host, kind, ip.packed, ttl) for ip in ips if ip.version == version][:1]
    head = _record(service, _PTR, name, ttl)
    question = b"" if legacy is None else service + struct.pack("!HH", _PTR, _IN)
    room = PACKET_BYTES_SENT_MAX - 12 - len(question) - len(head) - sum(map(len, beside)) - len(name) - 10
    strings = b""
    for address in addresses:
        text = _PREFIX + address.encode("ascii")
        if len(text) <= 255 and len(strings) + 1 + len(text) <= room:
            strings += bytes([len(text)]) + text
    if not strings:
        return None
    beside.append(_record(name, _TXT, strings, ttl))
    number = 0 if legacy is None else legacy.id
    header = _header(number, _REPLY | _AUTHORITATIVE, questions=1 if question else 0, answers=1, others=len(beside))
    return header + question + head + b"".join(beside)


def _header(number: int, flags: int, *, questions: int = 0, answers: int = 0, others: int = 0) -> bytes:
    return struct.pack("!HHHHHH", number, flags, questions, answers, 0, others)


def _record(name: bytes, kind: int, content: bytes, ttl: int) -> bytes:
    return name + struct.pack("!HHIH", kind, _IN, ttl, len(content)) + content


def _wire_name(labels: Name) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
