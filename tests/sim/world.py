"""One clock, one heap of events, one seed, and a trace of what happened. Nothing else in a simulation tells time or rolls dice."""

from __future__ import annotations

import hashlib
import heapq
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class World:
    """Runs events in the order of their time, and of their making where times are equal."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        self.dice = Random(seed)
        self.events = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._made = 0
        self._trace = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = None
        """Set it to a list to have the trace in words as well."""

    def at(self, time: float, event: Callable[[], None]) -> None:
        self._made += 1
        heapq.heappush(self._heap, (max(time, self.now), self._made, event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        self.at(self.now + seconds, event)

    def run(self, until: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Runs until nothing is left to happen, or the time is over, or `is_over`."""
        while self._heap and not is_over():
            time, _, event = heapq.heappop(self._heap)
            if time > until:
                self.now = until
                return
            self.now = time
            self.events += 1
            event()

    def note(self, *what: object) -> None:
        """A line of the trace."""
        line = f"{self.now:.9f} {' '.join(map(str, what))}\n"
        self._trace.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    @property
    def trace(self) -> str:
        """A hash of all that was noted."""
        return self._trace.hexdigest()
