"""The store as the exchange uses it: everything in a thread, many blocks at a time."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, TypeVar

import anyio.to_thread

from shoal._core import CID
from shoal.exchange.message import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shoal import _core
    from shoal._core import Block, Lease, Members

T = TypeVar("T")

EMPTY: Final = frozenset(
    CID.of(b"", codec=codec, hash=name) for codec in ("raw", "dag-pb") for name in ("sha2-256", "sha2-512", "blake3")
)
"""Blocks of no bytes: an empty file, an empty object. Nobody has to be asked for them, and Kubo up to 0.42 (boxo 0.40) does not send
them: it takes a size of zero for a block that was not wanted, and answers only that it has it."""


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
        return await self._run(lambda: self._lease.has(cid) or self._is_put(cid))

    async def keep(self, blocks: Sequence[Block], parents: Sequence[CID]) -> list[list[Link]]:
        """Stores blocks, durably, and then says what `parents` link to."""
        return await self._run(lambda: self._keep(blocks, parents))

    def _keep(self, blocks: Sequence[Block], parents: Sequence[CID]) -> list[list[Link]]:
        if blocks:
            # Looked up first, so that no collection comes between.
            self._lease.has_many([block.cid for block in blocks])
            self._core.put_blocks(blocks, {"operation": None, "on_progress": None})
        if not parents:
            return []
        found = self._core.fetch_links(parents)
        cids = [cid for cid, _, _ in chain.from_iterable(found)]
        here = (is_here or self._is_put(cid) for cid, is_here in zip(cids, self._lease.has_many(cids), strict=True))
        return [[Link(cid, size, is_leaf, next(here)) for cid, size, is_leaf in links] for links in found]

    def _is_put(self, cid: CID) -> bool:
        """Whether a block is known without asking anyone, and is stored now. The lease has been asked for it, and keeps it."""
        if cid not in EMPTY:
            return False
        watch: _core._Watch = {"operation": None, "on_progress": None}
        self._core.put_many([(cid, b"")], codec="raw", hash="blake3", pin=False, watch=watch)
        return True
