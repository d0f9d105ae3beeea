"""A limit of bytes a second: a bucket that fills with time, and what is taken beyond it has to be waited for. Pure.

Whoever moves bytes takes them first and then waits, so what moves is never a part of a read or a send, and the average is kept.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BURST_SECONDS", "RateLimit"]

BURST_SECONDS: Final = 0.25
"""What may come at once after a silence, in seconds of the rate. Shorter, and timers would decide the rate; longer, and others notice."""


class RateLimit:
    """At most so many bytes a second, on average, of all who take from it.

    >>> from shoal.rate import RateLimit
    >>> limit = RateLimit(1000)
    >>> limit.take(200, now=10.0)
    0.0
    >>> limit.take(550, now=10.0)
    0.5
    """

    def __init__(self, bytes_per_second: float) -> None:
        if not bytes_per_second > 0:
            raise ValueError("a rate is more than nothing")
        self.bytes_per_second = bytes_per_second
        self._burst = bytes_per_second * BURST_SECONDS
        self._left = self._burst
        self._at: float | None = None

    def take(self, count: int, now: float) -> float:
        """Takes bytes that move now: seconds to wait before moving more. `now` never goes back; if it does, time stands still."""
        if self._at is not None and now > self._at:
            self._left = min(self._left + (now - self._at) * self.bytes_per_second, self._burst)
        self._at = now if self._at is None else max(now, self._at)
        self._left -= count
        return max(-self._left / self.bytes_per_second, 0.0)

    def step(self, bytes_max: int) -> int:
        """How much to move at a time, so that waits are short: a part of what a burst is, within 1 KiB and `bytes_max`."""
        return min(bytes_max, max(int(self._burst), 1024))
