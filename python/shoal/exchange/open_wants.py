"""Blocks to ask for that no peer was asked for yet: taken in reading order, or the rarest of a few drawn by a seed.

A heap in reading order whose list is also what is drawn from. What leaves it stays in the list, marked, until it comes to
the top or half of the list is such.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from shoal.exchange.limits import SAMPLE_WANTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from shoal._core import CID
    from shoal.exchange.frontier import Path
    from shoal.exchange.message import Link, Peer


class Want:
    """A block that is lacking: who is asked for it, who has it, who lacks it."""

    __slots__ = (
        "asked",
        "cid",
        "holders",
        "is_leaf",
        "is_listed",
        "is_open",
        "is_shown",
        "lacked_since",
        "lackers",
        "path",
        "shown_at",
        "size",
    )

    def __init__(self, path: Path, link: Link) -> None:
        self.cid: CID = link.cid
        self.path = path
        self.size = link.size
        self.is_leaf = link.is_leaf
        self.is_open = False
        """It is open: nobody is asked for it."""
        self.is_listed = False
        """The list holds it, open or not."""
        self.asked: Peer | None = None
        self.holders: dict[Peer, None] | None = None
        self.lackers: dict[Peer, None] | None = None
        self.lacked_since: float | None = None
        self.is_shown = False
        """A peer was asked whether it has it, and has not denied it."""
        self.shown_at = 0.0


class OpenWants:
    """The open wants."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._heap: list[tuple[Path, Want]] = []
        self._open = 0

    def __len__(self) -> int:
        return self._open

    def __iter__(self) -> Iterator[Want]:
        return (want for _, want in self._heap if want.is_open)

    def add(self, want: Want) -> None:
        """Opens a want."""
        if not want.is_open:
            want.is_open = True
            self._open += 1
            if not want.is_listed:
                want.is_listed = True
                heapq.heappush(self._heap, (want.path, want))

    def remove(self, want: Want) -> None:
        """Closes a want, if it is open."""
        if want.is_open:
            want.is_open = False
            self._open -= 1
            if len(self._heap) > 2 * self._open + SAMPLE_WANTS:
                self._drop_closed()

    def first_for(self, peer: Peer) -> Want | None:
        """The first in reading order that the peer is not known to lack."""
        heap = self._heap
        while heap and not heap[0][1].is_open:
            heapq.heappop(heap)[1].is_listed = False
        if not heap:
            return None
        want = heap[0][1]
        if not want.lackers or peer not in want.lackers:
            return want
        # Behind the first, the list is only nearly in order: near enough for what a peer lacks now and then.
        return next((want for want in self if not want.lackers or peer not in want.lackers), None)

    def rarest_for(self, peer: Peer) -> Want | None:
        """One that the fewest are known to have, of some drawn."""
        heap = self._heap
        rarest: Want | None = None
        holders = 0
        for _ in range(SAMPLE_WANTS if heap else 0):
            want = heap[int(self._dice.random() * len(heap))][1]
            if want.is_open and not (want.lackers and peer in want.lackers):
                count = len(want.holders) if want.holders else 0
                if rarest is None or count < holders:
                    rarest, holders = want, count
        return rarest or self.first_for(peer)

    def _drop_closed(self) -> None:
        for _, want in self._heap:
            want.is_listed = want.is_open
        self._heap = [entry for entry in self._heap if entry[1].is_open]
        heapq.heapify(self._heap)
