"""The law of a limit: over any stretch of time, no more moves than the rate allows and one burst, whoever takes how much when."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from shoal.rate import BURST_SECONDS, RateLimit


@given(
    st.integers(1024, 10**9),
    st.lists(st.tuples(st.integers(1, 1 << 20), st.floats(0, 5)), min_size=1, max_size=50),
)
def test_no_stretch_of_time_sees_more_than_its_rate_and_a_burst(rate: int, steps: list[tuple[int, float]]) -> None:
    limit, now = RateLimit(rate), 100.0
    moved: list[tuple[float, int]] = []
    for count, pause in steps:
        now += pause
        moved.append((now, count))
        now += limit.take(count, now)
    for first, (begin, _) in enumerate(moved):
        total = 0
        for at, count in moved[first:-1]:
            total += count
            # Whatever moved up to the last step but one was waited for before the next.
            after = next((later for later, _ in moved if later > at), now)
            assert total <= rate * (after - begin + BURST_SECONDS) * (1 + 1e-9) + 1


def test_a_silence_saves_no_more_than_a_burst() -> None:
    limit = RateLimit(1000)
    assert limit.take(250, 0.0) == 0
    assert limit.take(251, 1_000_000.0) == pytest.approx(0.001)


def test_time_that_goes_back_gives_nothing() -> None:
    limit = RateLimit(1000)
    assert limit.take(250, 10.0) == 0
    assert limit.take(1000, 5.0) == 1.0
    assert limit.take(0, 10.5) == pytest.approx(0.5)


def test_a_step_is_short_at_every_rate() -> None:
    assert RateLimit(1).step(262144) == 1024
    assert RateLimit(8192).step(262144) == 2048
    assert RateLimit(10**9).step(262144) == 262144
    with pytest.raises(ValueError, match="more than nothing"):
        RateLimit(0)
