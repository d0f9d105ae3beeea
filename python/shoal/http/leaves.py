"""The leaves of a file, several at a time, for a reader that takes them as fast as they come.

A hash that is one long chain, as SHA-256, is checked many blocks side by side, or three times slower. So a fast reader's file is
read ahead by some leaves, where they stand in the packs; a slow reader's never is, for each of two thousand would hold them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.http.unixfs import RAW, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal import CID, Block
    from shoal.store import Store

__all__ = ["Leaves", "NotPlain"]

_AHEAD_PIECES = 8
"""Read ahead, in pieces of the size asked for: pieces share `Limits.in_flight_bytes`, so what all readers hold of the packs' mapped
memory is bounded by eight times that. Eight blocks fill a vector of SHA-256 lanes on most machines."""
_AHEAD_BLOCKS = 64
_DEPTH_MAX = 128


class NotPlain(Exception):
    """A file of another shape than nodes above raw leaves. It is read in the ordinary way."""


class Leaves:
    """The bytes of a file from `start` to `stop`, whose leaves are raw blocks."""

    def __init__(self, store: Store, root: CID, start: int, stop: int) -> None:
        self._store = store
        self._at, self._stop = start, stop
        self._found = _leaves(store, root, start, stop)
        # Read, and not given out yet: where each begins, and its block. The next one last.
        self._held: list[tuple[int, Block]] = []

    def read(self, most: int) -> bytes:
        """The next bytes, of one leaf at most. Raises `NotPlain`, and what the store raises."""
        if not self._held:
            self._fill(_AHEAD_PIECES * most)
        begin, block = self._held[-1]
        view = memoryview(block)
        end = min(begin + len(view), self._stop)
        piece = bytes(view[self._at - begin : min(end, self._at + most) - begin])
        self._at += len(piece)
        if self._at >= end:
            self._held.pop()
        return piece

    def _fill(self, most: int) -> None:
        wanted: list[tuple[CID, int, int]] = []
        size = 0
        for leaf in self._found:
            wanted.append(leaf)
            size += leaf[2] - leaf[1]
            if size >= most or len(wanted) >= _AHEAD_BLOCKS:
                break
        blocks = self._store.get_many([cid for cid, _, _ in wanted])
        at = self._at
        for (_, begin, end), block in zip(wanted, blocks, strict=True):
            # Nodes that lie about their leaves, or leave something out: not for this way of reading.
            if len(block) != end - begin or not begin <= at < end:
                raise NotPlain
            at = end
        if not wanted:
            raise NotPlain
        self._held = [(begin, block) for (_, begin, _), block in zip(wanted, blocks, strict=True)][::-1]


def _leaves(store: Store, root: CID, start: int, stop: int) -> Iterator[tuple[CID, int, int]]:
    """The raw blocks that have bytes between two places, with where each begins and ends."""
    waiting = [(root, 0, stop, 0)]
    while waiting:
        cid, begin, end, depth = waiting.pop()
        if cid.codec_code == RAW:
            yield cid, begin, end
            continue
        node = Node.decode(store.get_block(cid))
        if not node.is_file or node.own_bytes or depth > _DEPTH_MAX:
            raise NotPlain
        inside = [
            (child, begin + first, begin + last, depth + 1)
            for first, last, child in node.parts()
            if first < last and start < begin + last and begin + first < stop
        ]
        waiting += inside[::-1]
