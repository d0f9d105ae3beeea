"""The edge of what is known of a DAG: the blocks that are lacking, in reading order, as far as their parents are here.

A block whose links are not known yet is passed: what comes behind it is handed out meanwhile, and its own links take
their place before those when they come. Memory is bounded by links: the furthest lists are forgotten, and asked for again
(`walks`) when their turn comes. What was stored long after its list was read is not asked for again: old lists are read anew.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, TypeAlias

from shoal.exchange.limits import ARRIVED_MAX, DAG_DEPTH_MAX, LINKS_MAX, WALKED_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shoal._core import CID
    from shoal.exchange.message import Link

Path: TypeAlias = tuple[int, ...]
"""Where a block is in reading order: the number of each link on the way from the root."""


class _List:
    """The links of one block, and how far they were handed out. Without links it was forgotten."""

    __slots__ = ("cid", "links", "next", "path", "read_at")

    def __init__(self, cid: CID | None, path: Path, links: Sequence[Link] | None, read_at: int) -> None:
        self.cid = cid
        self.path = path
        self.links = links
        self.next = 0
        self.read_at = read_at


class Frontier:
    """Blocks to ask for, in reading order. `take` until None, then tell `links` of what came."""

    def __init__(
        self,
        roots: Iterable[Link],
        *,
        links_max: int = LINKS_MAX,
        arrived_max: int = ARRIVED_MAX,
        depth_max: int = DAG_DEPTH_MAX,
    ) -> None:
        self._links_max = links_max
        self._arrived_max = arrived_max
        self._depth_max = depth_max
        top = _List(None, (), list(roots), 0)
        self._known = len(top.links or ())
        self._heap: list[tuple[Path, _List]] = [((0,), top)] if top.links else []
        # Blocks whose links are to come, and where those stand: a forgotten list, or only a place.
        self._expected: dict[CID, Path | _List] = {}
        self._arrived: dict[CID, None] = {}
        self._arrivals = 0
        self._walked: dict[CID, None] = {}
        self.walks: list[CID] = []
        """Stored blocks whose links are wanted. Whoever drains this tells them with `links`."""

    @property
    def is_exhausted(self) -> bool:
        """Everything was handed out, and no links are to come."""
        return not self._heap and not self._expected

    @property
    def known_links(self) -> int:
        """Links held in memory."""
        return self._known

    def expected(self) -> list[CID]:
        """Blocks that were handed out or are here, and whose links were not told."""
        return list(self._expected)

    def take(self) -> tuple[Path, Link] | None:
        """The next block that is lacking, and its place. None when nothing more is known for now."""
        heap, arrived = self._heap, self._arrived
        while heap:
            place, here = heap[0]
            links = here.links
            if links is None or (here.cid is not None and self._arrivals - here.read_at > self._arrived_max):
                heapq.heappop(heap)
                self._read_again(here)
                continue
            link = links[here.next]
            here.next += 1
            if here.next < len(links):
                # The place grows, and mostly stays the smallest.
                heapq.heapreplace(heap, ((*here.path, here.next), here))
            else:
                heapq.heappop(heap)
                self._known -= len(links)
            cid = link.cid
            if link.is_leaf:
                if link.is_here or cid in arrived:
                    continue
                return place, link
            if cid in self._walked or cid in self._expected:
                continue
            self._remember_walk(cid)
            self._expected[cid] = place
            if link.is_here or cid in arrived:
                self.walks.append(cid)
                continue
            return place, link
        return None

    def links(self, cid: CID, links: Sequence[Link]) -> bool:
        """What a stored block links to. False where that is too deep to be followed; those links are not kept."""
        place = self._expected.pop(cid, None)
        if place is None:
            return True
        if isinstance(place, _List):
            known = place
            known.links, known.read_at = links, self._arrivals
        else:
            known = _List(cid, place, links, self._arrivals)
        if known.next >= len(links):
            return True
        if len(known.path) >= self._depth_max:
            return False
        self._known += len(links)
        heapq.heappush(self._heap, ((*known.path, known.next), known))
        if self._known > self._links_max:
            self._forget_furthest()
        return True

    def arrived(self, cid: CID) -> None:
        """A block is here now."""
        self._arrived[cid] = None
        self._arrivals += 1
        if len(self._arrived) > self._arrived_max:
            del self._arrived[next(iter(self._arrived))]

    def give_up(self, cid: CID) -> None:
        """A block will not come, nor its links."""
        self._expected.pop(cid, None)

    def _remember_walk(self, cid: CID) -> None:
        self._walked[cid] = None
        if len(self._walked) > WALKED_MAX:
            del self._walked[next(iter(self._walked))]

    def _read_again(self, forgotten: _List) -> None:
        if forgotten.links is not None:
            self._known -= len(forgotten.links)
            forgotten.links = None
        if forgotten.cid is not None:
            self._expected[forgotten.cid] = forgotten
            self.walks.append(forgotten.cid)

    def _forget_furthest(self) -> None:
        """Forgets lists from the end of reading order until half of the budget is used; never the first, which is being read."""
        self._heap.sort()
        for _, known in reversed(self._heap[1:]):
            if self._known <= self._links_max // 2:
                break
            if known.links is not None and known.cid is not None:
                self._known -= len(known.links)
                known.links = None
