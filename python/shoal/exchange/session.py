"""One fetch: which blocks of a DAG to ask of whom, decided from who has what, how fast each peer is, and the time.

Pure. Change it once (a peer, a message, links, the time), then drain `actions`, then wait for the next change or until
`deadline`. Every want ends: the block, or a failure with its reason; what is remembered is bounded by `limits.py`.
What peers say and send is judged here. That a block has the bytes of its CID was checked before it came here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from shoal.exchange.frontier import Frontier
from shoal.exchange.limits import (
    ANSWER_SECONDS,
    BLOCK_BYTES_GUESS,
    BLOCK_BYTES_MAX,
    COMING_BYTES,
    DAG_DEPTH_MAX,
    FAILURES_MAX,
    FALSE_HAVES_MAX,
    IN_FLIGHT_BYTES_MAX,
    MARGIN_SECONDS,
    MOVES_FREE,
    MOVES_SHARE,
    OPEN_WANTS,
    PATIENCE_SECONDS,
    SILENCES,
    SMALL_BLOCK_BYTES_MAX,
    STALL_SECONDS,
    STALLS_MAX,
    STRANGER_PROBES,
    STRANGER_PROBES_AT_ONCE,
    STRANGERS_AT_ONCE,
    STRANGERS_BESIDE_HELP,
    STRIKES_MAX,
    TICK_SECONDS_MAX,
    TICK_SECONDS_MIN,
    WANTS_LOOKED_AT,
    WANTS_MAX,
)
from shoal.exchange.open_wants import OpenWants, Want
from shoal.exchange.peer_state import PeerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shoal._core import CID
    from shoal.exchange.message import Data, Link, Message, Peer
    from shoal.exchange.peer_state import Asked


class Actions(NamedTuple):
    """What is to be done now."""

    messages: list[tuple[Peer, Message]]
    """To be sent, each on our own stream to that peer."""
    drops: list[tuple[Peer, str]]
    """Peers to be disconnected, and why. The session has forgotten them already."""
    walks: list[CID]
    """Stored blocks whose links are to be told."""
    failures: list[tuple[CID, str]]
    """Blocks that are given up, and why."""


@dataclass
class Statistics:
    """What a session has done so far."""

    blocks: int = 0
    bytes: int = 0
    duplicate_blocks: int = 0
    duplicate_bytes: int = 0
    unasked_blocks: int = 0
    wants: int = 0
    """Blocks asked for, each time counted."""
    probes: int = 0
    """Questions whether a peer has a block."""
    moves: int = 0
    """Blocks taken from a peer that delivers, because another is quicker."""
    stalls: int = 0


class Session:
    """Fetches the DAGs under `roots`. `seed` is for the choice among equals; `ends_at`, when all is given up that is not here."""

    def __init__(
        self,
        roots: Iterable[Link],
        now: float,
        *,
        seed: int,
        in_flight_bytes_max: int = IN_FLIGHT_BYTES_MAX,
        patience: float = PATIENCE_SECONDS,
        ends_at: float | None = None,
    ) -> None:
        self._frontier = Frontier(roots)
        self._open_wants = OpenWants(Random(seed))  # noqa: S311
        self._wants: dict[CID, Want] = {}
        # Dicts where sets would do: the same seed must give the same trace.
        self._peers: dict[Peer, PeerState] = {}
        self._to_fill: dict[PeerState, None] = {}
        self._strangers: dict[PeerState, None] = {}
        self._helpers: dict[PeerState, None] = {}
        self._strangers_tried = 0
        # Opened since the helpers were asked about them.
        self._unprobed: list[Want] = []
        self._now = now
        self._in_flight = 0
        self._in_flight_max = in_flight_bytes_max
        self._patience = patience
        self._ends_at = ends_at
        self._progress_at = now
        self._tick_at = now + TICK_SECONDS_MIN
        self._size_guess = float(BLOCK_BYTES_GUESS)
        self._drops: list[tuple[Peer, str]] = []
        self._failures: list[tuple[CID, str]] = []
        self._failed = 0
        self._is_ended = False
        self.statistics = Statistics()

    # Looking

    @property
    def is_done(self) -> bool:
        """Every block is here or was given up."""
        return self._is_ended or (not self._wants and self._frontier.is_exhausted)

    @property
    def failed(self) -> int:
        """Blocks given up. What lies below them is not known."""
        return self._failed

    @property
    def in_flight_bytes(self) -> int:
        """Asked for and not here, sizes guessed where they are not known."""
        return self._in_flight

    @property
    def held(self) -> int:
        """Things remembered that a long fetch could make many of: links, wants, what was asked of whom."""
        return self._frontier.known_links + len(self._wants) + sum(peer.held for peer in self._peers.values())

    def was_told_of(self, peer: Peer, cid: CID) -> bool:
        """The peer was asked for the block, or about it, by this session."""
        state = self._peers.get(peer)
        return state is not None and state.was_told_of(cid)

    def called_back(self, peer: Peer) -> list[CID]:
        """Blocks that the peer was asked for and then not any more: some may be under way."""
        state = self._peers.get(peer)
        return [] if state is None else [*state.cancelled, *state.asked]

    def deadline(self) -> float | None:
        """When `on_time` is to be called; None when there is nothing to wait for."""
        if self.is_done:
            return None
        return self._tick_at if self._ends_at is None else min(self._tick_at, self._ends_at)

    # Changing

    def peer_connected(self, peer: Peer, now: float, *, is_likely: bool = False) -> None:
        """Someone can be asked. `is_likely`: it is said to have the roots (by a ticket, a discovery); others are tried with care."""
        self._now = now
        state = self._peers.get(peer)
        if state is None:
            state = self._peers[peer] = PeerState(peer, now)
        if is_likely and not state.is_partial:
            state.is_likely = True
        self._place(state)

    def peer_gone(self, peer: Peer, now: float) -> None:
        """It is not connected any more. What it was asked for is asked elsewhere."""
        self._now = now
        state = self._peers.pop(peer, None)
        if state is not None:
            self._forget(state)

    def received(self, peer: Peer, message: Message, now: float) -> list[tuple[CID, Data]]:
        """A peer's message. Returns the blocks that were lacking, each once: only these may be stored."""
        self._now = now
        state = self._peers.get(peer)
        if state is None or self._is_ended:
            return []
        if state in self._strangers:
            self._look_at_wants(state, message)
        accepted = self._take_blocks(state, message.blocks, now) if message.blocks else []
        for cid in message.haves:
            self._take_have(state, cid, now)
        for cid in message.dont_haves:
            self._take_dont_have(state, cid, now)
        if state.strikes >= STRIKES_MAX:
            self._drop(state, "it sends blocks that were not asked for, or wrong bytes")
        elif state.false_haves > FALSE_HAVES_MAX:
            self._drop(state, "it says that it has blocks, and has not")
        return accepted

    def coming(self, peer: Peer, size: int, now: float) -> None:
        """So many bytes of a message came that is not whole yet: a slow peer is no silent one."""
        self._now = now
        state = self._peers.get(peer)
        if state is not None and state.asked:
            state.coming += size
            if state.coming >= COMING_BYTES:
                state.coming = 0
                state.silent_since = self._progress_at = now

    def links(self, cid: CID, links: Sequence[Link], now: float) -> None:
        """What a stored block links to, in reading order: of every block that came and is no leaf, and of every `walks`."""
        self._now = now
        if not self._frontier.links(cid, links):
            self._fail(cid, f"what it links to is more than {DAG_DEPTH_MAX} levels below its root")
        self._progress_at = now
        self._fill_all()

    def on_time(self, now: float) -> None:
        """Time has passed: looks for what is late, and for what nobody has."""
        self._now = now
        if self.is_done:
            return
        if self._ends_at is not None and now >= self._ends_at:
            self._end("the time given for it is over")
        elif now >= self._tick_at:
            self._tick(now)

    def stop(self) -> None:
        """Nothing is wanted any more: all is called back."""
        for want in list(self._wants.values()):
            self._call_back(want)
        self._wants.clear()
        self._is_ended = True

    def actions(self) -> Actions:
        """Decides, and drains what is to be done."""
        if not self._is_ended:
            self._fill()
        messages = [(peer.name, self._counted(peer.drain())) for peer in self._peers.values() if peer.to_send]
        walks, self._frontier.walks = self._frontier.walks, []
        drops, self._drops = self._drops, []
        failures, self._failures = self._failures, []
        return Actions(messages, drops, walks, failures)

    def _counted(self, message: Message) -> Message:
        self.statistics.wants += len(message.want_blocks)
        self.statistics.probes += len(message.want_haves)
        return message

    # What peers send

    def _take_blocks(self, peer: PeerState, blocks: Sequence[tuple[CID, Data]], now: float) -> list[tuple[CID, Data]]:
        accepted: list[tuple[CID, Data]] = []
        asked_size = 0
        last: Asked | None = None
        statistics = self.statistics
        for cid, data in blocks:
            size = len(data)
            asked = peer.asked.pop(cid, None)
            if asked is not None:
                last = asked
                asked_size += size
                peer.in_flight -= asked.charged
                self._in_flight -= asked.charged
            elif not peer.was_told_of(cid):
                statistics.unasked_blocks += 1
                peer.strikes += 1
                continue
            want = self._wants.pop(cid, None)
            if want is None:
                statistics.duplicate_blocks += 1
                statistics.duplicate_bytes += size
                continue
            self._frontier.arrived(cid)
            if asked is None or self._strangers or self._helpers:
                self._call_back(want)
            if want.size is None:
                self._size_guess += (size - self._size_guess) / (8 if self.statistics.blocks else 1)
            accepted.append((cid, data))
            statistics.blocks += 1
            statistics.bytes += size
        if last is not None:
            peer.stats.delivered_now(asked_size, last.at, last.delivered_then, last.then, now)
        if accepted:
            self._progress_at = now
            peer.silent_since = now
            peer.coming = peer.stalls = 0
            peer.stalled_until = 0.0
            self._has_helped(peer)
            if self._in_flight + BLOCK_BYTES_MAX > self._in_flight_max:
                self._fill_all()
        self._to_fill[peer] = None
        return accepted

    def _look_at_wants(self, peer: PeerState, message: Message) -> None:
        """Who wants what we want fetches the same: it will have parts, and is a helper before it has given anything."""
        for wants in (message.want_haves, message.want_blocks):
            if any(cid in self._wants for cid in wants[:WANTS_LOOKED_AT]):
                peer.is_partial = True
                self._has_helped(peer)
                return

    def _has_helped(self, peer: PeerState) -> None:
        if not peer.has_helped:
            peer.has_helped = True
            peer.is_likely = not peer.is_partial
            self._place(peer)

    def _take_have(self, peer: PeerState, cid: CID, now: float) -> None:
        if not peer.was_told_of(cid):
            return
        peer.silent_since = now
        self._has_helped(peer)
        want = self._wants.get(cid)
        if want is not None and cid not in peer.asked:
            want.holders = want.holders or {}
            want.holders[peer.name] = None
            if want.lackers:
                want.lackers.pop(peer.name, None)
            peer.offers[cid] = want
            self._to_fill[peer] = None

    def _take_dont_have(self, peer: PeerState, cid: CID, now: float) -> None:
        if not peer.was_told_of(cid):
            return
        peer.silent_since = now
        if not peer.is_partial:
            peer.is_partial, peer.is_likely = True, False
            self._place(peer)
        want = self._wants.get(cid)
        if want is None:
            return
        if want.holders and peer.name in want.holders:
            peer.false_haves += 1
            del want.holders[peer.name]
        want.lackers = want.lackers or {}
        want.lackers[peer.name] = None
        if want.lacked_since is None:
            want.lacked_since = now
        if cid in peer.probed:
            want.is_shown = False
            if self._is_small(want):
                # It would be sent when it comes there, from wherever it is asked for meanwhile.
                peer.cancel(cid)
            if self._helpers:
                self._unprobed.append(want)
        asked = peer.asked.get(cid)
        if asked is not None:
            peer.stats.answered_now(asked.at, now)
            # Later it is shown the want as a question, and will say so if it gets the block.
            self._take_back(peer, want)
        if peer in self._strangers:
            # Behind those who were not tried yet.
            del self._strangers[peer]
            self._strangers[peer] = None

    # Taking back

    def _take_back(self, peer: PeerState, want: Want) -> None:
        """Calls a want back of the peer that was asked, and opens it again."""
        asked = peer.answered(want.cid)
        if asked is not None:
            self._in_flight -= asked.charged
            peer.cancel(want.cid)
        want.asked = None
        self._open(want)
        self._fill_all()

    def _open(self, want: Want) -> None:
        self._open_wants.add(want)
        if self._helpers:
            self._unprobed.append(want)

    def _call_back(self, want: Want) -> None:
        """A want is over: nobody is to send it, or to say that it has it."""
        self._open_wants.remove(want)
        cid = want.cid
        if want.asked is not None:
            peer = self._peers.get(want.asked)
            asked = peer.answered(cid) if peer is not None else None
            if peer is not None and asked is not None:
                self._in_flight -= asked.charged
                peer.cancel(cid)
                self._to_fill[peer] = None
        for shown in (self._helpers, self._strangers):
            for peer in shown:
                if cid in peer.probed:
                    peer.cancel(cid)
                elif cid in peer.offers:
                    del peer.offers[cid]

    def _forget(self, peer: PeerState) -> None:
        for peers in (self._to_fill, self._strangers, self._helpers):
            peers.pop(peer, None)
        for cid, asked in peer.asked.items():
            self._in_flight -= asked.charged
            want = self._wants.get(cid)
            if want is not None:
                want.asked = None
                self._open(want)
        for want in self._wants.values():
            for peers_of in (want.holders, want.lackers):
                if peers_of:
                    peers_of.pop(peer.name, None)
        self._fill_all()

    def _drop(self, peer: PeerState, reason: str) -> None:
        del self._peers[peer.name]
        self._forget(peer)
        self._drops.append((peer.name, reason))

    # Giving up

    def _fail(self, cid: CID, reason: str) -> None:
        want = self._wants.pop(cid, None)
        if want is not None:
            self._call_back(want)
        self._frontier.give_up(cid)
        if self._failed < FAILURES_MAX:
            self._failures.append((cid, reason))
        self._failed += 1

    def _end(self, reason: str) -> None:
        """Gives up all that is wanted, and whatever would have come after it."""
        if not self._wants:
            # Nobody was there to be asked.
            self._take()
        for cid in list(self._wants) or self._frontier.expected():
            self._fail(cid, reason)
        self._is_ended = True

    def _give_up_lacked(self, now: float) -> None:
        if not self._helpers and not self._strangers:
            return
        for want in list(self._open_wants):
            if want.lacked_since is not None and now - want.lacked_since > self._patience and not self._may_have(want):
                self._fail(want.cid, f"of the peers asked ({len(want.lackers or ())}) none has it")
        if self._failed >= FAILURES_MAX:
            self._end(f"{FAILURES_MAX} other blocks were given up")

    def _may_have(self, want: Want) -> bool:
        lackers = want.lackers or {}
        return any((peer.is_likely or peer.has_helped) and peer.name not in lackers for peer in self._peers.values())

    def _why_nothing_came(self) -> str:
        seconds = f"{self._patience:g} s"
        if not self._peers:
            return f"no peer was connected, and nothing came for {seconds}"
        asked = sum(1 for peer in self._peers.values() if peer.asked)
        if asked:
            return f"nothing came for {seconds}; peers asked: {asked}"
        return f"of the peers connected ({len(self._peers)}) none said in {seconds} that it has it"

    # What is late

    def _tick(self, now: float) -> None:
        late = min((peer.patience() for peer in self._peers.values() if peer.asked), default=TICK_SECONDS_MAX)
        self._tick_at = now + min(max(late / 2, TICK_SECONDS_MIN), TICK_SECONDS_MAX)
        for peer in list(self._peers.values()):
            if peer.asked:
                self._look_at_late(peer, now)
            elif (
                peer.probed and not peer.has_helped and not peer.is_partial and now - peer.silent_since > ANSWER_SECONDS
            ):
                # Who does not say whether it has a block is no help; others are tried.
                for cid in list(peer.probed):
                    self._take_dont_have(peer, cid, now)
        self._give_up_lacked(now)
        if now - self._progress_at > self._patience:
            self._end(self._why_nothing_came())
        if self._helpers:
            # What was not worth showing may be by now.
            self._unprobed = list(self._open_wants)
        self._fill_all()

    def _look_at_late(self, peer: PeerState, now: float) -> None:
        patience = peer.patience()
        # Not one byte: no way is slow in that manner for long. Others must have time to be asked before the fetch is given up.
        silence_max = min(max(patience, STALL_SECONDS * 2**peer.stalls), self._patience / SILENCES)
        if now - peer.silent_since > silence_max:
            self._stall(peer, now)
            return
        ahead = 0
        for cid, asked in list(peer.asked.items()):
            age = now - asked.at
            if age <= patience or self.statistics.moves >= MOVES_FREE + self.statistics.blocks // MOVES_SHARE:
                return
            ahead += asked.charged
            want = self._wants.get(cid)
            other = self._soonest(want, but=peer) if want is not None else None
            if want is None or other is None:
                continue
            # At the peer's rate it would be here now; what is late stays late for as long again, as far as anyone knows.
            here = age - patience - ahead / (peer.stats.rate or 1.0)
            if other.seconds_for(asked.charged) + max(MARGIN_SECONDS, patience) < here:
                self.statistics.moves += 1
                self._take_back(peer, want)
                self._ask(other, want)

    def _stall(self, peer: PeerState, now: float) -> None:
        """What a silent peer was asked for is opened for others. Where all others lack it, it stays: asking twice is no help."""
        peer.stats.stalled()
        peer.stalls += 1
        peer.silent_since = now
        peer.stalled_until = now + STALL_SECONDS * 2**peer.stalls
        self.statistics.stalls += 1
        for cid in list(peer.asked):
            want = self._wants.get(cid)
            if want is not None and any(
                other is not peer and not (want.lackers and other.name in want.lackers)
                for other in self._peers.values()
            ):
                self._take_back(peer, want)
        if peer.stalls >= STALLS_MAX and not peer.asked:
            self._drop(peer, "it does not answer")

    def _soonest(self, want: Want, but: PeerState) -> PeerState | None:
        """Of the other peers that may have a block, the one that would have it here first."""
        best: PeerState | None = None
        for peer in self._peers.values():
            if peer is but or self._now < peer.stalled_until or (want.lackers and peer.name in want.lackers):
                continue
            may_have = peer.is_likely or (want.holders and peer.name in want.holders)
            if may_have and (best is None or peer.seconds_for(0) < best.seconds_for(0)):
                best = peer
        return best

    # Asking

    def _place(self, peer: PeerState) -> None:
        """Puts a peer among strangers or helpers, or neither where it is likely to have everything."""
        self._to_fill[peer] = None
        if peer.is_helper:
            self._strangers.pop(peer, None)
            if peer not in self._helpers:
                self._helpers[peer] = None
                for want in self._open_wants:
                    self._probe_about(peer, want)
        elif peer.is_likely:
            self._strangers.pop(peer, None)
            self._helpers.pop(peer, None)
        else:
            self._strangers.setdefault(peer, None)

    def _fill_all(self) -> None:
        for peer in self._peers.values():
            self._to_fill[peer] = None

    def _fill(self) -> None:
        """Asks every peer that has room for what it can be asked for."""
        if self._to_fill and (self._helpers or self._strangers):
            self._probe()
        # Who stalled last gets what nobody else can take.
        stalled = [peer for peer in self._to_fill if peer.stalls]
        for peer in stalled:
            del self._to_fill[peer]
        self._to_fill.update(dict.fromkeys(stalled))
        while self._to_fill and self._in_flight < self._in_flight_max:
            peer = next(iter(self._to_fill))
            del self._to_fill[peer]
            if peer.wants_refill():
                self._fill_peer(peer)

    def _fill_peer(self, peer: PeerState) -> None:
        while peer.has_room(self._now) and self._in_flight < self._in_flight_max:
            want = self._next_for(peer)
            if want is None:
                return
            self._ask(peer, want)

    def _next_for(self, peer: PeerState) -> Want | None:
        while peer.offers:
            cid = next(iter(peer.offers))
            want = peer.offers.pop(cid)
            if want.is_open:
                return want
        if not peer.is_likely:
            return None
        if len(self._open_wants):
            open_want = self._open_wants.rarest_for(peer) if self._helpers else self._open_wants.first_for(peer)
            if open_want is not None:
                return open_want
        return self._take()

    def _take(self) -> Want | None:
        """The frontier's next block."""
        while (taken := self._frontier.take()) is not None:
            path, link = taken
            if link.cid not in self._wants:
                want = self._wants[link.cid] = Want(path, link)
                return want
        return None

    def _ask(self, peer: PeerState, want: Want) -> None:
        if want.is_open:
            self._open_wants.remove(want)
        want.asked = peer.name
        # A size is a claim; no block is larger than this.
        size = min(want.size, BLOCK_BYTES_MAX) if want.size is not None else int(self._size_guess)
        self._in_flight += size
        peer.ask(want.cid, size, self._now)

    # Probing: whether a peer has a block, where that is not known

    def _probe(self) -> None:
        if self._helpers:
            self._open_up_to(OPEN_WANTS)
            for want in self._unprobed:
                if want.is_open:
                    for peer in self._helpers:
                        self._probe_about(peer, want)
            self._unprobed.clear()
        if self._strangers:
            self._probe_strangers()

    def _open_up_to(self, count: int) -> None:
        while len(self._open_wants) < count:
            want = self._take()
            if want is None:
                return
            self._open(want)

    def _probe_about(self, peer: PeerState, want: Want) -> None:
        if not self._is_worth_probing(peer, want):
            return
        self._show(peer, want)

    def _show(self, peer: PeerState, want: Want) -> None:
        want.is_shown, want.shown_at = True, self._now
        peer.probe(want.cid)

    def _is_small(self, want: Want) -> bool:
        return (want.size if want.size is not None else self._size_guess) <= SMALL_BLOCK_BYTES_MAX

    def _is_worth_probing(self, peer: PeerState, want: Want) -> bool:
        # Called back in the message that is being made: a question in the same one would be merged with it.
        if want.cid in peer.to_send:
            return False
        if want.cid in peer.probed or len(peer.probed) + len(peer.asked) >= WANTS_MAX:
            return False
        if not self._is_small(want):
            return True
        # A small block is sent instead of the answer, by each who has it: one peer is shown it at a time, for lack of a likely one.
        if any(other.is_likely and not other.stalls for other in self._peers.values()):
            return False
        is_lacking = bool(want.lackers) and peer.name in (want.lackers or ())
        return not (want.is_shown or is_lacking) or self._now - want.shown_at > ANSWER_SECONDS

    def _probe_strangers(self) -> None:
        is_helped = len(self._strangers) < len(self._peers)
        for peer in islice(self._strangers, STRANGERS_AT_ONCE):
            is_new = peer.probes_left == STRANGER_PROBES
            if is_new and is_helped and self._strangers_tried >= STRANGERS_BESIDE_HELP:
                return
            if not peer.probes_left or len(peer.probed) >= STRANGER_PROBES_AT_ONCE:
                continue
            self._open_up_to(STRANGER_PROBES_AT_ONCE)
            for want in self._open_wants:
                if len(peer.probed) >= STRANGER_PROBES_AT_ONCE or not peer.probes_left:
                    break
                if self._is_worth_probing(peer, want):
                    self._show(peer, want)
                    peer.probes_left -= 1
            if is_new and peer.probed:
                self._strangers_tried += 1
                peer.silent_since = self._now
