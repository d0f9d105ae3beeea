"""What the multicast discovery tells on which link, what it believes, and how much it listens to. Pure: the time and the dice
are passed in.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from shoal.discovery.base import Announcement, Found
from shoal.errors import InvalidAddress
from shoal.transport.address import Scope, TcpAddress

if TYPE_CHECKING:
    from random import Random

    from shoal.discovery.mdns_packet import PeerRecord
    from shoal.transport.address import IP
    from shoal.transport.interfaces import Interface

__all__ = ["Backoff", "Budget", "Heard", "believed", "random_name", "told"]

QUERY_SECONDS_FIRST: Final = 1.0
QUERY_SECONDS_MAX: Final = 60.0
"""Questions are asked after 1 s, 2 s, 4 s … 60 s, each up to a fifth later by the dice. RFC 6762 §5.2 asks for as much."""
ADDRESSES_MAX: Final = 16
"""Of one peer, as in a ticket."""
SOURCES_MAX: Final = 256
"""Senders whose packets are counted. The one that was silent longest is forgotten."""
SOURCE_RATE, SOURCE_BURST = 10.0, 20.0
"""Packets of one sender that are read in a second, and at once. A peer sends a handful in a minute."""
ALL_RATE, ALL_BURST = 100.0, 200.0
"""The same of all senders: what reading them takes of the loop, some milliseconds in each second."""
FOUND_RATE, FOUND_BURST = 8.0, 256.0
"""Peers that are told of in a second, and at once: whoever is told may dial them."""
PEERS_MAX: Final = 256
"""Peers remembered. The one that was silent longest is forgotten, and is found again when it speaks."""
AGAIN_SECONDS: Final = 60.0
"""A peer that is heard of again is told of again after so long: a connection to it may have been lost."""
STALE_SECONDS: Final = 180.0
"""Addresses that were not heard on a link for so long are left out: three times the slowest question."""
_NAME_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


def random_name(dice: Random) -> str:
    """A peer's name for one run: 32 to 63 letters and figures, which tell nothing of who it is."""
    return "".join(dice.choices(_NAME_LETTERS, k=dice.randint(32, 63)))


def told(announce: Announcement, interface: Interface) -> tuple[list[str], list[IP]]:
    """What is told of us on a link: addresses with our id, the nearest last, and their IP addresses.

    Loopback addresses on the loopback only, and there nothing else; link-local ones on their own link, without its name, which
    says nothing to others.
    """
    found: dict[TcpAddress, None] = {}
    for text in announce.addresses:
        try:
            address = TcpAddress.parse(text).without_peer()
        except InvalidAddress:
            continue
        for ip in interface.addresses if address.ip.is_unspecified else (address.ip,):
            if ip.version != address.ip.version or (address.ip != ip and interface.addresses.count(ip) == 0):
                continue
            place = replace(address, ip=ip, zone=None)
            if (place.scope is Scope.LOOPBACK) != interface.is_loopback:
                continue
            if place.scope is Scope.LINK and ip.version == 6 and ip not in interface.addresses:
                continue
            found[place] = None
    # Of a packet that is too small, the link-local ones are left out first.
    places = sorted(found, key=lambda place: place.scope is Scope.LINK)[:ADDRESSES_MAX]
    return [f"{place}/p2p/{announce.peer}" for place in places], [place.ip for place in places]


def believed(record: PeerRecord, interface: Interface, own: str | None) -> dict[str, tuple[str, ...]]:
    """Whom and where a record tells of: peers other than ourselves, with addresses for TCP that can be dialled from here.

    A loopback address that was heard on another link is somebody else's loopback.
    """
    found: dict[str, list[str]] = {}
    for text in record.addresses:
        try:
            address = TcpAddress.parse(text)
        except InvalidAddress:
            continue
        ip, peer = address.ip, address.peer
        if peer is None or peer == own or address.zone is not None or address.port == 0:
            continue
        if ip.is_unspecified or ip.is_multicast or (ip.is_loopback and not interface.is_loopback):
            continue
        if ip.version == 6 and ip.is_link_local:
            if not interface.name:
                continue
            address = replace(address, zone=interface.name)
        places = found.setdefault(peer, [])
        place = str(address.without_peer())
        if place not in places and len(places) < ADDRESSES_MAX:
            places.append(place)
    return {peer: tuple(places) for peer, places in found.items()}


class Backoff:
    """How long until the next question."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._seconds = QUERY_SECONDS_FIRST

    def next(self) -> float:
        seconds = self._seconds
        self._seconds = min(2 * seconds, QUERY_SECONDS_MAX)
        return seconds * self._dice.uniform(1.0, 1.2)


@dataclass
class _Bucket:
    tokens: float
    at: float

    def take(self, now: float, rate: float, burst: float) -> bool:
        self.tokens = min(burst, self.tokens + max(0.0, now - self.at) * rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Budget:
    """How many packets are read."""

    def __init__(self) -> None:
        self._sources: OrderedDict[str, _Bucket] = OrderedDict()
        self._all = _Bucket(ALL_BURST, 0.0)

    def allows(self, source: str, now: float) -> bool:
        """Whether one more packet of that sender may be read."""
        bucket = self._sources.pop(source, None) or _Bucket(SOURCE_BURST, now)
        self._sources[source] = bucket
        if len(self._sources) > SOURCES_MAX:
            self._sources.popitem(last=False)
        return bucket.take(now, SOURCE_RATE, SOURCE_BURST) and self._all.take(now, ALL_RATE, ALL_BURST)


@dataclass
class _Peer:
    links: dict[str, tuple[float, tuple[str, ...]]]
    told: tuple[str, ...]
    told_at: float


class Heard:
    """Peers that were heard of, so that each is told of once in a while and not with each packet."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._peers: OrderedDict[str, _Peer] = OrderedDict()
        self._found = _Bucket(FOUND_BURST, 0.0)

    def __len__(self) -> int:
        return len(self._peers)

    def heard(self, link: str, peer: str, addresses: tuple[str, ...], now: float) -> Found | None:
        """A peer was heard of on a link. What to tell: all its addresses, if they are new or it is time."""
        known = self._peers.pop(peer, None) or _Peer({}, (), now)
        known.links[link] = (now, addresses)
        known.links = {name: (at, places) for name, (at, places) in known.links.items() if now - at < STALE_SECONDS}
        every = tuple(dict.fromkeys(place for _, places in known.links.values() for place in places))[:ADDRESSES_MAX]
        self._peers[peer] = known
        if len(self._peers) > PEERS_MAX:
            self._peers.popitem(last=False)
        if set(every) <= set(known.told) and now - known.told_at < AGAIN_SECONDS:
            return None
        if not every or not self._found.take(now, FOUND_RATE, FOUND_BURST):
            return None
        known.told, known.told_at = every, now
        return Found(peer, every, self._source)
