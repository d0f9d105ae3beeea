"""Directories from the CIDs of what is in them: the blocks that the store itself would make of such a folder on disk.

The store makes directories from folders; what comes over a wire is no folder. The rules are docs/formats/profiles.md's, and a test
holds this file to the store's own CIDs. Source: <https://specs.ipfs.tech/unixfs/>.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shoal import CID
from shoal.http.unixfs import murmur3_x64_64

if TYPE_CHECKING:
    from shoal import Profile

    Block = tuple[CID, bytes]

__all__ = ["Child", "Meta", "directory", "symlink"]

_DIRECTORY, _SYMLINK, _SHARD = 1, 4, 5
_MURMUR3 = 0x22
_HASH_BITS = 64


@dataclass(frozen=True)
class Child:
    """What a directory links: a root, and the size of its DAG."""

    cid: CID
    dag_bytes: int


@dataclass(frozen=True)
class Meta:
    """Permission bits and modification time, where they are kept."""

    mode: int | None = None
    mtime: tuple[int, int] | None = None
    """Seconds since 1970, and nanoseconds."""

    def fields(self) -> bytes:
        """As UnixFS fields 7 and 8."""
        found = b"" if self.mode is None else b"\x38" + _varint(self.mode)
        if self.mtime is not None:
            seconds, nanoseconds = self.mtime
            inner = b"\x08" + _varint(seconds & (1 << 64) - 1)
            if nanoseconds:
                inner += b"\x15" + nanoseconds.to_bytes(4, "little")
            found += _field(0x42, inner)
        return found


@dataclass
class _Made:
    """Blocks, in the order in which they were made."""

    profile: Profile
    blocks: list[Block] = field(default_factory=list)

    def node(self, links: list[tuple[str, Child]], data: bytes) -> Child:
        block = b"".join(_field(0x12, _link(name, child)) for name, child in links) + _field(0x0A, data)
        profile = self.profile
        is_inline = len(block) <= profile.inline_bytes_max
        cid = CID.of(block, codec="dag-pb", hash="identity" if is_inline else profile.hash)
        if profile.cid_version == 0 and not is_inline:
            cid = cid.to_v0()
        if not is_inline:
            self.blocks.append((cid, block))
        return Child(cid, len(block) + sum(child.dag_bytes for _, child in links))


def symlink(profile: Profile, target: bytes, meta: Meta) -> tuple[Child, list[Block]]:
    """A symbolic link, and its block. A link has a time and no mode of its own."""
    made = _Made(profile)
    data = b"\x08" + _varint(_SYMLINK) + _field(0x12, target) + Meta(None, meta.mtime).fields()
    return made.node([], data), made.blocks


def directory(profile: Profile, entries: dict[str, Child], meta: Meta) -> tuple[Child, list[Block]]:
    """A directory, sharded where the profile says so, and its blocks, the root last. Names are as `os.fsdecode` makes them."""
    made = _Made(profile)
    if _is_sharded(profile, entries, meta):
        return _sharded(made, entries, meta), made.blocks
    links = sorted(entries.items(), key=lambda entry: _bytes(entry[0]))
    return made.node(links, b"\x08" + _varint(_DIRECTORY) + meta.fields()), made.blocks


def _is_sharded(profile: Profile, entries: dict[str, Child], meta: Meta) -> bool:
    if 0 < profile.directory_links_max < len(entries):
        return True
    threshold = profile.hamt_threshold_bytes
    by_links = sum(len(_bytes(name)) + len(bytes(child.cid)) for name, child in entries.items())
    if profile.directory_size == "links-bytes":
        return 0 < threshold < by_links
    # Each link has at most 40 bytes beside its name and CID: far below the threshold nothing need be built to know.
    if threshold <= 0 or by_links + 40 * len(entries) + 64 <= threshold:
        return False
    block = len(_field(0x0A, b"\x08\x01" + meta.fields()))
    return block + sum(len(_field(0x12, _link(name, child))) for name, child in entries.items()) > threshold


def _sharded(made: _Made, entries: dict[str, Child], meta: Meta) -> Child:
    hashed = [(murmur3_x64_64(_bytes(name)), name, child) for name, child in entries.items()]
    hashed.sort(key=lambda entry: (entry[0], _bytes(entry[1])))
    return _shard(made, hashed, 0, meta)


def _shard(made: _Made, hashed: list[tuple[int, str, Child]], depth: int, meta: Meta) -> Child:
    fanout = made.profile.hamt_fanout
    bits = fanout.bit_length() - 1
    if (depth + 1) * bits > _HASH_BITS:
        raise ValueError("the hashes of two names are the same")
    shift = _HASH_BITS - (depth + 1) * bits
    width = len(f"{fanout - 1:X}")
    slots: dict[int, list[tuple[int, str, Child]]] = {}
    for entry in hashed:
        slots.setdefault(entry[0] >> shift & fanout - 1, []).append(entry)
    links: list[tuple[str, Child]] = []
    field_bits = 0
    for slot, inside in sorted(slots.items()):
        field_bits |= 1 << slot
        place = f"{slot:0{width}X}"
        if len(inside) == 1:
            links.append((place + inside[0][1], inside[0][2]))
        else:
            links.append((place, _shard(made, inside, depth + 1, Meta())))
    bitfield = field_bits.to_bytes((field_bits.bit_length() + 7) // 8, "big")
    data = b"\x08" + _varint(_SHARD) + _field(0x12, bitfield)
    data += b"\x28" + _varint(_MURMUR3) + b"\x30" + _varint(fanout) + meta.fields()
    return made.node(links, data)


def _link(name: str, child: Child) -> bytes:
    """A link of dag-pb. Not by `dag_encode`, which takes text only: names of files are bytes."""
    return _field(0x0A, bytes(child.cid)) + _field(0x12, _bytes(name)) + b"\x18" + _varint(child.dag_bytes)


def _field(key: int, data: bytes) -> bytes:
    return bytes((key,)) + _varint(len(data)) + data


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
