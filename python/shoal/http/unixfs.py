"""What a CAR needs to know of UnixFS nodes: their kind, which links cover which bytes, and the shards on the way to a name. Pure.

Reading files and directories is the store's business; this here only says which blocks prove what it reads.
Sources: <https://specs.ipfs.tech/unixfs/>, MurmurHash3 (Austin Appleby, public domain).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shoal import dag_decode
from shoal.errors import InvalidInput

if TYPE_CHECKING:
    from shoal import CID

__all__ = ["DAG_PB", "RAW", "Node", "murmur3_x64_64"]

RAW, DAG_PB = 0x55, 0x70
_FILE, _RAW_NODE, _DIRECTORY, _SHARD = 2, 0, 1, 5
_FANOUT_MAX = 1024


@dataclass(frozen=True)
class Node:
    """A dag-pb block that was read."""

    links: tuple[tuple[str, CID], ...]
    """Names and CIDs, in the block's order."""
    kind: int | None
    """UnixFS's number of its type; None where it is no UnixFS."""
    sizes: tuple[int, ...] = ()
    """Bytes of the file under each link."""
    own_bytes: int = 0
    """Bytes of the file in the node itself, before all links."""
    fanout: int = field(default=0)

    @staticmethod
    def decode(block: Any) -> Node:
        """Raises `InvalidInput` for what is not dag-pb."""
        value = dag_decode("dag-pb", block)
        links = tuple((link.get("Name") or "", link["Hash"]) for link in value["Links"])
        data = value.get("Data")
        if data is None:
            return Node(links, None)
        try:
            numbers, own = _fields(data)
        except ValueError:
            return Node(links, None)
        kinds = numbers.get(1, [])
        return Node(links, kinds[-1] if kinds else None, tuple(numbers.get(4, ())), own, (numbers.get(6) or [0])[-1])

    @property
    def is_file(self) -> bool:
        return self.kind in {_FILE, _RAW_NODE}

    @property
    def is_directory(self) -> bool:
        return self.kind == _DIRECTORY

    @property
    def is_shard(self) -> bool:
        return self.kind == _SHARD

    def shards(self) -> list[CID]:
        """Links to more of the same sharded directory: their names are nothing but a place."""
        width = self._width()
        return [cid for name, cid in self.links if len(name.encode("utf-8", "surrogateescape")) == width]

    def parts(self) -> list[tuple[int, int, CID]]:
        """Links with the bytes that they cover: first, behind the last. Raises `InvalidInput` where the node does not say."""
        if len(self.sizes) != len(self.links):
            raise InvalidInput("a file's node has not one size for each link")
        found: list[tuple[int, int, CID]] = []
        at = self.own_bytes
        for size, (_, cid) in zip(self.sizes, self.links, strict=True):
            found.append((at, at + size, cid))
            at += size
        return found

    @property
    def bytes(self) -> int:
        """Of the file, by the node's word."""
        return self.own_bytes + sum(self.sizes)

    def shard_of(self, name: str, depth: int) -> CID | None:
        """The shard one level down in which `name` is looked up, where this one has it not itself. `depth` counts from 0."""
        width = self._width()
        bits = self.fanout.bit_length() - 1
        if (depth + 1) * bits > 64:
            return None
        hashed = murmur3_x64_64(name.encode("utf-8", "surrogateescape"))
        # The hash is taken big-endian, its highest bits first.
        slot = hashed >> (64 - (depth + 1) * bits) & (self.fanout - 1)
        place = f"{slot:0{width}X}"
        return next((cid for found, cid in self.links if found == place), None)

    def _width(self) -> int:
        if not 8 <= self.fanout <= _FANOUT_MAX or self.fanout & (self.fanout - 1):
            raise InvalidInput("a sharded directory's fanout is a power of two from 8 to 1024")
        return len(f"{self.fanout - 1:X}")


def _fields(data: bytes) -> tuple[dict[int, list[int]], int]:
    """The numbers of a protobuf message by field, and the length of field 2. ValueError for what is none."""
    numbers: dict[int, list[int]] = {}
    own = 0
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
            numbers.setdefault(key >> 3, []).append(value)
        elif key & 7 == 2:
            length, at = _varint(data, at)
            if length > len(data) - at:
                raise ValueError("cut short")
            if key >> 3 == 2:
                own = length
            elif key >> 3 == 4:
                # The sizes, packed.
                end = at + length
                inner = at
                while inner < end:
                    value, inner = _varint(data, inner)
                    numbers.setdefault(4, []).append(value)
            at += length
        elif key & 7 in {1, 5}:
            at += 8 if key & 7 == 1 else 4
        else:
            raise ValueError("no field")
    return numbers, own


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            raise ValueError("cut short")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
    raise ValueError("a number is too long")


_MASK = (1 << 64) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


def murmur3_x64_64(data: bytes) -> int:
    """The first half of MurmurHash3_x64_128 with seed 0, as directories use it."""
    h1 = h2 = 0
    for at in range(0, len(data), 16):
        k1 = int.from_bytes(data[at : at + 8], "little")
        k2 = int.from_bytes(data[at + 8 : at + 16], "little")
        is_whole = at + 16 <= len(data)
        h1 ^= _turned(k1 * _C1 & _MASK, 31) * _C2 & _MASK
        if is_whole:
            h1 = ((_turned(h1, 27) + h2) * 5 + 0x52DCE729) & _MASK
        h2 ^= _turned(k2 * _C2 & _MASK, 33) * _C1 & _MASK
        if is_whole:
            h2 = ((_turned(h2, 31) + h1) * 5 + 0x38495AB5) & _MASK
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    return (_ended(h1) + _ended(h2)) & _MASK


def _turned(x: int, n: int) -> int:
    return (x << n | x >> (64 - n)) & _MASK


def _ended(h: int) -> int:
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & _MASK
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return h ^ h >> 33
