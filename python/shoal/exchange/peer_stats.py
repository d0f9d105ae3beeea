"""How fast a peer is and how far away, measured by what it delivers, and how much to ask of it at a time.

The depth is twice the bandwidth-delay product. The rate is the highest of some round trips, as each block measures it: bytes
delivered between its asking and its coming. So while the way is not full, each round trip doubles the depth; when it is
full, the rate stops growing, and so does the depth. The delay is the shortest, measured anew now and then with less asked.
After BBR (Cardwell et al., ACM Queue 14(5), 2016), with blocks in the place of packets.
"""

from __future__ import annotations

from shoal.exchange.limits import (
    DEPTH_BYTES_FIRST,
    DEPTH_BYTES_MIN,
    DEPTH_GAIN,
    IN_FLIGHT_BYTES_MAX,
    RATE_ROUND_TRIPS,
    RATE_SECONDS_MIN,
    REMEASURE_GAIN,
    REMEASURE_SECONDS,
)

SHORTEST_SECONDS = 1e-6


class PeerStats:
    """Estimates of one peer. Times are seconds of the caller's clock, rates bytes per second."""

    __slots__ = (
        "_delay_deviation",
        "_delay_mean",
        "_delay_min_at",
        "_rate_before",
        "_rate_now",
        "_rate_until",
        "_remeasuring_since",
        "delay_min",
        "delivered",
        "delivered_at",
        "depth",
    )

    def __init__(self) -> None:
        self.delivered = 0
        self.delivered_at = 0.0
        self.depth: int = DEPTH_BYTES_FIRST
        """Bytes that may be asked for and not be here."""
        self.delay_min: float | None = None
        """The shortest time from asking to coming; the block's own way included."""
        self._delay_min_at = 0.0
        self._delay_mean = 0.0
        self._delay_deviation = 0.0
        self._rate_now = 0.0
        self._rate_before = 0.0
        self._rate_until = 0.0
        self._remeasuring_since: float | None = None

    @property
    def rate(self) -> float:
        """Bytes per second; 0 when nothing has come yet."""
        return max(self._rate_now, self._rate_before)

    @property
    def delay_late(self) -> float:
        """The delay that some 95 of 100 blocks keep: mean and twice the mean deviation."""
        return self._delay_mean + 2 * self._delay_deviation

    def delivered_now(self, size: int, asked_at: float, delivered_then: int, then: float, now: float) -> None:
        """Bytes came, the last of which were asked for at `asked_at`, when `delivered_then` had come, the last of it at `then`."""
        self.delivered += size
        self.delivered_at = now
        self._delay(now - asked_at, asked_at, now)
        self._rate((self.delivered - delivered_then) / max(now - then, SHORTEST_SECONDS), now)
        self._set_depth()

    def answered_now(self, asked_at: float, now: float) -> None:
        """An answer without a block came."""
        self._delay(now - asked_at, asked_at, now)

    def stalled(self) -> None:
        """The peer was silent too long: what was measured is not believed any more."""
        self._rate_now = self._rate_before = 0.0
        self.depth = DEPTH_BYTES_MIN

    def seconds_for(self, size: int) -> float:
        """When so many bytes asked for now would be here; infinite where no rate is known."""
        rate = self.rate
        return (self.delay_min or 0.0) + size / rate if rate else float("inf")

    def _delay(self, delay: float, asked_at: float, now: float) -> None:
        if self.delay_min is None:
            self.delay_min, self._delay_min_at = delay, now
            self._delay_mean, self._delay_deviation = delay, delay / 2
            return
        # RFC 6298's gains.
        self._delay_deviation += (abs(delay - self._delay_mean) - self._delay_deviation) / 4
        self._delay_mean += (delay - self._delay_mean) / 8
        if self._remeasuring_since is not None and asked_at >= self._remeasuring_since:
            self.delay_min, self._delay_min_at, self._remeasuring_since = delay, now, None
        elif delay <= self.delay_min:
            self.delay_min, self._delay_min_at = delay, now
        elif self._remeasuring_since is None and now - self._delay_min_at > REMEASURE_SECONDS:
            self._remeasuring_since = now

    def _rate(self, rate: float, now: float) -> None:
        if now > self._rate_until:
            self._rate_before, self._rate_now = self._rate_now, 0.0
            self._rate_until = now + max(RATE_SECONDS_MIN, RATE_ROUND_TRIPS * (self.delay_min or 0.0))
        self._rate_now = max(self._rate_now, rate)

    def _set_depth(self) -> None:
        gain = DEPTH_GAIN if self._remeasuring_since is None else REMEASURE_GAIN
        product = gain * self.rate * (self.delay_min or 0.0)
        self.depth = int(min(max(product, DEPTH_BYTES_MIN), IN_FLIGHT_BYTES_MAX))
