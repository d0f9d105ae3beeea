"""DAG-CBOR, slowly: the oracle for `rust/core/src/dag/cbor.rs`.

Spec: https://ipld.io/specs/codecs/dag-cbor/spec/ and RFC 8949. Plain and readable; nothing here is fast, and
nothing is shared with the engine. Values are None, bool, int, float, str, bytes, list, dict and `Link`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

DEPTH_MAX = 128


@dataclass(frozen=True)
class Link:
    """A link: the binary CID it points with."""

    cid: bytes


def head(major: int, argument: int) -> bytes:
    """An item's first bytes in their shortest form."""
    if argument < 24:
        return bytes([major << 5 | argument])
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (8 * width):
            return bytes([major << 5 | info]) + argument.to_bytes(width, "big")
    raise ValueError("integer out of range")


def encode(value: Any, depth: int = 0) -> bytes:
    """The one canonical encoding."""
    if isinstance(value, list | dict) and depth == DEPTH_MAX:
        raise ValueError("too deep")
    match value:
        case None:
            return b"\xf6"
        case bool():
            return b"\xf5" if value else b"\xf4"
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case float():
            if not math.isfinite(value):
                raise ValueError("not finite")
            return b"\xfb" + struct.pack(">d", value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
        case list():
            return head(4, len(value)) + b"".join(encode(item, depth + 1) for item in value)
        case dict():
            # Sorting whole encoded keys is sorting by length, then bytes: the length stands first.
            entries = sorted((encode(key), encode(item, depth + 1)) for key, item in value.items())
            return head(5, len(value)) + b"".join(key + item for key, item in entries)
        case Link():
            return b"\xd8\x2a" + encode(b"\x00" + value.cid)
    raise TypeError(f"{type(value)} is not in the data model")


def decode(block: bytes) -> Any:
    """The value of a canonical block; ValueError for anything else."""
    value, rest = _read(block, 0)
    if rest:
        raise ValueError("trailing bytes")
    # The definition of canonical: there is no other block of this value.
    if encode(value) != block:
        raise ValueError("not canonical")
    return value


def _take(block: bytes, count: int) -> tuple[bytes, bytes]:
    if count > len(block):
        raise ValueError("truncated")
    return block[:count], block[count:]


def _read(block: bytes, depth: int) -> tuple[Any, bytes]:
    first, rest = _take(block, 1)
    major, info = first[0] >> 5, first[0] & 31
    if info >= 28:
        raise ValueError("indefinite or reserved")
    argument = info
    if info >= 24:
        raw, rest = _take(rest, 1 << (info - 24))
        argument = int.from_bytes(raw, "big")
    if major in (4, 5) and depth == DEPTH_MAX:
        raise ValueError("too deep")
    match major:
        case 0:
            return argument, rest
        case 1:
            return -1 - argument, rest
        case 2:
            return _take(rest, argument)
        case 3:
            raw, rest = _take(rest, argument)
            return raw.decode("utf-8", "strict"), rest
        case 4:
            items = []
            for _ in range(argument):
                item, rest = _read(rest, depth + 1)
                items.append(item)
            return items, rest
        case 5:
            entries: dict[str, Any] = {}
            for _ in range(argument):
                key, rest = _read(rest, depth + 1)
                item, rest = _read(rest, depth + 1)
                if not isinstance(key, str) or key in entries:
                    raise ValueError("key is not text, or repeated")
                entries[key] = item
            return entries, rest
        case 6:
            item, rest = _read(rest, DEPTH_MAX)
            if argument != 42 or not isinstance(item, bytes) or item[:1] != b"\x00":
                raise ValueError("not a link")
            check_cid(item[1:])
            return Link(item[1:]), rest
    match info:
        case 20 | 21:
            return info == 21, rest
        case 22:
            return None, rest
        case 27:
            return struct.unpack(">d", raw)[0], rest
    raise ValueError("simple value")


def varint(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes) -> tuple[int, bytes]:
    """A varint of at most 9 bytes in its shortest form, and what follows it."""
    value = 0
    for i, byte in enumerate(data[:9]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            if varint(value) != data[: i + 1]:
                raise ValueError("varint is not minimal")
            return value, data[i + 1 :]
    raise ValueError("varint is cut short or too long")


def read_cid(data: bytes) -> tuple[bytes, bytes]:
    """The CID at the front of `data`, and what follows it."""
    if data[:2] == b"\x12\x20":
        return _take(data, 34)
    version, rest = read_varint(data)
    _codec, rest = read_varint(rest)
    code, rest = read_varint(rest)
    length, rest = read_varint(rest)
    longest = {0x00: 128, 0x1E: 128, 0x12: 32}.get(code, 64)
    if version != 1 or not (0 if code == 0 else 20) <= length <= longest:
        raise ValueError("not a CID")
    _digest, rest = _take(rest, length)
    return _take(data, len(data) - len(rest))


def check_cid(cid: bytes) -> None:
    """ValueError unless `cid` is exactly one CID."""
    if read_cid(cid)[1]:
        raise ValueError("bytes after the CID")
