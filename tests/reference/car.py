"""Content archives, slowly: the oracle for `rust/core/src/car`.

Specs: https://ipld.io/specs/transport/car/carv1/ and carv2. An archive in memory goes in, its blocks come
out, and the other way round.

Run as a program it writes `tests/vectors/car.json`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dag_cbor
from dag_cbor import Link, read_cid, read_varint, varint
from dag_json import write_vectors

PRAGMA = bytes.fromhex("0aa16776657273696f6e02")
HEADER_BYTES = 40
SECTION_BYTES_MAX = 2 * 1024 * 1024 + 168
HEADER_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True)
class Archive:
    """What an archive says."""

    version: int
    roots: list[bytes]
    blocks: list[tuple[bytes, bytes]]


def header(roots: list[bytes]) -> bytes:
    """The header of version 1."""
    body = dag_cbor.encode({"roots": [Link(root) for root in roots], "version": 1})
    return varint(len(body)) + body


def section(cid: bytes, data: bytes) -> bytes:
    """One block."""
    return varint(len(cid) + len(data)) + cid + data


def encode_v1(roots: list[bytes], blocks: list[tuple[bytes, bytes]]) -> bytes:
    """A whole archive of version 1."""
    return header(roots) + b"".join(section(cid, data) for cid, data in blocks)


def digest_of(cid: bytes) -> tuple[int, bytes]:
    """Hash code and digest."""
    rest = cid
    if cid[:2] != b"\x12\x20":
        _version, rest = read_varint(rest)
        _codec, rest = read_varint(rest)
    code, rest = read_varint(rest)
    _length, digest = read_varint(rest)
    return code, digest


def index(roots: list[bytes], blocks: list[tuple[bytes, bytes]]) -> bytes:
    """A MultihashIndexSorted: offsets of sections from the start of the version 1 archive, without identity CIDs."""
    offset = len(header(roots))
    codes: dict[int, dict[int, list[bytes]]] = {}
    for cid, data in blocks:
        code, digest = digest_of(cid)
        if code != 0:
            codes.setdefault(code, {}).setdefault(len(digest) + 8, []).append(digest + offset.to_bytes(8, "little"))
        offset += len(section(cid, data))
    out = varint(0x0401) + len(codes).to_bytes(4, "little")
    for code, widths in sorted(codes.items()):
        out += code.to_bytes(8, "little") + len(widths).to_bytes(4, "little")
        for width, entries in sorted(widths.items()):
            out += width.to_bytes(4, "little") + (width * len(entries)).to_bytes(8, "little")
            out += b"".join(sorted(entries, key=lambda entry: entry[:-8]))
    return out


def header_v2(data_offset: int, data_bytes: int, index_offset: int, characteristics: bytes = bytes(16)) -> bytes:
    """Pragma and header of version 2."""
    return PRAGMA + characteristics + b"".join(n.to_bytes(8, "little") for n in (data_offset, data_bytes, index_offset))


def encode_v2(
    roots: list[bytes], blocks: list[tuple[bytes, bytes]], *, with_index: bool = True, padding: int = 0
) -> bytes:
    """A whole archive of version 2, with zeros before and behind the data where asked."""
    data = encode_v1(roots, blocks)
    start = len(PRAGMA) + HEADER_BYTES + padding
    end = start + len(data) + padding
    out = header_v2(start, len(data), end if with_index else 0) + bytes(padding) + data
    return out + bytes(padding) + index(roots, blocks) if with_index else out


def decode(archive: bytes) -> Archive:
    """Reads either version; ValueError for anything that is not a whole archive."""
    if archive.startswith(PRAGMA):
        fields = archive[len(PRAGMA) + 16 : len(PRAGMA) + HEADER_BYTES]
        if len(fields) < 24:
            raise ValueError("truncated")
        start, size, index_at = (int.from_bytes(fields[i : i + 8], "little") for i in (0, 8, 16))
        if start < len(PRAGMA) + HEADER_BYTES or size == 0 or start + size > len(archive):
            raise ValueError("data outside")
        if index_at and not start + size <= index_at < len(archive):
            raise ValueError("index outside")
        inner = decode_v1(archive[start : start + size])
        return Archive(2, inner.roots, inner.blocks)
    return decode_v1(archive)


def decode_v1(archive: bytes) -> Archive:
    """Reads version 1."""
    body, rest = _framed(archive, HEADER_BYTES_MAX)
    head = dag_cbor.decode(body)
    if not isinstance(head, dict) or head.keys() != {"roots", "version"} or head["version"] != 1:
        raise ValueError("not a header")
    if not all(isinstance(root, Link) for root in head["roots"] or []):
        raise ValueError("root is not a link")
    roots = [root.cid for root in head["roots"] or []]
    blocks = []
    while rest:
        body, rest = _framed(rest, SECTION_BYTES_MAX)
        blocks.append(read_cid(body))
    return Archive(1, roots, blocks)


def _framed(data: bytes, bytes_max: int) -> tuple[bytes, bytes]:
    length, rest = read_varint(data)
    if not 0 < length <= min(bytes_max, len(rest)):
        raise ValueError("length")
    return rest[:length], rest[length:]


def cid_v1(codec: int, code: int, digest: bytes) -> bytes:
    """A CIDv1."""
    return varint(1) + varint(codec) + varint(code) + varint(len(digest)) + digest


def raw(data: bytes) -> tuple[bytes, bytes]:
    """A raw block under SHA-256."""
    return cid_v1(0x55, 0x12, hashlib.sha256(data).digest()), data


def vectors() -> dict[str, Any]:
    """Archives and what they say, and archives to refuse; all checked against this oracle."""
    blocks = [raw(bytes([n % 256]) * n) for n in (0, 1, 2, 89, 90, 91, 92, 93, 300)]
    mixed = [
        (b"\x12\x20" + hashlib.sha256(b"\x0a\x00").digest(), b"\x0a\x00"),
        (cid_v1(0x55, 0x00, b"inline"), b"inline"),
        (cid_v1(0x71, 0x13, hashlib.sha512(b"\xf6").digest()), b"\xf6"),
        (cid_v1(0x55, 0x12, hashlib.sha256(b"short").digest()[:20]), b"short"),
        (cid_v1(0x55, 0x00, b""), b""),
        *blocks[:3],
        *blocks[:1],
    ]
    roots = [cid for cid, _ in mixed[:3]]
    first = [blocks[0][0]]
    many = [cid for cid, _ in blocks] * 30
    flags = encode_v2(roots, blocks)
    rubbish = encode_v2(roots, blocks)[: -len(index(roots, blocks))] + b"\xff" * 40
    no_roots_as_null = bytes.fromhex("11a265726f6f7473f66776657273696f6e01")
    accepted = {
        "no blocks": (encode_v1(first, []), Archive(1, first, [])),
        "no roots": (encode_v1([], blocks), Archive(1, [], blocks)),
        "null for no roots": (no_roots_as_null + section(*blocks[1]), Archive(1, [], blocks[1:2])),
        "lengths around a varint's": (encode_v1(first, blocks), Archive(1, first, blocks)),
        "every kind of CID, and one twice": (encode_v1(roots, mixed), Archive(1, roots, mixed)),
        "many roots": (encode_v1(many, blocks[:1]), Archive(1, many, blocks[:1])),
        "version 2": (encode_v2(roots, mixed), Archive(2, roots, mixed)),
        "version 2 without index": (encode_v2(roots, mixed, with_index=False), Archive(2, roots, mixed)),
        "version 2 with padding": (encode_v2(roots, mixed, padding=1413), Archive(2, roots, mixed)),
        "version 2 padded, no index": (encode_v2(roots, mixed, with_index=False, padding=7), Archive(2, roots, mixed)),
        "version 2 with flags": (flags[:11] + b"\x80" + flags[12:], Archive(2, roots, blocks)),
        "version 2 with rubbish for an index": (rubbish, Archive(2, roots, blocks)),
    }
    whole = encode_v1(roots, mixed)
    cid, data = blocks[1]
    v1 = encode_v1([cid], blocks[:2])
    start = len(PRAGMA) + HEADER_BYTES
    broken = {
        "empty": b"",
        "header cut short": whole[:20],
        "section cut short": whole[:-1],
        "section without a CID": header([cid]) + varint(3) + b"\x01\x55\x12",
        "section shorter than its CID": header([cid]) + varint(10) + cid[:10],
        "empty section": v1 + b"\x00",
        "zeros behind the last section": v1 + bytes(64),
        "CIDv0 cut short": header([cid]) + varint(30) + b"\x12\x20" + bytes(28),
        "CID of version 3": header([cid]) + varint(37) + b"\x03" + cid[1:] + data,
        "section of 2^62 bytes": header([cid]) + varint(2**62) + cid,
        "section of 10 varint bytes": header([cid]) + b"\xff" * 9 + b"\x01" + cid,
        "section a byte over the limit": header([cid]) + varint(SECTION_BYTES_MAX + 1) + cid,
        "section length not minimal": header([cid]) + b"\xa5\x80\x00" + cid + data,
        "header of length zero": b"\x00",
        "header of 2^40 bytes": varint(2**40) + b"\xa2\x65roots",
        "header a byte over the limit": varint(HEADER_BYTES_MAX + 1) + b"\xa2\x65roots",
        "header of 2^30 roots": (body := b"\xa2\x65roots\x9a\x40\x00\x00\x00\x67version\x01")
        and varint(len(body)) + body,
        "header without roots": (body := dag_cbor.encode({"version": 1})) and varint(len(body)) + body,
        "header without version": (body := dag_cbor.encode({"roots": []})) and varint(len(body)) + body,
        "header of version 0": (body := dag_cbor.encode({"roots": [], "version": 0})) and varint(len(body)) + body,
        "header of version 3": (body := dag_cbor.encode({"version": 3})) and varint(len(body)) + body,
        "header of version 42": (body := dag_cbor.encode({"version": 42})) and varint(len(body)) + body,
        "header with another key": (body := dag_cbor.encode({"roots": [], "version": 1, "x": 1}))
        and varint(len(body)) + body,
        "header with a root of text": (body := dag_cbor.encode({"roots": ["a"], "version": 1}))
        and varint(len(body)) + body,
        "header with keys out of order": b"\x11\xa2\x67version\x01\x65roots\x80",
        "header with trailing bytes": varint(len(header([])[1:]) + 1) + header([])[1:] + b"\x00",
        "header that is a list": b"\x01\x80",
        "pragma alone": PRAGMA,
        "version 2 header cut short": encode_v2(roots, mixed)[:50],
        "version 2 data cut short": encode_v2(roots, mixed, with_index=False)[:-1],
        "version 2 data inside the header": header_v2(start - 1, len(v1), 0) + v1,
        "version 2 with an empty data": header_v2(start, 0, 0) + v1,
        "version 2 data over 2^64": header_v2(2**63, 2**63, 0) + v1,
        "version 2 data over 2^63": header_v2(start, 2**63 - 1, 0) + v1,
        "version 2 index inside the data": header_v2(start, len(v1), start + 1) + v1 + b"index",
        "version 2 index cut off": header_v2(start, len(v1), start + len(v1)) + v1,
        "version 2 data end inside a section": header_v2(start, len(v1) - 1, 0) + v1,
        "version 2 data end inside a length": header_v2(start, len(v1) + 1, 0) + v1 + b"\x80",
        "version 2 in a version 2": header_v2(start, len(v1) + start, 0) + header_v2(start, len(v1), 0) + v1,
    }
    out_accepted = []
    for name, (archive, told) in accepted.items():
        assert decode(archive) == told, name
        out_accepted.append(
            {
                "name": name,
                "archive": archive.hex(),
                "version": told.version,
                "roots": [root.hex() for root in told.roots],
                "blocks": [{"cid": cid.hex(), "data": data.hex()} for cid, data in told.blocks],
                "index": index(told.roots, told.blocks).hex(),
            }
        )
    for name, archive in broken.items():
        try:
            decode(archive)
        except ValueError:
            continue
        raise AssertionError(f"the oracle takes: {name}")
    return {
        "origin": "tests/reference/car.py",
        "accepted": out_accepted,
        "refused": [{"name": name, "archive": archive.hex()} for name, archive in broken.items()],
    }


if __name__ == "__main__":
    write_vectors(Path(__file__).parent.parent / "vectors" / "car.json", vectors())
