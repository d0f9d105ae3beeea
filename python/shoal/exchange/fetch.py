"""One fetch under way: a session's decisions done, its blocks stored, and its links told. Runs as one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from shoal.errors import FetchFailed
from shoal.exchange.limits import MIB
from shoal.exchange.message import Link as DagLink
from shoal.exchange.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal._core import CID, Block
    from shoal.exchange.driver import Exchange
    from shoal.exchange.store_access import FetchingStore

KEPT_BYTES_MAX: Final = 16 * MIB
"""Stored in one go: large enough that a disk's commit is a small part of it, small enough to be done in a tenth of a second."""
UNSTORED_BYTES_MAX: Final = 32 * MIB
"""Blocks that have come and are not stored. From here on no peer is read: memory follows this, not the file."""
WALKED_MAX: Final = 256
"""Blocks whose links are read in one go."""
FAILURES_NAMED_MAX: Final = 3
"""Blocks that an error names."""


class Fetch:
    """Fetches what is lacking under a root, or, `is_alone`, the root's own block."""

    def __init__(
        self,
        exchange: Exchange,
        store: FetchingStore,
        root: CID,
        *,
        seed: int,
        patience: float,
        ends_at: float | None,
        is_alone: bool = False,
    ) -> None:
        self.root = root
        self._is_alone = is_alone or root.codec == "raw"
        self.likely: set[str] = set()
        """Peers that are said to have all of it."""
        self._exchange = exchange
        self._store = store
        self._seed, self._patience, self._ends_at = seed, patience, ends_at
        self.session: Session
        """Its decisions: from `run` on, so of every fetch that has joined."""
        self._came: list[tuple[CID, Block]] = []
        self._came_bytes = 0
        self._to_walk: list[CID] = []
        self._failures: list[tuple[CID, str]] = []
        self._wake = anyio.Event()
        self.stored_bytes = 0
        self.stored_blocks = 0
        self.by_peer: dict[str, int] = {}
        """Bytes that each peer gave."""
        self.first_at: float | None = None
        """When the first block came."""

    @property
    def is_full(self) -> bool:
        """No more may come for now."""
        return self._came_bytes >= UNSTORED_BYTES_MAX

    def asked(self, peer: str, cid: CID) -> bool:
        """The peer was asked for the block, or about it."""
        return self.session.was_told_of(peer, cid)

    async def run(self) -> None:
        """Until everything is here. Raises `FetchFailed` where something cannot be had."""
        is_here = await self._store.has(self.root)
        root = DagLink(self.root, None, is_leaf=self._is_alone, is_here=is_here)
        session = Session([root], anyio.current_time(), seed=self._seed, patience=self._patience, ends_at=self._ends_at)
        self.session = session
        self._exchange.join(self)
        try:
            while True:
                self._wake = anyio.Event()
                self.act()
                if self._came or self._to_walk:
                    await self._keep()
                elif session.is_done:
                    break
                else:
                    await self._wait(session)
        finally:
            session.stop()
            self.act()
            self._exchange.leave(self)
        if session.failed or self._failures:
            raise self._failure(session)

    async def _wait(self, session: Session) -> None:
        deadline = session.deadline()
        seconds = None if deadline is None else max(deadline - anyio.current_time(), 0)
        with anyio.move_on_after(seconds):
            await self._wake.wait()
            return
        session.on_time(anyio.current_time())

    def act(self) -> None:
        """Does what the session has decided."""
        session = self.session
        while True:
            actions = session.actions()
            for peer, message in actions.messages:
                self._exchange.send_wants(str(peer), message)
            for peer, reason in actions.drops:
                self._exchange.drop(str(peer), reason)
            self._to_walk += actions.walks
            self._failures += actions.failures[: FAILURES_NAMED_MAX - len(self._failures)]
            if actions.walks or session.is_done:
                self._wake.set()
            if not actions.messages and not actions.drops:
                return

    def accepted(self, peer: str, blocks: Sequence[tuple[CID, Block]]) -> None:
        """Blocks that were lacking: they will be stored."""
        if self.first_at is None:
            self.first_at = anyio.current_time()
        size = sum(len(data) for _, data in blocks)
        self.by_peer[peer] = self.by_peer.get(peer, 0) + size
        self._came += blocks
        self._came_bytes += size
        self._wake.set()

    async def _keep(self) -> None:
        """Stores what has come, and tells the links of it and of what was to be walked."""
        size = count = 0
        for _, data in self._came:
            if size >= KEPT_BYTES_MAX:
                break
            size += len(data)
            count += 1
        batch = self._came[:count]
        del self._came[:count]
        walks = self._to_walk[:WALKED_MAX]
        del self._to_walk[:WALKED_MAX]
        parents = [cid for cid, _ in batch if cid.codec != "raw"]
        links = await self._store.keep([block for _, block in batch], parents + walks)
        self._came_bytes -= size
        self.stored_bytes += size
        self.stored_blocks += len(batch)
        now = anyio.current_time()
        for cid, found in zip(parents + walks, links, strict=True):
            self.session.links(cid, found, now)
        self._exchange.stored(batch)

    def _failure(self, session: Session) -> FetchFailed:
        named = "; ".join(f"{cid}: {reason}" for cid, reason in self._failures)
        count = max(session.failed, len(self._failures))
        more = f" (and {count - len(self._failures)} more)" if count > len(self._failures) else ""
        cid = self._failures[0][0] if self._failures else self.root
        return FetchFailed(
            f"{count} block{'s' if count != 1 else ''} under {self.root} could not be had: {named}{more}. "
            "What came is stored: the same command goes on from there",
            cid=cid,
        )
