"""dag-pb and CIDs, slowly: the oracle for `rust/core/src/dag/pb.rs`.

Spec: https://ipld.io/specs/codecs/dag-pb/spec/. Plain and readable; nothing here is fast, and nothing
is shared with the engine.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

RAW = 0x55
DAG_PB = 0x70
IDENTITY = 0x00
SHA2_256 = 0x12
SHA2_512 = 0x13

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def varint(value: int) -> bytes:
    """LEB128; negative numbers as the 64-bit two's complement that protobuf makes of them."""
    value %= 1 << 64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number_field(number: int, value: int) -> bytes:
    """A protobuf field of wire type 0."""
    return varint(number << 3) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A protobuf field of wire type 2."""
    return varint(number << 3 | 2) + varint(len(value)) + value


@dataclass(frozen=True)
class Link:
    """A link of a node; `dag_bytes` is Tsize."""

    cid: bytes
    name: bytes
    dag_bytes: int

    def encode(self) -> bytes:
        """The link as a field of its node."""
        return bytes_field(2, bytes_field(1, self.cid) + bytes_field(2, self.name) + number_field(3, self.dag_bytes))


def encode(links: list[Link], data: bytes, *, data_first: bool = False) -> bytes:
    """A node: links by name, then data, or the other way round."""
    encoded = b"".join(link.encode() for link in sorted(links, key=lambda link: link.name))
    field = bytes_field(1, data)
    return field + encoded if data_first else encoded + field


def cid_v0(digest: bytes) -> bytes:
    """The binary CIDv0 of a SHA-256 digest: a bare multihash."""
    return bytes([SHA2_256, 32]) + digest


def cid_v1(codec: int, hash_code: int, digest: bytes) -> bytes:
    """The binary CIDv1."""
    return varint(1) + varint(codec) + varint(hash_code) + varint(len(digest)) + digest


def text(cid: bytes) -> str:
    """The usual text of a binary CID: base58btc for CIDv0, else multibase base32."""
    if cid[0] == 1:
        return "b" + base64.b32encode(cid).decode().lower().rstrip("=")
    value = int.from_bytes(cid)
    out = ""
    while value:
        value, digit = divmod(value, 58)
        out = BASE58[digit] + out
    return out
