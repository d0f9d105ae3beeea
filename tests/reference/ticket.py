"""Tickets, slowly: the oracle for `python/shoal/discovery/ticket.py`.

Format: `docs/formats/ticket.md`. Fields go in as bytes, the text comes out, and the other way round. Shares nothing with
the package: base32 by arithmetic, CIDs only as bytes.

Run as a program it writes `tests/vectors/ticket.json`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dag_json import write_vectors

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True)
class Fields:
    """What a ticket says, in bytes. Addresses are (byte of their kind, what follows without a length)."""

    root: bytes
    size: int | None = None
    name: bytes | None = None
    peer: bytes | None = None
    addresses: tuple[tuple[int, bytes], ...] = ()


def varint(value: int) -> bytes:
    out = []
    while True:
        value, low = divmod(value, 128)
        out.append(low + (128 if value else 0))
        if not value:
            return bytes(out)


def base32(data: bytes) -> str:
    letters = -(-len(data) * 8 // 5)
    number = int.from_bytes(data, "big") << (letters * 5 - len(data) * 8)
    return "".join(LETTERS[number >> (5 * (letters - 1 - place)) & 31] for place in range(letters))


def sealed(body: bytes, prefix: str = "shoal1") -> str:
    """The text of a body, right or wrong, with the checksum that belongs to it."""
    return prefix + base32(body + hashlib.sha256(prefix.encode() + body).digest()[:4])


def content(fields: Fields) -> bytes:
    flags = (fields.size is not None) + 2 * (fields.name is not None) + 4 * (fields.peer is not None)
    out = bytes([flags]) + varint(len(fields.root)) + fields.root
    if fields.size is not None:
        out += varint(fields.size)
    for part in (fields.name, fields.peer):
        if part is not None:
            out += varint(len(part)) + part
    out += bytes([len(fields.addresses)])
    for kind, data in fields.addresses:
        out += bytes([kind]) + (varint(len(data)) if kind == 0 else b"") + data
    return out


def encode(fields: Fields) -> str:
    out = content(fields)
    return sealed(varint(len(out)) + out)


def decode(text: str) -> Fields:
    """Raises ValueError for what is no ticket. Does not look into CIDs, nor into addresses in text but at their letters."""
    text = text.strip(" \t\r\n")
    if text == text.upper():
        text = text.lower()
    assert_(text.startswith("shoal1") and len(text) <= 2048 and all(letter in LETTERS for letter in text[6:]))
    number = 0
    for letter in text[6:]:
        number = number * 32 + LETTERS.index(letter)
    spare = len(text[6:]) * 5 % 8
    data = (number >> spare).to_bytes(len(text[6:]) * 5 // 8, "big")
    assert_(sealed(data[:-4]) == text)
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        assert_(at + size <= len(data) - 4)
        at += size
        return data[at - size : at]

    def number_() -> int:
        value = place = 0
        while True:
            byte = take(1)[0]
            value += byte % 128 << 7 * place
            place += 1
            assert_(place <= 9)
            if byte < 128:
                assert_(len(varint(value)) == place)
                return value

    length = number_()
    assert_(at + length == len(data) - 4)
    flags = take(1)[0]
    assert_(flags < 8)
    root = take(number_())
    assert_(1 <= len(root) <= 168)
    size = number_() if flags & 1 else None
    name = take(number_()) if flags & 2 else None
    if name is not None:
        assert_(1 <= len(name) <= 255 and name not in (b".", b"..") and b"/" not in name and b"\\" not in name)
        assert_(all(unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in name.decode()))
    peer = take(number_()) if flags & 4 else None
    if peer is not None:
        assert_(len(peer) >= 3 and peer[1] == len(peer) - 2)
        assert_((peer[0] == 0 and len(peer) <= 44) or (peer[0] == 0x12 and peer[1] == 32))
    count = take(1)[0]
    assert_(count <= 16)
    addresses = []
    for _ in range(count):
        kind = take(1)[0]
        assert_(kind in (0, 4, 6))
        found = take({4: 6, 6: 18}[kind] if kind else number_())
        if kind == 0:
            assert_(1 <= len(found) <= 255 and found[:1] == b"/" and all(0x21 <= byte <= 0x7E for byte in found))
        addresses.append((kind, found))
    assert_(at == len(data) - 4)
    return Fields(root, size, name, peer, tuple(addresses))


def assert_(holds: bool) -> None:
    if not holds:
        raise ValueError("no ticket")


def vectors() -> dict[str, Any]:
    raw = bytes.fromhex("015512202cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
    old = raw[2:]
    peer = bytes([0, 36, 8, 1, 18, 32]) + bytes(range(32))
    hashed = b"\x12\x20" + bytes(range(32))
    four = (4, bytes([192, 0, 2, 1]) + (4001).to_bytes(2, "big"))
    six = (6, bytes.fromhex("20010db8000000000000000000000001") + (65535).to_bytes(2, "big"))
    other = (0, b"/dns4/example.com/udp/4001/quic-v1")
    accepted = {
        "a root alone": Fields(raw),
        "a CIDv0": Fields(old),
        "of size 0": Fields(raw, size=0),
        "of size 127": Fields(raw, size=127),
        "of size 128": Fields(raw, size=128),
        "of the largest size": Fields(raw, size=2**63 - 1),
        "with a name": Fields(raw, name=b"hello.txt"),
        "with the shortest name": Fields(raw, name=b"a"),
        "with the longest name": Fields(raw, name=b"n" * 255),
        "with a name in other letters": Fields(raw, name="Grüße 世界 🐟.txt".encode()),
        "with a name of three dots": Fields(raw, name=b"..."),
        "with a peer": Fields(raw, peer=peer),
        "with a hashed peer": Fields(raw, peer=hashed),
        "with an address and no peer": Fields(raw, addresses=(four,)),
        "with port 0": Fields(raw, addresses=((4, bytes(6)),)),
        "with an address of another kind": Fields(raw, addresses=(other,)),
        "with the longest address": Fields(raw, addresses=((0, b"/" + b"a" * 254),)),
        "with all of it": Fields(raw, 5, b"hello.txt", peer, (four, six, other)),
        "with sixteen addresses": Fields(raw, 5, b"hello.txt", peer, (six,) * 16),
        "an identity CID": Fields(bytes([1, 0x55, 0, 5]) + b"hello"),
    }
    every = Fields(raw, 5, b"hello.txt", peer, (four, six, other))
    text, whole = encode(every), content(every)
    at_root = 1 + 1 + len(raw)

    def wrong(data: bytes) -> str:
        return sealed(varint(len(data)) + data)

    broken = {
        "nothing": "",
        "the prefix alone": "shoal",
        "the version alone": "shoal1",
        "a CID": "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq",
        "version 0": sealed(varint(len(whole)) + whole, "shoal0"),
        "version 2": sealed(varint(len(whole)) + whole, "shoal2"),
        "of mixed case": text[:20].upper() + text[20:],
        "with padding": text + "=",
        "with a digit that base32 has not": text[:30] + "1" + text[31:],
        "with space inside": text[:30] + " " + text[30:],
        "with a letter more": text + "a",
        "with eight letters more": text + "aaaaaaaa",
        "with a letter less": text[:-1],
        "with half of it missing": text[: len(text) // 2],
        "with two letters exchanged": text[:30] + text[31] + text[30] + text[32:],
        "with bits behind its end": text[:-1] + LETTERS[LETTERS.index(text[-1]) ^ 1],
        "a checksum without the prefix": "shoal1" + base32(varint(len(whole)) + whole + hashlib.sha256(varint(len(whole)) + whole).digest()[:4]),
        "of length 0": wrong(b""),
        "with flag 8": wrong(bytes([whole[0] | 8]) + whole[1:]),
        "with flag 128": wrong(bytes([whole[0] | 128]) + whole[1:]),
        "with a byte behind the addresses": wrong(whole + b"\0"),
        "with fields cut short": wrong(whole[:-1]),
        "with a root of length 0": wrong(whole[:1] + b"\0" + whole[at_root:]),
        "with a root of 169 bytes": wrong(b"\0" + varint(169) + bytes([1, 0x55, 0x1E, 0xA5, 1]) + bytes(164) + b"\0"),
        "with a root of 2^62 bytes": wrong(b"\0" + varint(2**62) + b"\0"),
        "with a root that is no CID": wrong(content(Fields(b"\x01\x55\x12\x20abc"))),
        "with a size that is not minimal": wrong(b"\1" + whole[1:at_root] + b"\x80\0" + b"\0"),
        "of size 2^63": wrong(b"\1" + whole[1:at_root] + varint(2**63) + b"\0"),
        "with an empty name": wrong(content(Fields(raw, name=b""))),
        "with a name of 256 bytes": wrong(content(Fields(raw, name=b"n" * 256))),
        "with a name that is not UTF-8": wrong(content(Fields(raw, name=b"\xff"))),
        "with a surrogate in its name": wrong(content(Fields(raw, name=b"\xed\xa0\x80"))),
        "with name .": wrong(content(Fields(raw, name=b"."))),
        "with name ..": wrong(content(Fields(raw, name=b".."))),
        "with a path for a name": wrong(content(Fields(raw, name=b"../../etc/passwd"))),
        "with an absolute name": wrong(content(Fields(raw, name=b"/etc/passwd"))),
        "with a path of Windows for a name": wrong(content(Fields(raw, name=b"..\\x"))),
        "with NUL in its name": wrong(content(Fields(raw, name=b"a\0b"))),
        "with a line end in its name": wrong(content(Fields(raw, name=b"a\nb"))),
        "with an escape in its name": wrong(content(Fields(raw, name=b"\x1b[31mred"))),
        "with a C1 control in its name": wrong(content(Fields(raw, name="a\u009bb".encode()))),
        "with a name that turns its direction": wrong(content(Fields(raw, name="a\u202etxt.exe".encode()))),
        "with a letter of no width in its name": wrong(content(Fields(raw, name="a\u200bb".encode()))),
        "with a line separator in its name": wrong(content(Fields(raw, name="a\u2028b".encode()))),
        "with an empty peer": wrong(content(Fields(raw, peer=b""))),
        "with a peer of another hash": wrong(content(Fields(raw, peer=b"\x1e\x20" + bytes(32)))),
        "with a peer cut short": wrong(content(Fields(raw, peer=hashed[:-1]))),
        "with a peer of 45 bytes": wrong(content(Fields(raw, peer=bytes([0, 43]) + bytes(43)))),
        "with seventeen addresses": wrong(content(Fields(raw, addresses=(four,) * 17))),
        "with more addresses announced": wrong(whole[:at_root] and content(Fields(raw))[:-1] + b"\x01"),
        "with an address of an unknown byte": wrong(content(Fields(raw)) [:-1] + b"\x01\x05" + bytes(6)),
        "with an IPv4 address as text": wrong(content(Fields(raw, addresses=((0, b"/ip4/192.0.2.1/tcp/4001"),)))),
        "with an IPv4 address inside IPv6": wrong(content(Fields(raw, addresses=((6, bytes(10) + b"\xff\xff" + bytes(6)),)))),
        "with a peer at the end of an address": wrong(content(Fields(raw, addresses=((0, b"/ip4/192.0.2.1/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"),)))),
        "with an address that is no multiaddr": wrong(content(Fields(raw, addresses=((0, b"example.com"),)))),
        "with an empty address": wrong(content(Fields(raw, addresses=((0, b""),)))),
        "with an address of 256 bytes": wrong(content(Fields(raw, addresses=((0, b"/" + b"a" * 255),)))),
        "with an escape in an address": wrong(content(Fields(raw, addresses=((0, b"/\x1b[31m"),)))),
        "longer than 2048 characters": wrong(content(Fields(raw, addresses=((0, b"/" + b"a" * 254),) * 5))),
    }  # fmt: skip
    for name, fields in accepted.items():
        assert decode(encode(fields)) == fields, name
        assert decode(encode(fields).upper()) == fields, name
    # The oracle does not look into these.
    beyond = ("CID", "IPv4 address", "root of", "peer at the end")
    for name, refused in broken.items():
        try:
            decode(refused)
        except ValueError:
            continue
        assert any(word in name for word in beyond), f"the oracle takes: {name}"
    return {
        "origin": "tests/reference/ticket.py",
        "accepted": [
            {
                "name": name,
                "ticket": encode(fields),
                "root": fields.root.hex(),
                "size": fields.size,
                "called": None if fields.name is None else fields.name.decode(),
                "peer": None if fields.peer is None else fields.peer.hex(),
                "addresses": [[kind, data.hex()] for kind, data in fields.addresses],
            }
            for name, fields in accepted.items()
        ],
        "refused": [{"name": name, "ticket": refused} for name, refused in broken.items()],
    }


if __name__ == "__main__":
    write_vectors(Path(__file__).parent.parent / "vectors" / "ticket.json", vectors())
