"""Ways between nodes: delay, jitter, rate, loss, clogs, and a line that many ways share. Messages arrive whole and in order.

As over TCP, what is lost comes late: a lost message holds up all behind it for a time that doubles with each loss in a row, and
too many in a row cut the connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim.world import World

HEADER_BYTES = 60
LOSSES_MAX = 6
PIECE_SECONDS = 1.0


class Line:
    """A rate that what goes through it shares, first come, first served. `burst` bytes go through at once after a pause."""

    def __init__(self, rate: float, burst: float = 0.0) -> None:
        self.rate = rate
        self.burst_seconds = burst / rate
        self.free_at = 0.0
        self.bytes = 0

    def through(self, size: int, now: float) -> float:
        """When bytes given now are through."""
        self.bytes += size
        self.free_at = max(self.free_at, now - self.burst_seconds) + size / self.rate
        return max(self.free_at, now)


@dataclass
class Way:
    """How one direction between two nodes is."""

    delay: float = 0.02
    jitter: float = 0.0
    rate: float = 12.5e6
    burst: float = 0.0
    loss: float = 0.0


class Link:
    """One direction of a connection."""

    def __init__(self, world: World, way: Way, uplink: Line | None, cut: Callable[[], None]) -> None:
        self._world = world
        self._way = way
        self._line = Line(way.rate, way.burst)
        self._uplink = uplink
        self._cut = cut
        self._arrives_last = 0.0
        self._clogged_until = 0.0
        self._losses = 0
        self.bytes = 0

    @property
    def line(self) -> Line:
        return self._line

    def clog(self, until: float) -> None:
        """Nothing arrives before `until`; then all does."""
        self._clogged_until = max(self._clogged_until, until)

    def send(
        self, size: int, arrived: Callable[[], None], written: Callable[[], None], coming: Callable[[int], None]
    ) -> None:
        world, way = self._world, self._way
        size += HEADER_BYTES
        self.bytes += size
        begun = max(world.now, self._line.free_at)
        through = self._line.through(size, world.now)
        if self._uplink is not None:
            through = max(through, self._uplink.through(size, world.now))
        # Acknowledgements take time as well, but what waits for them is the system's buffer, not the program's.
        world.at(through, written)
        arrives = through + way.delay + (world.dice.random() * way.jitter if way.jitter else 0.0)
        while way.loss and world.dice.random() < way.loss:
            self._losses += 1
            arrives += max(0.2, 2 * way.delay) * 2**self._losses
            if self._losses >= LOSSES_MAX:
                world.at(arrives, self._cut)
                return
        self._losses = 0
        arrives = max(arrives, self._arrives_last, self._clogged_until)
        self._arrives_last = arrives
        pieces = int(min((arrives - begun) / PIECE_SECONDS, 100)) if through - begun > PIECE_SECONDS else 0
        for piece in range(1, pieces):
            when = begun + way.delay + piece * PIECE_SECONDS
            if when > self._clogged_until:
                world.at(when, lambda: coming(int(size / pieces)))
        world.at(arrives, arrived)
