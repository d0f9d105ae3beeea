"""What to send to whom: the wants of peers, served in turn, within bounds. Pure, as the session is.

Wants come in; `lookups` says which blocks to look up, and `found` tells what is there and may be served. What may not is
told like what is not there, and gets the same answer. `next` hands out what is to be read and sent, until enough is under
way; `written` makes room. Until a block is handed out, its cancel costs nothing. A want for a block that is lacking stands, and
is served when the block is `stored`. Turns follow deficit round robin (Shreedhar and Varghese, SIGCOMM 1995), by bytes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

from shoal.exchange.limits import (
    MESSAGE_BYTES_TARGET,
    OUTSTANDING_BYTES_MAX,
    PRESENCES_PER_MESSAGE_MAX,
    SERVED_BYTES_MAX,
    SMALL_BLOCK_BYTES_MAX,
    TURN_BYTES,
    WANTS_MAX,
)

if TYPE_CHECKING:
    from shoal._core import CID
    from shoal.exchange.message import Message, Peer


class Send(NamedTuple):
    """A message to be written: blocks to be read from the store, and words of having and lacking."""

    peer: Peer
    blocks: list[CID]
    size: int
    """Bytes of the blocks, to be given back with `written`."""
    haves: list[CID]
    dont_haves: list[CID]


@dataclass
class Served:
    """What a server has done so far."""

    blocks: int = 0
    bytes: int = 0
    cancelled: int = 0
    """Blocks that were queued, and called back in time."""
    refused: int = 0
    """Wants beyond what one peer may have standing."""


class _Wanted:
    """One want of a peer."""

    __slots__ = ("is_block", "size", "state")

    def __init__(self, *, is_block: bool) -> None:
        self.is_block = is_block
        self.state: Literal["looked up", "lacked", "queued"] = "looked up"
        self.size = 0


class _Ledger:
    """What one peer wants, and what is under way to it."""

    __slots__ = ("deficit", "dont_haves", "haves", "is_in_turn", "large", "outstanding", "peer", "small", "wants")

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.wants: dict[CID, _Wanted] = {}
        # Queues keep what was cancelled until its turn; a want that is there again is queued anew.
        self.small: deque[tuple[CID, _Wanted]] = deque()
        self.large: deque[tuple[CID, _Wanted]] = deque()
        self.haves: dict[CID, None] = {}
        self.dont_haves: dict[CID, None] = {}
        self.outstanding = 0
        self.deficit = 0
        self.is_in_turn = False

    @property
    def has_words(self) -> bool:
        return bool(self.haves or self.dont_haves)

    def drop_cancelled(self) -> None:
        for queue in (self.small, self.large):
            while queue and self.wants.get(queue[0][0]) is not queue[0][1]:
                queue.popleft()

    def drop_all_cancelled(self) -> None:
        """So that wanting and cancelling over and over does not make a queue long."""
        for queue in (self.small, self.large):
            current = [entry for entry in queue if self.wants.get(entry[0]) is entry[1]]
            queue.clear()
            queue.extend(current)

    @property
    def has_blocks(self) -> bool:
        self.drop_cancelled()
        return bool(self.small or self.large)

    @property
    def may_have_blocks(self) -> bool:
        """There is one to send, and room for it."""
        return self.outstanding < OUTSTANDING_BYTES_MAX and self.has_blocks


class Server:
    """Serves blocks to peers."""

    def __init__(self) -> None:
        self._ledgers: dict[Peer, _Ledger] = {}
        self._turn: deque[_Ledger] = deque()
        self._lookups: dict[CID, None] = {}
        # Who waits for a lookup's answer, or for a block that is lacking.
        self._waiting: dict[CID, dict[Peer, None]] = {}
        self._outstanding = 0
        self.statistics = Served()

    # Looking

    @property
    def outstanding_bytes(self) -> int:
        """Handed out and not written yet, to all peers."""
        return self._outstanding

    @property
    def held(self) -> int:
        """Things remembered of all peers."""
        return sum(
            len(ledger.wants) + len(ledger.small) + len(ledger.large) + len(ledger.haves) + len(ledger.dont_haves)
            for ledger in self._ledgers.values()
        ) + len(self._waiting)

    # Changing

    def received(self, peer: Peer, message: Message) -> None:
        """A peer's wants and cancels."""
        ledger = self._ledgers.get(peer)
        if ledger is None:
            ledger = self._ledgers[peer] = _Ledger(peer)
        if message.is_full:
            kept = dict.fromkeys((*message.want_blocks, *message.want_haves))
            for cid in [cid for cid in ledger.wants if cid not in kept]:
                self._cancel(ledger, cid)
        for cid in message.cancels:
            self._cancel(ledger, cid)
        for cid in message.want_blocks:
            self._want(ledger, cid, is_block=True)
        for cid in message.want_haves:
            self._want(ledger, cid, is_block=False)

    def peer_gone(self, peer: Peer) -> None:
        """It is not connected any more: all that is kept of it is freed. What is under way to it need not be `written`."""
        ledger = self._ledgers.pop(peer, None)
        if ledger is None:
            return
        for cid in list(ledger.wants):
            self._forget(ledger, cid)
        self._outstanding -= ledger.outstanding
        if ledger.is_in_turn:
            self._turn.remove(ledger)

    def lookups(self) -> list[CID]:
        """Drains the blocks that are to be looked up; each is answered with `found`."""
        asked, self._lookups = self._lookups, {}
        return list(asked)

    def found(self, cid: CID, size: int | None) -> None:
        """How large a block is that is here and may be served; None where it is not, or may not."""
        for peer in list(self._waiting.get(cid, ())):
            ledger = self._ledgers[peer]
            wanted = ledger.wants[cid]
            if size is not None:
                self._serve(ledger, cid, wanted, size)
            elif wanted.state == "looked up":
                wanted.state = "lacked"
                ledger.dont_haves[cid] = None
                self._join(ledger)

    def is_awaited(self, cid: CID) -> bool:
        """Some peer waits for a block that is lacking, or not looked up yet."""
        return cid in self._waiting

    def stored(self, cid: CID, size: int) -> None:
        """A block is here now that may be served: whoever waits for it gets it."""
        if cid in self._waiting:
            self.found(cid, size)

    def written(self, peer: Peer, size: int) -> None:
        """What was handed out is on its way."""
        ledger = self._ledgers.get(peer)
        if ledger is not None:
            size = min(size, ledger.outstanding)
            ledger.outstanding -= size
            self._outstanding -= size
            if ledger.has_words or ledger.has_blocks:
                self._join(ledger)

    def unreadable(self, peer: Peer, cid: CID) -> None:
        """A block that was handed out could not be read: the peer is told that it is not here."""
        ledger = self._ledgers.get(peer)
        if ledger is not None:
            ledger.dont_haves[cid] = None
            self._join(ledger)

    def next(self) -> Send | None:
        """The next message, or None while nothing is wanted or enough is under way."""
        if self._outstanding >= SERVED_BYTES_MAX:
            return next((self._send(ledger) for ledger in self._turn if ledger.has_words), None)
        while self._turn:
            ledger = self._turn[0]
            may_have_blocks = ledger.may_have_blocks
            if not ledger.has_words and not may_have_blocks:
                self._leave(ledger)
                continue
            if may_have_blocks and ledger.deficit <= 0:
                # Its turn begins. A debt is paid off in some rounds: no block is larger than eight turns.
                ledger.deficit += TURN_BYTES
                if ledger.deficit <= 0 and not ledger.has_words:
                    self._turn.rotate(-1)
                    continue
            return self._send(ledger)
        return None

    # Wants

    def _want(self, ledger: _Ledger, cid: CID, *, is_block: bool) -> None:
        wanted = ledger.wants.get(cid)
        if wanted is not None:
            # A want for the block is more than one for the word; asking again asks again whether it is here.
            wanted.is_block = wanted.is_block or is_block
            if wanted.state == "lacked":
                wanted.state = "looked up"
                self._lookups[cid] = None
            return
        if len(ledger.wants) >= WANTS_MAX and not self._make_room(ledger):
            self.statistics.refused += 1
            return
        ledger.wants[cid] = _Wanted(is_block=is_block)
        self._waiting.setdefault(cid, {})[ledger.peer] = None
        self._lookups[cid] = None

    def _make_room(self, ledger: _Ledger) -> bool:
        """Forgets the oldest want of a peer that we could not serve: wants for what nobody has must not bar the others."""
        lacked = next((cid for cid, wanted in ledger.wants.items() if wanted.state == "lacked"), None)
        if lacked is None:
            return False
        self._forget(ledger, lacked)
        return True

    def _cancel(self, ledger: _Ledger, cid: CID) -> None:
        wanted = ledger.wants.get(cid)
        if wanted is not None:
            self.statistics.cancelled += wanted.state == "queued"
            self._forget(ledger, cid)
        ledger.haves.pop(cid, None)
        ledger.dont_haves.pop(cid, None)

    def _forget(self, ledger: _Ledger, cid: CID) -> None:
        del ledger.wants[cid]
        waiting = self._waiting.get(cid)
        if waiting is not None:
            waiting.pop(ledger.peer, None)
            if not waiting:
                del self._waiting[cid]
                self._lookups.pop(cid, None)

    def _serve(self, ledger: _Ledger, cid: CID, wanted: _Wanted, size: int) -> None:
        ledger.dont_haves.pop(cid, None)
        if not wanted.is_block and size > SMALL_BLOCK_BYTES_MAX:
            self._forget(ledger, cid)
            ledger.haves[cid] = None
        else:
            wanted.state, wanted.size = "queued", size
            self._waiting[cid].pop(ledger.peer)
            if not self._waiting[cid]:
                del self._waiting[cid]
            (ledger.small if size <= SMALL_BLOCK_BYTES_MAX else ledger.large).append((cid, wanted))
            if len(ledger.small) + len(ledger.large) > 2 * WANTS_MAX:
                ledger.drop_all_cancelled()
        self._join(ledger)

    # Turns

    def _join(self, ledger: _Ledger) -> None:
        if not ledger.is_in_turn:
            ledger.is_in_turn = True
            self._turn.append(ledger)

    def _leave(self, ledger: _Ledger) -> None:
        """Out of the round, until there is something to send and room for it. Unused turns are not saved up."""
        self._turn.remove(ledger)
        ledger.is_in_turn = False
        ledger.deficit = min(ledger.deficit, 0)

    def _send(self, ledger: _Ledger) -> Send:
        haves = _first(ledger.haves, PRESENCES_PER_MESSAGE_MAX)
        dont_haves = _first(ledger.dont_haves, PRESENCES_PER_MESSAGE_MAX - len(haves))
        blocks: list[CID] = []
        size = 0
        # Words need no turn, and blocks go with them where it is the peer's turn.
        if self._turn[0] is ledger and self._outstanding < SERVED_BYTES_MAX and ledger.may_have_blocks:
            while ledger.deficit > 0 and ledger.has_blocks:
                queue = ledger.small or ledger.large
                cid, wanted = queue[0]
                if blocks and size + wanted.size > MESSAGE_BYTES_TARGET:
                    break
                queue.popleft()
                del ledger.wants[cid]
                ledger.deficit -= wanted.size
                size += wanted.size
                blocks.append(cid)
            ledger.outstanding += size
            self._outstanding += size
            self.statistics.blocks += len(blocks)
            self.statistics.bytes += size
            if ledger.deficit <= 0:
                self._turn.rotate(-1)
        return Send(ledger.peer, blocks, size, haves, dont_haves)


def _first(words: dict[CID, None], count: int) -> list[CID]:
    """Takes so many out, the oldest first."""
    taken = list(islice(words, count))
    for cid in taken:
        del words[cid]
    return taken
