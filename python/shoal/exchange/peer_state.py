"""One peer as a session sees it: what it was asked for and shown, what it has answered, and what is to be sent to it next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from shoal.exchange.limits import (
    FORGOTTEN_MAX,
    REFILL_SHARE,
    STALL_SECONDS,
    STRANGER_PROBES,
    TICK_SECONDS_MIN,
    WANTS_MAX,
)
from shoal.exchange.message import Message
from shoal.exchange.peer_stats import PeerStats

if TYPE_CHECKING:
    from shoal._core import CID
    from shoal.exchange.message import Peer
    from shoal.exchange.open_wants import Want


class Asked(NamedTuple):
    """A block asked of a peer, and what the rate is measured from."""

    at: float
    charged: int
    """Bytes counted as in flight: its size, or a guess."""
    delivered_then: int
    then: float


class PeerState:
    """What is known of a peer. It is likely (asked at once), a helper (has parts, is shown all open wants), or a stranger."""

    __slots__ = (
        "asked",
        "cancelled",
        "coming",
        "false_haves",
        "has_helped",
        "in_flight",
        "is_likely",
        "is_partial",
        "name",
        "offers",
        "probed",
        "probes_left",
        "silent_since",
        "stalled_until",
        "stalls",
        "stats",
        "strikes",
        "to_send",
    )

    def __init__(self, name: Peer, now: float) -> None:
        self.name = name
        self.stats = PeerStats()
        self.asked: dict[CID, Asked] = {}
        """Oldest first."""
        self.in_flight = 0
        self.probed: dict[CID, None] = {}
        """It was asked whether it has these, and will say so when it gets them."""
        self.offers: dict[CID, Want] = {}
        """It has these, as it says."""
        self.cancelled: dict[CID, None] = {}
        """Called back, the last ones: an answer may be under way."""
        self.to_send: dict[CID, Literal["block", "have", "cancel"]] = {}
        self.is_likely = False
        """It is taken to have everything under the roots."""
        self.is_partial = False
        """It has lacked something: it is asked only for what it says it has."""
        self.has_helped = False
        self.probes_left = STRANGER_PROBES
        self.silent_since = now
        self.stalls = 0
        self.stalled_until = 0.0
        self.strikes = 0
        self.false_haves = 0
        self.coming = 0

    @property
    def is_helper(self) -> bool:
        """It has parts: worth showing all open wants."""
        return self.has_helped and not self.is_likely

    @property
    def held(self) -> int:
        """Things remembered of it."""
        return len(self.asked) + len(self.probed) + len(self.offers) + len(self.cancelled) + len(self.to_send)

    def was_told_of(self, cid: CID) -> bool:
        """It was asked for the block, or about it: an answer is no surprise."""
        return cid in self.asked or cid in self.probed or cid in self.cancelled

    def wants_refill(self) -> bool:
        """Enough of its depth is free to ask for more in one message."""
        return len(self.asked) < 2 or self.stats.depth - self.in_flight >= self.stats.depth // REFILL_SHARE

    def has_room(self, now: float) -> bool:
        """One more block may be asked of it."""
        asked = len(self.asked)
        if now < self.stalled_until or (self.stalls and asked):
            return False
        return (self.in_flight < self.stats.depth or asked < 2) and asked + len(self.probed) < WANTS_MAX

    def seconds_for(self, size: int) -> float:
        """When a block asked for now would be here, behind all that was asked before."""
        return self.stats.seconds_for(self.in_flight + size)

    def patience(self) -> float:
        """The age from which a block is late."""
        shortest = self.stats.delay_min
        return STALL_SECONDS if shortest is None else max(2 * shortest, self.stats.delay_late, TICK_SECONDS_MIN)

    def ask(self, cid: CID, size: int, now: float) -> None:
        """The block is wanted of it."""
        stats = self.stats
        if not self.asked:
            # Nothing was under way: the peer was idle because of us, not slow.
            self.silent_since = now
        self.asked[cid] = Asked(now, size, stats.delivered, stats.delivered_at if self.asked else now)
        self.in_flight += size
        if cid in self.probed:
            # A small block may come for the question as well, and then comes twice.
            del self.probed[cid]
            self._remember_cancelled(cid)
        self.to_send[cid] = "block"

    def answered(self, cid: CID) -> Asked | None:
        """It is not asked for the block any more."""
        asked = self.asked.pop(cid, None)
        if asked is not None:
            self.in_flight -= asked.charged
        return asked

    def probe(self, cid: CID) -> None:
        """It is asked whether it has the block."""
        self.probed[cid] = None
        self.to_send[cid] = "have"

    def cancel(self, cid: CID) -> None:
        """It is told that the block is not wanted any more."""
        self.probed.pop(cid, None)
        self.offers.pop(cid, None)
        self._remember_cancelled(cid)
        self.to_send[cid] = "cancel"

    def _remember_cancelled(self, cid: CID) -> None:
        self.cancelled.pop(cid, None)
        self.cancelled[cid] = None
        if len(self.cancelled) > FORGOTTEN_MAX:
            del self.cancelled[next(iter(self.cancelled))]

    def drain(self) -> Message:
        """What is to be sent to it."""
        sent, self.to_send = self.to_send, {}
        kinds = sent.values()
        if "have" not in kinds and "cancel" not in kinds:
            return Message(want_blocks=list(sent))
        return Message(
            want_blocks=[cid for cid, kind in sent.items() if kind == "block"],
            want_haves=[cid for cid, kind in sent.items() if kind == "have"],
            cancels=[cid for cid, kind in sent.items() if kind == "cancel"],
        )
