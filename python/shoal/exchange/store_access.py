"""The store as the exchange uses it: everything in a thread, many blocks at a time."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shoal import _core
    from shoal._core import CID, Block, Lease, Members
    from shoal.exchange.message import Link

T = TypeVar("T")


class ServingStore:
    """What is read for peers: all that is here, or only what was shared."""

    def __init__(self, core: _core.Store, limiter: anyio.CapacityLimiter, *, serves_all: bool) -> None:
        self._core = core
        self._limiter = limiter
        self.serves_all = serves_all
        self.shared: dict[CID, Members] = {}
        """Roots whose DAGs are served."""

    async def servable(self, cids: Sequence[CID]) -> list[int | None]:
        """Bytes of blocks that are here and may be served."""
        return await anyio.to_thread.run_sync(self._servable, cids, limiter=self._limiter)

    def _servable(self, cids: Sequence[CID]) -> list[int | None]:
        sizes = self._core.sizes(cids)
        if self.serves_all:
            return sizes
        found = [members.has_many(cids) for members in list(self.shared.values())]
        may = [any(each) for each in zip(*found, strict=True)] if found else [False] * len(cids)
        return [size if is_allowed else None for size, is_allowed in zip(sizes, may, strict=True)]

    async def messages(
        self, sends: Sequence[tuple[Sequence[CID], Sequence[CID], Sequence[CID]]]
    ) -> list[tuple[bytes, list[CID]]]:
        """Messages of blocks, haves and dont-haves, and which blocks could not be read."""
        return await anyio.to_thread.run_sync(self._core.bitswap_blocks, sends, limiter=self._limiter)


class FetchingStore:
    """What one fetch stores, and keeps from every collection for as long as it lasts."""

    def __init__(self, core: _core.Store, lease: Lease, limiter: anyio.CapacityLimiter) -> None:
        self._core = core
        self._lease = lease
        self._limiter = limiter

    async def _run(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    async def has(self, cid: CID) -> bool:
        """Whether a block is here. It stays, now or when it comes."""
        return await self._run(lambda: self._lease.has(cid))

    async def keep(self, blocks: Sequence[Block], parents: Sequence[CID], link: type[Link]) -> list[list[Link]]:
        """Stores blocks, durably, and then says what `parents` link to."""
        return await self._run(lambda: self._keep(blocks, parents, link))

    def _keep(self, blocks: Sequence[Block], parents: Sequence[CID], link: type[Link]) -> list[list[Link]]:
        if blocks:
            # Looked up first, so that no collection comes between.
            self._lease.has_many([block.cid for block in blocks])
            self._core.put_blocks(blocks, {"operation": None, "on_progress": None})
        if not parents:
            return []
        found = self._core.fetch_links(parents)
        here = iter(self._lease.has_many([cid for cid, _, _ in chain.from_iterable(found)]))
        return [[link(cid, size, is_leaf, next(here)) for cid, size, is_leaf in links] for links in found]
