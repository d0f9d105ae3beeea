"""UnixFS, slowly: the oracle for `rust/core/src/unixfs` and the chunkers of Kubo but buzhash.

Files and directories in memory go in, the root's CID comes out. Each function says what a spec or Kubo says in the
plainest way there is: trees by recursion over lists of leaves, tries by grouping names, fingerprints by long division.
Shares nothing with the engine.
Spec: https://specs.ipfs.tech/unixfs/, profiles: https://specs.ipfs.tech/ipips/ipip-0499/.

Run as a program it writes `tests/vectors/unixfs.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import dag_pb
from dag_pb import DAG_PB, RAW, Link

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPE_RAW, TYPE_DIRECTORY, TYPE_FILE, TYPE_SYMLINK, TYPE_SHARD = 0, 1, 2, 4, 5
MURMUR3_X64_64 = 0x22


@dataclass(frozen=True)
class Profile:
    """What decides a CID besides the content. Fields as in the engine."""

    cid_version: int = 1
    hash: str = "sha2-256"
    chunker: str = "size-1048576"
    raw_leaves: bool = True
    layout: str = "balanced"
    file_links_max: int = 1024
    directory_links_max: int = 0
    hamt_fanout: int = 256
    hamt_threshold_bytes: int = 262144
    directory_size: str = "block-bytes"
    inline_bytes_max: int = 0
    data_first: bool = False

    def cid(self, codec: int, block: bytes) -> bytes:
        """Names a block."""
        if self.inline_bytes_max and len(block) <= self.inline_bytes_max:
            return dag_pb.cid_v1(codec, dag_pb.IDENTITY, block)
        if self.hash == "sha2-512":
            return dag_pb.cid_v1(codec, dag_pb.SHA2_512, hashlib.sha512(block).digest())
        digest = hashlib.sha256(block).digest()
        if self.cid_version == 0 and codec == DAG_PB:
            return dag_pb.cid_v0(digest)
        return dag_pb.cid_v1(codec, dag_pb.SHA2_256, digest)


@dataclass(frozen=True)
class Metadata:
    """What is kept of a file's stat."""

    mode: int | None = None
    mtime: tuple[int, int] | None = None

    def encode(self) -> bytes:
        """Fields 7 and 8 of UnixFS's message."""
        out = b""
        if self.mode is not None:
            out += dag_pb.number_field(7, self.mode)
        if self.mtime is not None:
            seconds, nanoseconds = self.mtime
            time = dag_pb.number_field(1, seconds)
            if nanoseconds:
                time += bytes([2 << 3 | 5]) + nanoseconds.to_bytes(4, "little")
            out += dag_pb.bytes_field(8, time)
        return out


NOTHING = Metadata()


@dataclass(frozen=True)
class Child:
    """A finished DAG as its parent links it."""

    cid: bytes
    file_bytes: int
    dag_bytes: int


def finish(profile: Profile, links: list[Link], message: bytes, file_bytes: int) -> Child:
    """A dag-pb node as a child."""
    block = dag_pb.encode(links, message, data_first=profile.data_first)
    return Child(profile.cid(DAG_PB, block), file_bytes, len(block) + sum(link.dag_bytes for link in links))


# Chunkers


def chunks(chunker: str, content: bytes) -> list[bytes]:
    """Cuts `content`; nothing for nothing."""
    name, *numbers = chunker.split("-")
    if name == "size":
        size = int(numbers[0])
        return [content[at : at + size] for at in range(0, len(content), size)]
    assert name == "rabin"
    low, mean, high = (int(number) for number in numbers)
    out = []
    while content:
        length = rabin_length(content, low, mean, high)
        out.append(content[:length])
        content = content[length:]
    return out


POLYNOMIAL = 17437180132763653


def rabin_length(content: bytes, low: int, mean: int, high: int) -> int:
    """Length of the first chunk: the first from `low` on whose last 16 bytes leave a remainder that ends in zeros."""
    for length in range(low, min(high, len(content))):
        remainder = int.from_bytes(content[length - 16 : length])
        while remainder.bit_length() > 53:
            remainder ^= POLYNOMIAL << (remainder.bit_length() - 54)
        if remainder % (1 << (mean.bit_length() - 1)) == 0:
            return length
    return min(high, len(content))


# Files


def file(profile: Profile, content: bytes, metadata: Metadata = NOTHING) -> Child:
    """Adds a file. Its root carries the metadata."""
    if metadata.mode == 0:
        metadata = replace(metadata, mode=None)
    pieces = chunks(profile.chunker, content)
    if profile.layout == "trickle":
        leaves = deque(leaf(profile, TYPE_RAW, piece, NOTHING) for piece in pieces)
        return trickle(profile, leaves, None, metadata)
    if len(pieces) <= 1:
        return leaf(profile, TYPE_FILE, content, metadata)
    nodes = [leaf(profile, TYPE_FILE, piece, NOTHING) for piece in pieces]
    while len(nodes) > 1:
        at_top = len(nodes) <= profile.file_links_max
        groups = [nodes[at : at + profile.file_links_max] for at in range(0, len(nodes), profile.file_links_max)]
        nodes = [node(profile, group, metadata if at_top else NOTHING) for group in groups]
    return nodes[0]


def leaf(profile: Profile, kind: int, piece: bytes, metadata: Metadata) -> Child:
    """A chunk as a block: plain, unless the profile or the metadata forbid it."""
    if profile.raw_leaves and metadata == NOTHING:
        return Child(profile.cid(RAW, piece), len(piece), len(piece))
    message = dag_pb.number_field(1, kind) + (dag_pb.bytes_field(2, piece) if piece else b"")
    message += dag_pb.number_field(3, len(piece)) + metadata.encode()
    return finish(profile, [], message, len(piece))


def node(profile: Profile, children: list[Child], metadata: Metadata) -> Child:
    """An inner node of a file."""
    total = sum(child.file_bytes for child in children)
    message = dag_pb.number_field(1, TYPE_FILE) + dag_pb.number_field(3, total)
    message += b"".join(dag_pb.number_field(4, child.file_bytes) for child in children) + metadata.encode()
    return finish(profile, [Link(child.cid, b"", child.dag_bytes) for child in children], message, total)


def trickle(profile: Profile, leaves: deque[Child], depth_end: int | None, metadata: Metadata) -> Child:
    """A node of its own leaves, then four subtrees of each depth below `depth_end`. Takes the leaves it uses."""
    children = [leaves.popleft() for _ in range(min(len(leaves), profile.file_links_max))]
    depth = 1
    while leaves and (depth_end is None or depth < depth_end):
        children.extend(trickle(profile, leaves, depth, NOTHING) for _ in range(4) if leaves)
        depth += 1
    return node(profile, children, metadata)


# Directories


def symlink(profile: Profile, target: bytes, metadata: Metadata = NOTHING) -> Child:
    """A symbolic link, which keeps no mode."""
    message = (
        dag_pb.number_field(1, TYPE_SYMLINK) + dag_pb.bytes_field(2, target) + replace(metadata, mode=None).encode()
    )
    return finish(profile, [], message, 0)


def directory(profile: Profile, entries: dict[bytes, Child], metadata: Metadata = NOTHING) -> Child:
    """A directory, in one block or sharded."""
    links = [Link(child.cid, name, child.dag_bytes) for name, child in entries.items()]
    message = dag_pb.number_field(1, TYPE_DIRECTORY) + metadata.encode()
    if profile.directory_size == "links-bytes":
        size = sum(len(link.name) + len(link.cid) for link in links)
    else:
        size = len(dag_pb.encode(links, message))
    too_many = 0 < profile.directory_links_max < len(links)
    if 0 < profile.hamt_threshold_bytes < size or too_many:
        return shard(profile, links, 0, metadata)
    return finish(profile, links, message, 0)


def shard(profile: Profile, links: list[Link], depth: int, metadata: Metadata) -> Child:
    """The shard at `depth` of names that share all bits of their hashes above it."""
    fanout = profile.hamt_fanout
    bits = fanout.bit_length() - 1
    slots: dict[int, list[Link]] = {}
    for link in links:
        every_bit = f"{murmur3_x64_64(link.name):064b}"
        slots.setdefault(int(every_bit[depth * bits :][:bits], 2), []).append(link)
    width = len(f"{fanout - 1:X}")
    out = []
    for slot, found in slots.items():
        prefix = f"{slot:0{width}X}".encode()
        if len(found) == 1:
            out.append(replace(found[0], name=prefix + found[0].name))
        else:
            below = shard(profile, found, depth + 1, NOTHING)
            out.append(Link(below.cid, prefix, below.dag_bytes))
    bitfield = sum(1 << slot for slot in slots)
    message = dag_pb.number_field(1, TYPE_SHARD)
    message += dag_pb.bytes_field(2, bitfield.to_bytes((bitfield.bit_length() + 7) // 8))
    message += dag_pb.number_field(5, MURMUR3_X64_64) + dag_pb.number_field(6, fanout) + metadata.encode()
    return finish(profile, out, message, 0)


def murmur3_x64_64(data: bytes) -> int:
    """The first half of MurmurHash3_x64_128 with seed 0 (Austin Appleby, public domain)."""
    mask = (1 << 64) - 1

    def turn(x: int, n: int) -> int:
        return (x << n | x >> (64 - n)) & mask

    def mix(k: int, first: int, n: int, second: int) -> int:
        return turn(k * first & mask, n) * second & mask

    def end(h: int) -> int:
        h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & mask
        h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & mask
        return h ^ h >> 33

    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = 0
    whole = len(data) // 16 * 16
    for at in range(0, len(data), 16):
        k1 = int.from_bytes(data[at : at + 8], "little")
        k2 = int.from_bytes(data[at + 8 : at + 16], "little")
        h1 ^= mix(k1, c1, 31, c2)
        if at < whole:
            h1 = ((turn(h1, 27) + h2) * 5 + 0x52DCE729) & mask
        h2 ^= mix(k2, c2, 33, c1)
        if at < whole:
            h2 = ((turn(h2, 31) + h1) * 5 + 0x38495AB5) & mask
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & mask
    h2 = (h2 + h1) & mask
    return (end(h1) + end(h2)) & mask


# Vectors


def painted(length: int) -> bytes:
    """Bytes that depend on their position: the high bytes of Knuth's MMIX generator, from 1."""
    state = 1
    out = bytearray()
    for _ in range(length):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        out.append(state >> 56)
    return bytes(out)


def changes(profile: Profile) -> dict[str, object]:
    """The fields in which a profile differs from `unixfs-v1-2025`."""
    usual = asdict(Profile())
    return {name: value for name, value in asdict(profile).items() if value != usual[name]}


OLD = Profile(cid_version=0, chunker="size-262144", raw_leaves=False, file_links_max=174, directory_size="links-bytes")
KEPT = [
    NOTHING,
    Metadata(mode=0o644),
    Metadata(mode=0),
    Metadata(mtime=(0, 0)),
    Metadata(mode=0o7777, mtime=(1_700_000_000, 999_999_999)),
    Metadata(mtime=(-1, 1)),
]


def file_profiles() -> Iterator[tuple[Profile, list[int]]]:
    """Profiles for files, each with the lengths to try."""
    small = [*range(14), 26, 27, 28, 29, 54, 80, 81, 82, 242, 243, 244, 300, 729, 730, 1000]
    for links in (2, 3, 7):
        for layout in ("balanced", "trickle"):
            for raw_leaves in (True, False):
                yield Profile(chunker="size-3", file_links_max=links, layout=layout, raw_leaves=raw_leaves), small
    tiny = Profile(chunker="size-3", file_links_max=3)
    yield replace(tiny, layout="trickle", file_links_max=1), small
    yield replace(tiny, cid_version=0), small
    yield replace(tiny, cid_version=0, raw_leaves=False), small
    yield replace(tiny, cid_version=0, raw_leaves=False, inline_bytes_max=11), small
    yield replace(tiny, hash="sha2-512"), small
    yield replace(tiny, data_first=True), small
    for limit in (2, 3, 32, 128):
        yield replace(tiny, inline_bytes_max=limit), small
    for profile, chunk in ((Profile(), 1 << 20), (OLD, 1 << 18)):
        yield profile, [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1]
    for links, profile in ((1024, Profile(chunker="size-2")), (174, replace(OLD, chunker="size-2"))):
        yield profile, [2 * links - 1, 2 * links, 2 * links + 1, 4 * links, 4 * links + 1]
    for numbers in ("16-17-18", "16-32-64", "100-1000-1500", "1000-4096-9000", "16-20000-50000"):
        lengths = [0, 1, 15, 16, 17, 18, 64, 99, 100, 1499, 1500, 1501, 9000, 9001, 100_000]
        yield Profile(chunker=f"rabin-{numbers}"), lengths


def directory_profiles() -> Iterator[tuple[Profile, list[int]]]:
    """Profiles for directories, each with the numbers of entries to try."""
    for base in (Profile(), OLD):
        yield base, [0, 1, 2, 100]
        yield replace(base, hamt_threshold_bytes=1000), [*range(12, 30), 300]
        yield replace(base, directory_links_max=20), [19, 20, 21]
        for fanout in (8, 16, 32, 64, 128, 256, 512, 1024):
            yield replace(base, hamt_threshold_bytes=1, hamt_fanout=fanout), [1, 2, 500]
    yield Profile(hamt_threshold_bytes=1000, inline_bytes_max=40), [10, 20, 30, 60]
    yield Profile(hamt_threshold_bytes=1000, data_first=True), [10, 20, 30]
    yield Profile(hamt_threshold_bytes=1000, hash="sha2-512"), [10, 11, 12, 13]


def example(profile: Profile, count: int, metadata: Metadata) -> Child:
    """A directory of `count` entries: files, symbolic links, and now and then a directory of the entries so far."""
    entries: dict[bytes, Child] = {}
    content = painted(count)
    for i in range(count):
        name = f"entry {i * 7919 % 1000:03}".encode()
        if i % 11 == 10:
            entries[name] = directory(profile, dict(entries), metadata)
        elif i % 7 == 6:
            entries[name] = symlink(profile, f"entry {i}".encode(), metadata)
        else:
            entries[name] = file(profile, content[:i], metadata)
    return directory(profile, entries, metadata)


def vectors() -> dict[str, object]:
    """All of `tests/vectors/unixfs.json`."""
    content = painted(1 << 22)
    files = []
    for profile, lengths in file_profiles():
        is_small = max(lengths) <= 1000 and not profile.raw_leaves
        for kept in KEPT if is_small else KEPT[:1]:
            cids = {str(n): dag_pb.text(file(profile, content[:n], kept).cid) for n in lengths}
            files.append({"profile": changes(profile), "metadata": asdict(kept), "cids": cids})
    directories = []
    for profile, counts in directory_profiles():
        for kept in (KEPT[0], KEPT[2], KEPT[4]):
            cids = {str(n): dag_pb.text(example(profile, n, kept).cid) for n in counts}
            directories.append({"profile": changes(profile), "metadata": asdict(kept), "cids": cids})
    return {
        "origin": "tests/reference/unixfs.py",
        "files": files,
        "directories": directories,
    }


def main() -> None:
    """Writes the vectors, one case a line."""
    target = Path(__file__).parent.parent / "vectors" / "unixfs.json"
    found = vectors()
    with target.open("w", encoding="ascii") as out:
        out.write("{\n")
        for key, value in found.items():
            if isinstance(value, list):
                lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in value)
                out.write(f'"{key}": [\n{lines}\n]{"" if key == "directories" else ","}\n')
            else:
                out.write(f"{json.dumps(key)}: {json.dumps(value)},\n")
        out.write("}\n")


if __name__ == "__main__":
    main()
