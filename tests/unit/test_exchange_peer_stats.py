"""Rates, delays and depths, from deliveries over a way whose rate and delay are known."""

from __future__ import annotations

import pytest

from shoal.exchange.limits import DEPTH_BYTES_FIRST, DEPTH_BYTES_MIN, IN_FLIGHT_BYTES_MAX, REMEASURE_SECONDS
from shoal.exchange.peer_stats import PeerStats

BLOCK = 64 * 1024


def over_a_way(stats, *, rate, delay, seconds, start=0.0):
    """Keeps the way as full as the depth says; blocks go through one after the other. Returns the largest depth."""
    under_way = []
    free_at = now = start
    most = 0
    while now < start + seconds:
        while sum(BLOCK for _ in under_way) < stats.depth:
            free_at = max(free_at, now + delay / 2) + BLOCK / rate
            under_way.append((free_at + delay / 2, now, stats.delivered, stats.delivered_at if under_way else now))
        now, asked_at, delivered, then = under_way.pop(0)
        stats.delivered_now(BLOCK, asked_at, delivered, then, now)
        most = max(most, stats.depth)
    return most


@pytest.mark.parametrize("rate", [1e6, 1e8])
@pytest.mark.parametrize("delay", [0.001, 0.05, 0.2])
def test_the_depth_grows_to_twice_what_the_way_holds_and_no_further(rate, delay):
    stats = PeerStats()
    assert stats.depth == DEPTH_BYTES_FIRST
    most = over_a_way(stats, rate=rate, delay=delay, seconds=max(3, 20 * delay))
    holds = rate * (delay + BLOCK / rate)
    assert stats.rate == pytest.approx(rate, rel=0.05)
    if 2 * holds > DEPTH_BYTES_FIRST:
        assert most >= min(1.9 * holds, IN_FLIGHT_BYTES_MAX)
    assert most <= max(2.2 * holds, DEPTH_BYTES_FIRST)


def test_a_longer_delay_is_noticed_when_the_shortest_is_measured_again():
    stats = PeerStats()
    over_a_way(stats, rate=1e7, delay=0.02, seconds=5)
    before = stats.delay_min
    over_a_way(stats, rate=1e7, delay=0.035, seconds=3 * REMEASURE_SECONDS, start=5)
    assert before == pytest.approx(0.02 + BLOCK / 1e7, rel=0.1)
    assert stats.delay_min == pytest.approx(0.035 + BLOCK / 1e7, rel=0.2)


def test_a_lower_rate_is_believed_after_some_round_trips():
    stats = PeerStats()
    over_a_way(stats, rate=1e8, delay=0.02, seconds=3)
    over_a_way(stats, rate=1e6, delay=0.02, seconds=10, start=3)
    assert stats.rate == pytest.approx(1e6, rel=0.1)


def test_nothing_is_estimated_from_nothing():
    stats = PeerStats()
    assert stats.seconds_for(1) == float("inf")
    stats.answered_now(0.0, 0.5)
    assert (stats.delay_min, stats.rate, stats.depth) == (0.5, 0.0, DEPTH_BYTES_FIRST)


def test_all_at_once_and_in_no_time_is_no_division_by_nothing():
    stats = PeerStats()
    stats.delivered_now(BLOCK, 1.0, 0, 1.0, 1.0)
    assert DEPTH_BYTES_MIN <= stats.depth <= IN_FLIGHT_BYTES_MAX


def test_what_was_measured_is_not_believed_after_a_stall():
    stats = PeerStats()
    over_a_way(stats, rate=1e8, delay=0.05, seconds=3)
    stats.stalled()
    assert (stats.rate, stats.depth) == (0.0, DEPTH_BYTES_MIN)
