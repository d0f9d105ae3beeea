"""Tickets: a root and where to start, in one line of text that a person can copy, send or photograph. Pure.

The format is `docs/formats/ticket.md`, whose numbers are cited here. Strict: one ticket has one text, every length is
bounded before it is used, and what a stranger wrote into a ticket can neither name a path nor move a cursor. A ticket is no
secret and proves nothing: whoever has the root checks the bytes, and whoever dials checks the peer.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from shoal._core import CID
from shoal.errors import InvalidAddress, InvalidCID, InvalidTicket
from shoal.transport.address import TcpAddress, peer_of
from shoal.transport.peer_id import PEER_ID_BYTES_MAX, peer_id_bytes, peer_id_text

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["TICKET_ADDRESSES_MAX", "TICKET_TEXT_MAX", "Ticket", "name_for_ticket"]

TICKET_TEXT_MAX: Final = 2048
"""Characters: fits a QR code, a line of a chat, an URL. §1.1"""
TICKET_ADDRESSES_MAX: Final = 16
"""More would not be tried anyway before the first of them timed out. §2.7"""
NAME_BYTES_MAX: Final = 255
"""What file systems take. §2.5"""
ADDRESS_BYTES_MAX: Final = 255
"""§2.8"""
CID_BYTES_MAX: Final = 168
"""As everywhere in Shoal. §2.3"""
SIZE_MAX: Final = 2**63 - 1
"""§2.4"""

_PREFIX: Final = "shoal"
_VERSION: Final = "1"
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")
_CHECKSUM_BYTES: Final = 4
_HAS_SIZE, _HAS_NAME, _HAS_PEER = 1, 2, 4
_TEXT, _IP4_TCP, _IP6_TCP = 0, 4, 6
_UNFIT_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True)
class Ticket:
    """A root and where to start. `str()` gives its text, `Ticket.parse` reads it.

        >>> from shoal import CID
        >>> from shoal.discovery.ticket import Ticket
        >>> ticket = Ticket(CID.of(b"hello"), name="hello.txt", size=5, addresses=("/ip4/192.0.2.1/tcp/4001",))
        >>> str(ticket)
        'shoal1hebsiakvciqcz4snxjp3biyoe3udwkwfxhrj4gywdzob7j2clzzqim3csofzqjafbfugk3dmn4xhi6duaecmaaacaeh2crc3765q'
        >>> Ticket.parse(str(ticket)) == ticket
        True

    Raises `InvalidTicket` for what a ticket cannot say; `Ticket.offering` leaves that out instead.
    """

    root: CID
    name: str | None = None
    """What its maker calls it: fit to be a file's name, but only a suggestion."""
    size: int | None = None
    """Bytes of content: a claim of whoever made the ticket."""
    peer: str | None = None
    """Who has it."""
    addresses: tuple[str, ...] = ()
    """Where that peer may be, without its id at the end. Some may be of kinds that this version does not know."""
    _text: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_text", _encode(self))

    def __str__(self) -> str:
        return self._text

    @staticmethod
    def parse(text: str) -> Ticket:
        """Reads a ticket; space around it is ignored, and all of it may be in upper case. Raises `InvalidTicket`."""
        return _decode(_body(text))

    @staticmethod
    def offering(
        root: CID,
        *,
        name: str | None = None,
        size: int | None = None,
        peer: str | None = None,
        addresses: Iterable[str] = (),
    ) -> Ticket:
        """The ticket of something that a node has: of its addresses the first that can be told to others and fit, and its name
        where that is fit for a ticket."""
        told: list[str] = []
        for address in addresses:
            place, _ = peer_of(address)
            if place not in told and _can_be_told(place) and len(told) < TICKET_ADDRESSES_MAX:
                told.append(place)
        while True:
            try:
                return Ticket(root, name_for_ticket(name), size, peer, tuple(told))
            except InvalidTicket:
                # Too long: long addresses of other kinds.
                if not told:
                    raise
                told.pop()


def name_for_ticket(name: str | None) -> str | None:
    """The name, or None where it is not fit to be told in a ticket."""
    return name if name is not None and _unfit(name) is None else None


# Writing


def _encode(ticket: Ticket) -> str:
    flags = 0
    parts = [_counted(bytes(ticket.root))]
    if ticket.size is not None:
        if not 0 <= ticket.size <= SIZE_MAX:
            raise InvalidTicket(f"a ticket's size is 0 to {SIZE_MAX} bytes")
        flags |= _HAS_SIZE
        parts.append(_varint(ticket.size))
    if ticket.name is not None:
        if (why := _unfit(ticket.name)) is not None:
            raise InvalidTicket(f"a ticket cannot have this name: {why}")
        flags |= _HAS_NAME
        parts.append(_counted(ticket.name.encode()))
    if ticket.peer is not None:
        flags |= _HAS_PEER
        try:
            peer = peer_id_bytes(ticket.peer)
        except InvalidAddress as error:
            raise InvalidTicket(f"a ticket cannot have this peer: {error}") from None
        parts.append(_counted(peer))
    if len(ticket.addresses) > TICKET_ADDRESSES_MAX:
        raise InvalidTicket(f"a ticket has at most {TICKET_ADDRESSES_MAX} addresses; Ticket.offering takes the first")
    parts.append(bytes([len(ticket.addresses)]))
    parts += [_address(address) for address in ticket.addresses]
    content = bytes([flags]) + b"".join(parts)
    body = _varint(len(content)) + content
    text = _PREFIX + _VERSION + _base32(body + _checksum(body))
    if len(text) > TICKET_TEXT_MAX:
        raise InvalidTicket(
            f"the ticket would have more than {TICKET_TEXT_MAX} characters; give it fewer or shorter addresses"
        )
    return text


def _address(text: str) -> bytes:
    try:
        address = TcpAddress.parse(text)
    except InvalidAddress:
        data = text.encode(errors="replace")
        _check_address_text(data)
        return bytes([_TEXT]) + _counted(data)
    if address.peer is not None:
        raise InvalidTicket("a ticket's addresses have no /p2p/… at their end: its peer is told once")
    if str(address) != text:
        raise InvalidTicket(f"a ticket's addresses are in their canonical text, here {address}")
    if address.zone is not None:
        raise InvalidTicket(
            "a ticket cannot have a link-local address with the name of an interface: others have other interfaces"
        )
    return (
        bytes([_IP4_TCP if address.ip.version == 4 else _IP6_TCP]) + address.ip.packed + address.port.to_bytes(2, "big")
    )


def _can_be_told(place: str) -> bool:
    try:
        address = TcpAddress.parse(place)
    except InvalidAddress:
        try:
            _check_address_text(place.encode(errors="replace"))
        except InvalidTicket:
            return False
        return True
    return str(address) == place and address.zone is None and address.port != 0 and not address.ip.is_unspecified


def _check_address_text(data: bytes) -> None:
    """§2.8: of kinds of addresses that are not known here, only what they look like can be said."""
    if not 0 < len(data) <= ADDRESS_BYTES_MAX or data[:1] != b"/" or not all(0x21 <= byte <= 0x7E for byte in data):
        raise InvalidTicket(
            f"a ticket's address is a multiaddr of at most {ADDRESS_BYTES_MAX} letters, such as /ip4/192.0.2.1/tcp/4001"
        )


def _unfit(name: str) -> str | None:
    """Why a name is not fit for a ticket (§2.5), or None."""
    if name in ("", ".", ".."):
        return "it names no file"
    if "/" in name or "\\" in name:
        return "it has a separator of paths in it"
    # Of line ends, terminal escapes, letters that turn the direction of writing or cannot be seen, halves of letters.
    if any(unicodedata.category(letter) in _UNFIT_CATEGORIES for letter in name):
        return "it has letters in it that cannot be shown"
    if len(name.encode()) > NAME_BYTES_MAX:
        return f"it has more than {NAME_BYTES_MAX} bytes"
    return None


# Reading


class _Reader:
    """Takes a body apart. Its bytes had the right checksum, so what is wrong was written wrong."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise _malformed()
        self._at += size
        return self._data[self._at - size : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = 0
        for place in range(0, 63, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << place
            if byte < 0x80:
                if byte == 0 and place:
                    raise _malformed()
                return value
        raise _malformed()

    def counted(self, bytes_max: int) -> bytes:
        size = self.varint()
        if not 0 < size <= bytes_max:
            raise _malformed()
        return self.take(size)

    def has_more(self) -> bool:
        return self._at < len(self._data)


def _body(text: str) -> bytes:
    """The content of a ticket whose text, length and checksum are right."""
    if len(text) > TICKET_TEXT_MAX + 64:
        raise InvalidTicket(f"a ticket has at most {TICKET_TEXT_MAX} characters; this is something else")
    word = text.strip()
    if word.isascii() and word.isupper():
        word = word.lower()
    if not word.startswith(_PREFIX):
        raise InvalidTicket(_something_else(word))
    version, letters = word[len(_PREFIX) : len(_PREFIX) + 1], word[len(_PREFIX) + 1 :]
    if version != _VERSION:
        if version.isascii() and version.isdigit():
            raise InvalidTicket(f"this ticket is of version {version}, of which this Shoal knows nothing: update it")
        raise InvalidTicket("not a ticket: tickets begin with shoal1, in letters of one size")
    for place, letter in enumerate(letters, len(_PREFIX) + 2):
        if letter not in _LETTERS:
            raise InvalidTicket(
                f"the ticket has a wrong letter at its place {place}: copy the whole of it again, in one line"
            )
    if len(word) > TICKET_TEXT_MAX:
        raise InvalidTicket(f"a ticket has at most {TICKET_TEXT_MAX} characters; this is something else")
    return _checked(letters)


def _checked(letters: str) -> bytes:
    whole = len(letters) - (1 if len(letters) % 8 in (1, 3, 6) else 0)
    data = base64.b32decode(letters[:whole].upper() + "=" * (-whole % 8))
    reader = _Reader(data)
    try:
        size = reader.varint()
    except InvalidTicket:
        raise InvalidTicket(_CUT_SHORT) from None
    begin = len(_varint(size))
    expected = ((begin + size + _CHECKSUM_BYTES) * 8 + 4) // 5
    # A wrong letter among the first may have changed the length, too.
    if len(letters) < expected and expected <= TICKET_TEXT_MAX:
        raise InvalidTicket(f"{_CUT_SHORT}: {expected - len(letters)} characters are missing")
    if len(letters) > expected and _checksum(data[: begin + size]) == data[begin + size :][:_CHECKSUM_BYTES]:
        raise InvalidTicket(
            f"there is something behind the ticket's end: leave out the last {len(letters) - expected} characters"
        )
    if (
        len(letters) != expected
        or _checksum(data[:-_CHECKSUM_BYTES]) != data[-_CHECKSUM_BYTES:]
        or _base32(data) != letters
    ):
        raise InvalidTicket("the ticket has a wrong letter somewhere: copy the whole of it again")
    return data[begin:-_CHECKSUM_BYTES]


def _decode(content: bytes) -> Ticket:
    reader = _Reader(content)
    flags = reader.byte()
    if flags & ~(_HAS_SIZE | _HAS_NAME | _HAS_PEER):
        raise _malformed()
    try:
        root = CID(reader.counted(CID_BYTES_MAX))
        size = reader.varint() if flags & _HAS_SIZE else None
        name = reader.counted(NAME_BYTES_MAX).decode() if flags & _HAS_NAME else None
        peer = peer_id_text(reader.counted(PEER_ID_BYTES_MAX)) if flags & _HAS_PEER else None
        count = reader.byte()
        if count > TICKET_ADDRESSES_MAX:
            raise _malformed()
        ticket = Ticket(root, name, size, peer, tuple(_read_address(reader) for _ in range(count)))
    except (InvalidAddress, InvalidCID, UnicodeDecodeError):
        raise _malformed() from None
    if reader.has_more():
        raise _malformed()
    return ticket


def _read_address(reader: _Reader) -> str:
    kind = reader.byte()
    if kind == _IP4_TCP:
        return _tcp(ipaddress.IPv4Address(reader.take(4)), reader)
    if kind == _IP6_TCP:
        return _tcp(ipaddress.IPv6Address(reader.take(16)), reader)
    if kind != _TEXT:
        raise _malformed()
    data = reader.counted(ADDRESS_BYTES_MAX)
    _check_address_text(data)
    text = data.decode("ascii")
    try:
        TcpAddress.parse(text)
    except InvalidAddress:
        return text
    # One address has one form.
    raise _malformed()


def _tcp(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, reader: _Reader) -> str:
    return str(TcpAddress.parse(str(TcpAddress(ip, int.from_bytes(reader.take(2), "big")))))


_CUT_SHORT: Final = "the ticket is cut short"


def _malformed() -> InvalidTicket:
    return InvalidTicket(
        "the ticket says what no ticket can say: whoever made it has a broken program; ask for another"
    )


def _something_else(word: str) -> str:
    if word.lower().startswith(_PREFIX):
        return "not a ticket: its letters are either all small or all capital"
    try:
        CID(word.removeprefix("ipfs://").removeprefix("/ipfs/").partition("/")[0])
    except InvalidCID:
        return "not a ticket: tickets begin with shoal1, and `shoal share` makes them"
    return "this is a CID and not a ticket: it names the content, but not who has it"


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256((_PREFIX + _VERSION).encode() + body).digest()[:_CHECKSUM_BYTES]


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _counted(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
