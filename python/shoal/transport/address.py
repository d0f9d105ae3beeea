"""The addresses that TCP is used with: `/ip4/A/tcp/P` and `/ip6/A/tcp/P`, each with an optional `/p2p/ID`. Pure.

Strict: one address has one text, the one that is given back. A link-local IPv6 address may say on which interface it is
meant (`/ip6zone/eth0/ip6/fe80::1/tcp/4001`); a zone in any other form, or on any other address, is refused. Everything
else that a multiaddr may say is `rust/wire`'s business: who reads a list of addresses skips what this file refuses.
"""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from shoal.errors import InvalidAddress
from shoal.transport.peer_id import peer_id_bytes, peer_id_text

__all__ = ["ADDRESS_TEXT_MAX", "IP", "Scope", "TcpAddress", "peer_of", "scope_of"]

ADDRESS_TEXT_MAX: Final = 256
"""Characters of an address. The longest of ours, with a zone and a peer id, has 144; a DNS TXT string holds 255 bytes."""
_ZONE_LETTERS_MAX: Final = 15
"""An interface's name in Linux has at most so many letters."""
_PORT_MAX: Final = 65535

IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Scope(enum.IntEnum):
    """From how far away an address can be reached, the nearest first."""

    LOOPBACK = 0
    """This machine."""
    LINK = 1
    """The same link: addresses that a machine gave itself."""
    PRIVATE = 2
    """The same site, or whatever is not routed on the Internet."""
    PUBLIC = 3


def scope_of(ip: IP) -> Scope:
    """How far an address reaches."""
    if ip.is_loopback:
        return Scope.LOOPBACK
    if ip.is_link_local:
        return Scope.LINK
    return Scope.PUBLIC if ip.is_global else Scope.PRIVATE


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """Where to dial or to listen. `str()` gives the multiaddr.

    >>> from shoal.transport.address import TcpAddress
    >>> address = TcpAddress.parse("/ip4/192.0.2.1/tcp/4001")
    >>> address.port, str(address)
    (4001, '/ip4/192.0.2.1/tcp/4001')
    """

    ip: IP
    port: int
    """0 to 65535. To listen on 0 takes a free one; nobody can be dialled at 0."""
    zone: str | None = None
    """The interface of a link-local IPv6 address."""
    peer: str | None = None
    """Who is said to be there."""

    @staticmethod
    def parse(text: str) -> TcpAddress:
        """Reads a multiaddr. Raises `InvalidAddress`."""
        if len(text) > ADDRESS_TEXT_MAX:
            raise InvalidAddress(f"an address has at most {ADDRESS_TEXT_MAX} characters, such as {_EXAMPLE}")
        if not text.isascii() or not text.startswith("/"):
            raise InvalidAddress(f"not an address: it begins with a slash, such as {_EXAMPLE}")
        parts = text.split("/")[1:]
        zone = None
        if parts[0] == "ip6zone":
            zone, parts = _zone(parts), parts[2:]
        match parts:
            case ["ip4" | "ip6" as family, ip, "tcp", port]:
                return TcpAddress(_ip(family, ip, zone), _port(port), zone)
            case ["ip4" | "ip6" as family, ip, "tcp", port, "p2p", peer]:
                return TcpAddress(_ip(family, ip, zone), _port(port), zone, peer_id_text(peer_id_bytes(peer)))
        raise InvalidAddress(f"not an address for TCP: that is /ip4/…/tcp/… or /ip6/…/tcp/…, such as {_EXAMPLE}")

    def __str__(self) -> str:
        zone = f"/ip6zone/{self.zone}" if self.zone is not None else ""
        peer = f"/p2p/{self.peer}" if self.peer is not None else ""
        return f"{zone}/ip{self.ip.version}/{self.ip}/tcp/{self.port}{peer}"

    @property
    def scope(self) -> Scope:
        """How far it reaches."""
        return scope_of(self.ip)

    def without_peer(self) -> TcpAddress:
        """The same place, whoever is there."""
        return replace(self, peer=None)


_EXAMPLE = "/ip4/192.0.2.1/tcp/4001"


def peer_of(address: str) -> tuple[str, str | None]:
    """An address without its `/p2p/ID` at the end, and the id. Of any protocols. Raises `InvalidAddress` for a bad id."""
    rest, found, peer = address.rpartition("/p2p/")
    if not found or "/" in peer:
        return address, None
    return rest, peer_id_text(peer_id_bytes(peer))


def _zone(parts: list[str]) -> str:
    zone = parts[1] if len(parts) > 1 else ""
    if not 0 < len(zone) <= _ZONE_LETTERS_MAX or not zone.isprintable() or " " in zone or "%" in zone:
        raise InvalidAddress("not an address: /ip6zone/ is followed by the name of an interface, such as eth0")
    return zone


def _ip(family: str, text: str, zone: str | None) -> IP:
    ip: IP
    try:
        ip = ipaddress.IPv4Address(text) if family == "ip4" else ipaddress.IPv6Address(text)
    except ValueError:
        example = "192.0.2.1" if family == "ip4" else "2001:db8::1"
        raise InvalidAddress(f"not an address: /{family}/ is followed by figures such as {example}") from None
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            raise InvalidAddress("not an address: the interface is written in front, as /ip6zone/eth0/ip6/fe80::1/…")
        if ip.ipv4_mapped is not None:
            raise InvalidAddress("not an address: an IPv4 address is written as /ip4/…, not inside an IPv6 address")
    if zone is not None and not (ip.version == 6 and ip.is_link_local):
        raise InvalidAddress("not an address: /ip6zone/ stands before link-local IPv6 addresses (fe80::…) only")
    return ip


def _port(text: str) -> int:
    if not (text.isdigit() and len(text) <= 5) or int(text) > _PORT_MAX or (text[0] == "0" and text != "0"):
        raise InvalidAddress(f"not an address: a port is a number from 0 to {_PORT_MAX}")
    return int(text)
