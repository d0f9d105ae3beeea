"""Which network interfaces this machine has, and their addresses: asked of the kernel over netlink (RFC 3549), no program run.

Only Linux has netlink. Elsewhere, and where it is forbidden, what is known is the loopback and what this machine's own
name resolves to; sharing works then, by addresses that are given.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shoal.transport.address import IP

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Interface", "interfaces"]

INTERFACES_MAX: Final = 1024
"""Interfaces that are looked at. A host of containers has hundreds."""
_REPLY_BYTES: Final = 65536
"""The kernel writes dumps in datagrams of at most 32 KiB."""
_DATAGRAMS_MAX: Final = 4096
_WAIT_SECONDS: Final = 2.0
"""The kernel answers at once; an emulated one may never."""

_GET_LINK, _NEW_LINK, _GET_ADDRESS, _NEW_ADDRESS = 18, 16, 22, 20
_REQUEST_DUMP: Final = 0x0301
_ERROR, _DONE = 2, 3
_NAME, _ADDRESS, _LOCAL, _FLAGS = 3, 1, 2, 8
_UP, _LOOPBACK, _MULTICAST, _RUNNING = 0x1, 0x8, 0x1000, 0x40
_UNUSABLE: Final = 0x08 | 0x20 | 0x40
"""Flags of an address that is a duplicate, out of date, or not tried out yet (IFA_F_DADFAILED, _DEPRECATED, _TENTATIVE)."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface that is up."""

    index: int
    name: str
    addresses: tuple[IP, ...]
    is_loopback: bool
    can_multicast: bool


def interfaces() -> list[Interface]:
    """Those that are up, in the order of their numbers."""
    try:
        return _from_kernel()
    except (AttributeError, OSError, struct.error):
        return _without_netlink()


def _from_kernel() -> list[Interface]:
    found: dict[int, tuple[str, int]] = {}
    for body in _dump(_GET_LINK, _NEW_LINK):
        index, flags = struct.unpack_from("=iI", body, 4)
        name = dict(_attributes(body[16:])).get(_NAME, b"").rstrip(b"\0").decode(errors="replace")
        if flags & _UP and flags & _RUNNING and len(found) < INTERFACES_MAX:
            found[index] = (name, flags)
    addresses: dict[int, list[IP]] = {index: [] for index in found}
    for body in _dump(_GET_ADDRESS, _NEW_ADDRESS):
        family, _, flags, _, index = struct.unpack_from("=BBBBi", body)
        parts = dict(_attributes(body[8:]))
        if (wide := parts.get(_FLAGS)) is not None and len(wide) == 4:
            (flags,) = struct.unpack("=I", wide)
        # On a link between two, IFA_ADDRESS is the other end.
        data = parts.get(_LOCAL, parts.get(_ADDRESS, b""))
        if (
            index in addresses
            and not flags & _UNUSABLE
            and len(data) == {socket.AF_INET: 4, socket.AF_INET6: 16}.get(family)
        ):
            addresses[index].append(ipaddress.ip_address(data))
    return [
        Interface(index, name, tuple(addresses[index]), bool(flags & _LOOPBACK), bool(flags & _MULTICAST))
        for index, (name, flags) in sorted(found.items())
    ]


def _dump(question: int, answer: int) -> Iterator[bytes]:
    """Bodies of the kernel's answers to one question."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.settimeout(_WAIT_SECONDS)
        kernel.bind((0, 0))
        # Header: length, type, flags, sequence, sender; then an empty ifinfomsg, which serves for addresses too.
        kernel.send(struct.pack("=IHHII16x", 32, question, _REQUEST_DUMP, 1, 0))
        for _ in range(_DATAGRAMS_MAX):
            data = kernel.recv(_REPLY_BYTES)
            at = 0
            while at + 16 <= len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind in (_ERROR, _DONE) or length < 16:
                    return
                if kind == answer:
                    yield data[at + 16 : at + length]
                at += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def _without_netlink() -> list[Interface]:
    own: set[IP] = set()
    try:
        for _, _, _, _, where in socket.getaddrinfo(socket.gethostname(), 0, type=socket.SOCK_STREAM):
            ip = ipaddress.ip_address(str(where[0]).partition("%")[0])
            if not ip.is_loopback:
                own.add(ip)
    except (OSError, ValueError):
        own = set()
    loopback: list[IP] = [ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")]
    found = [Interface(1, "lo", tuple(loopback), is_loopback=True, can_multicast=False)]
    if own:
        # Number 0 is "whichever the kernel takes".
        ordered = tuple(sorted(own, key=lambda ip: (ip.version, int(ip))))
        found.append(Interface(0, "", ordered, is_loopback=False, can_multicast=True))
    return found
