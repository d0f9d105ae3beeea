"""Words for what comes and goes over the network: who sends how fast, what is waited for, and why nothing comes.

The one rule: nobody waits in the dark. After ten seconds without a byte it is said why, and what to do.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from shoal.cli.output import human_bytes, printable, printable_line
from shoal.results import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

_SILENCE_SECONDS = 10.0
_RATE_SECONDS = 2.0
_PEERS_NAMED = 3
_ID_LETTERS = 6


def short_id(peer: str) -> str:
    """A peer as people tell it from others: the end of its id, since all begin alike."""
    return "…" + printable(peer)[-_ID_LETTERS:]


class FetchWords:
    """Hears the events of a fetch, and shows them: through the progress bar if there is one, and as sentences when nothing comes."""

    def __init__(self, on_progress: Callable[[Progress], None] | None, content: str) -> None:
        self._on_progress = on_progress
        self._content = content
        self._came_at = time.monotonic()
        self._is_told = False
        self._bytes = 0
        self._unreachable: list[str] = []
        self._before: dict[str, int] = {}
        self._rates: dict[str, float] = {}
        self._rated_at = self._came_at

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if kind == "unreachable":
            self._unreachable.append(str(event["reason"]))
        elif kind == "progress":
            self._hear_progress(event)

    def _hear_progress(self, event: dict[str, Any]) -> None:
        now = time.monotonic()
        # What is stored is told; what has come and is not stored yet shows in the peers' own counts.
        came = sum(event["peers"].values())
        if came > self._bytes:
            self._bytes, self._came_at, self._is_told = came, now, False
        elif now - self._came_at >= _SILENCE_SECONDS and not self._is_told:
            self._is_told = True
            sys.stderr.write(f"shoal: {printable_line(self._why_nothing_comes(event))}\n")
            sys.stderr.flush()
        if now - self._rated_at >= _RATE_SECONDS:
            self._rates = {
                peer: (size - self._before.get(peer, 0)) / (now - self._rated_at)
                for peer, size in event["peers"].items()
            }
            self._before, self._rated_at = dict(event["peers"]), now
        if self._on_progress is not None:
            current = event["waiting"] or self._senders(event["peers"])
            self._on_progress(Progress("fetching", event["bytes"], event["bytes_total"], 0, None, current))

    def _senders(self, peers: dict[str, int]) -> str:
        """Who sends how fast, the fastest first."""
        if not self._rates:
            return f"from {len(peers)} peers" if len(peers) != 1 else f"from {short_id(next(iter(peers)))}"
        fastest = sorted(self._rates.items(), key=lambda item: -item[1])
        named = [f"{short_id(peer)} {human_bytes(int(rate))}/s" for peer, rate in fastest[:_PEERS_NAMED]]
        more = f" and {len(fastest) - _PEERS_NAMED} more" if len(fastest) > _PEERS_NAMED else ""
        return ", ".join(named) + more

    def _why_nothing_comes(self, event: dict[str, Any]) -> str:
        if self._bytes:
            return (
                f"nothing has come for {_SILENCE_SECONDS:.0f} s, after {human_bytes(self._bytes)}: the peers are silent, or gone. "
                "What came is stored; Ctrl-C ends this, and the same command goes on from there"
            )
        waiting = event["waiting"] or ""
        if "no peer" in waiting:
            tried = f" ({'; '.join(self._unreachable[:2])})" if self._unreachable else ""
            return (
                f"nothing comes: no peer is connected{tried}. On the machine that has it, run `shoal share`, and give its ticket here; "
                "or name its address with --peer"
            )
        return (
            f"nothing comes: the connected peers have not answered that they have {self._content}. Is it shared there, and does "
            "`shoal share` still run? --timeout sets how long to wait"
        )


class PeerWords:
    """Says on stderr who comes and goes, and, on a terminal, who takes how much at the moment."""

    def __init__(self) -> None:
        self._is_live = sys.stderr.isatty()
        self._is_drawn = False

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "connected":
            self._say(f"{short_id(event['peer'])} connected from {printable_line(event['address'])}")
        elif kind == "disconnected":
            moved = f"{human_bytes(event['sent_bytes'])} sent, {human_bytes(event['received_bytes'])} received"
            self._say(f"{short_id(event['peer'])} left: {moved}")
        elif kind == "unreachable":
            self._say(printable_line(str(event["reason"])))
        elif kind == "moving" and self._is_live:
            self.clear()
            sent, received = int(event["sent_bytes_per_second"]), int(event["received_bytes_per_second"])
            who = short_id(event["peer"])
            sys.stderr.write(f"{who} takes {human_bytes(sent)}/s and gives {human_bytes(received)}/s")
            sys.stderr.flush()
            self._is_drawn = True

    def _say(self, text: str) -> None:
        self.clear()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Takes the line away that changes."""
        if self._is_drawn:
            sys.stderr.write("\r\x1b[K")
            self._is_drawn = False
