"""A CAR of a path: the blocks that prove the path, then those under its end, depth first. Read from the store as it is sent.

The one rule: a block that is missing or damaged ends the CAR with an error, so that the connection is cut and nobody takes it for whole.
Sources: the trustless gateway specification, IPIP-402, IPIP-412; sections as in `docs/formats/car.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal import CID, dag_decode, dag_encode
from shoal.errors import InvalidInput, NotFound
from shoal.http.unixfs import DAG_PB, RAW, Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shoal import Block
    from shoal.http.limits import Limits
    from shoal.http.negotiate import CarForm
    from shoal.store import Store

__all__ = ["car_buffers", "path_blocks"]

_IDENTITY = 0
_LEAVES_AHEAD = 8
"""Leaves read side by side: their hashing takes all processors, and with blocks of 1 MiB it is 8 MiB of mapped memory."""
_CODECS = {0x71: "dag-cbor", 0x0129: "dag-json"}
_GATHER_BYTES = 8192
"""Blocks up to this size are joined to one buffer with what is before them."""


def path_blocks(store: Store, root: CID, names: Iterable[str], limits: Limits) -> list[CID]:
    """The blocks that a path leads through, its end left out: directories, their shards, and blocks of linked objects."""
    found: list[CID] = []
    cid = root
    pending: list[str] = []
    for name in names:
        pending.append(name)
        below, rest = store.dag.resolve(_path(cid, pending))
        if rest:
            continue
        found.append(cid)
        if cid.codec_code == DAG_PB:
            found += _shards_to(store, cid, name, limits)
        cid, pending = below, []
    return found


def _path(cid: CID, names: list[str]) -> str:
    return "/".join([str(cid), *names])


def _shards_to(store: Store, directory: CID, name: str, limits: Limits) -> list[CID]:
    found: list[CID] = []
    node = Node.decode(store.get_block(directory))
    for depth in range(limits.depth_max):
        if not node.is_shard:
            break
        shard = node.shard_of(name, depth)
        if shard is None:
            break
        found.append(shard)
        node = Node.decode(store.get_block(shard))
    return found


def car_buffers(
    store: Store, before: list[CID], end: CID, form: CarForm, limits: Limits
) -> Iterator[bytes | memoryview]:
    """The CAR, as buffers. `before` are the path's blocks, `end` is what it leads to."""
    yield _header(end)
    yield from _gathered(_blocks(store, before, end, form, limits))


def _blocks(store: Store, before: list[CID], end: CID, form: CarForm, limits: Limits) -> Iterator[Block]:
    seen = None if form.duplicates else _Seen(limits.car_seen_max)
    for cid in before:
        if _is_sent(cid, seen):
            yield store.get_block(cid)
    # Those walked with all that is below them: without duplicates, nothing is walked so twice, however many paths lead to it.
    walked: set[bytes] = set()
    # What is still to be sent, the next one last: a CID, the bytes of the file that are wanted below it, and its depth.
    waiting: list[tuple[CID, tuple[int, int] | None, int]] = [(end, None, 0)]
    while waiting:
        cid, span, depth = waiting.pop()
        if depth > limits.depth_max:
            raise InvalidInput(f"the DAG is deeper than {limits.depth_max} levels")
        if cid.codec_code == RAW:
            yield from _leaves(store, cid, waiting, seen)
            continue
        if seen is not None and span is None:
            key = bytes(cid)
            if key in walked:
                continue
            walked.add(key)
        block = store.get_block(cid)
        if _is_sent(cid, seen):
            yield block
        below = _below(block, form, span, is_end=depth == 0)
        waiting += [(link, part, depth + 1) for link, part in reversed(below)]


def _leaves(
    store: Store, first: CID, waiting: list[tuple[CID, tuple[int, int] | None, int]], seen: _Seen | None
) -> Iterator[Block]:
    """A raw block, and those that follow it at once."""
    wanted = [first] if _is_sent(first, seen) else []
    while waiting and len(wanted) < _LEAVES_AHEAD and waiting[-1][0].codec_code == RAW:
        cid = waiting.pop()[0]
        if _is_sent(cid, seen):
            wanted.append(cid)
    try:
        blocks = store.get_many(wanted)
    except NotFound:
        # Those before the missing one are sent, so that the client has what there is.
        for cid in wanted:
            yield store.get_block(cid)
        raise
    yield from blocks


class _Seen:
    """The CIDs that were sent."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._cids: set[bytes] = set()

    def add(self, cid: CID) -> bool:
        """Whether it is new."""
        key = bytes(cid)
        if key in self._cids:
            return False
        if len(self._cids) >= self._most:
            raise InvalidInput(f"a CAR without duplicates has at most {self._most} blocks here: ask for dups=y")
        self._cids.add(key)
        return True


def _is_sent(cid: CID, seen: _Seen | None) -> bool:
    """Whether it is to be sent. Identity CIDs have their block in them already."""
    return cid.hash_code != _IDENTITY and (seen is None or seen.add(cid))


def _below(
    block: Block, form: CarForm, span: tuple[int, int] | None, *, is_end: bool
) -> list[tuple[CID, tuple[int, int] | None]]:
    """The links to follow from a block, each with the part of the file that is wanted below it (None for all)."""
    code = block.cid.codec_code
    if form.scope == "block" or code == RAW:
        return []
    if code != DAG_PB:
        name = _CODECS.get(code)
        return [(cid, None) for cid in _links(dag_decode(name, block))] if form.scope == "all" and name else []
    node = Node.decode(block)
    if form.scope == "all":
        return [(cid, None) for _, cid in node.links]
    if node.is_shard:
        return [(cid, None) for cid in node.shards()]
    if not node.is_file:
        return []
    if is_end and form.entity is not None:
        span = _span(form.entity, node.bytes)
        if span is None:
            return []
    if span is None:
        return [(cid, None) for _, cid in node.links]
    first, stop = span
    return [
        (cid, None if first <= start and end <= stop else (max(first, start) - start, min(stop, end) - start))
        for start, end, cid in node.parts()
        if start < stop and first < end
    ]


def _span(entity: tuple[int, int | None], size: int) -> tuple[int, int] | None:
    """The bytes of a file that entity-bytes means: first, behind the last; None where that is nothing."""
    first, last = entity
    first = max(0, first + size) if first < 0 else first
    stop = size if last is None else min(size, (last + size if last < 0 else last) + 1)
    return (first, stop) if first < stop else None


def _links(value: object) -> Iterator[CID]:
    """The links of an object, in its order. The decoder has bounded its depth."""
    if isinstance(value, CID):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _links(item)
    elif isinstance(value, list):
        for item in value:
            yield from _links(item)


def _header(root: CID) -> bytes:
    header = dag_encode("dag-cbor", {"roots": [root], "version": 1})
    return _varint(len(header)) + header


def _gathered(blocks: Iterable[Block]) -> Iterator[bytes | memoryview]:
    """Sections: small blocks joined, large ones as they are."""
    held = bytearray()
    for block in blocks:
        name = bytes(block.cid)
        held += _varint(len(name) + len(block))
        held += name
        if len(block) <= _GATHER_BYTES:
            held += block
            if len(held) < _GATHER_BYTES:
                continue
        if held:
            yield bytes(held)
            held.clear()
        if len(block) > _GATHER_BYTES:
            yield memoryview(block)
    if held:
        yield bytes(held)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
