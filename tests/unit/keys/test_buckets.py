"""Token buckets: what leaves in any time stays under the line, and refusals take nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.ids import SaeId
from poliqi.keys.buckets import UNLIMITED, Bucket, Quota, Rate, RateLimiter

A, B, C = SaeId("a"), SaeId("b"), SaeId("c")


class Book:
    """Quotas from a table."""

    def __init__(self, table: dict[tuple[str, str | None], Quota]) -> None:
        self.table = table

    def quota(self, master: SaeId, slave: SaeId | None) -> Quota:
        return self.table.get((master, slave), UNLIMITED)


def test_a_full_bucket_gives_its_burst_and_then_its_rate() -> None:
    limiter = RateLimiter(Book({("a", None): Quota(keys=Rate(per_s=2.0, burst=10.0))}))
    assert limiter.take(A, (B,), 10, 2560, now=100.0) is None
    assert limiter.take(A, (B,), 1, 256, now=100.0) == pytest.approx(0.5)
    assert limiter.take(A, (B,), 1, 256, now=100.5) is None


def test_bits_are_limited_apart_from_keys() -> None:
    limiter = RateLimiter(Book({("a", None): Quota(bits=Rate(per_s=1000.0, burst=4096.0))}))
    assert limiter.take(A, (B,), 1, 4096, now=0.0) is None
    assert limiter.take(A, (B,), 1, 256, now=0.0) == pytest.approx(0.256)


def test_a_pair_has_its_own_bucket() -> None:
    limiter = RateLimiter(Book({("a", "b"): Quota(keys=Rate(1.0, 1.0))}))
    assert limiter.take(A, (B,), 1, 256, now=0.0) is None
    assert limiter.take(A, (C,), 1, 256, now=0.0) is None
    assert limiter.take(A, (B,), 1, 256, now=0.0) == pytest.approx(1.0)


def test_a_refusal_of_one_pair_takes_nothing_of_the_others() -> None:
    limiter = RateLimiter(Book({("a", None): Quota(keys=Rate(1.0, 5.0)), ("a", "c"): Quota(keys=Rate(1.0, 1.0))}))
    assert limiter.take(A, (C,), 1, 256, now=0.0) is None
    assert limiter.take(A, (B, C), 1, 256, now=0.0) == pytest.approx(1.0)
    assert limiter.take(A, (B,), 4, 1024, now=0.0) is None


def test_a_request_larger_than_the_burst_is_owed_for() -> None:
    limiter = RateLimiter(Book({("a", None): Quota(keys=Rate(10.0, 5.0))}))
    assert limiter.take(A, (B,), 25, 0, now=0.0) is None
    assert limiter.take(A, (B,), 1, 0, now=0.0) == pytest.approx(2.1)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(Rate(1.0, 1.0), now=50.0)
    bucket.take(1.0, 50.0)
    assert bucket.level(10.0) == 0.0
    assert bucket.level(50.5) == pytest.approx(0.5)


def test_without_quotas_everything_is_granted() -> None:
    limiter = RateLimiter(Book({}))
    assert limiter.take(A, (B, C), 10**6, 10**9, now=0.0) is None


def test_a_reload_keeps_what_was_taken() -> None:
    limiter = RateLimiter(Book({("a", None): Quota(keys=Rate(1.0, 10.0))}))
    limiter.take(A, (B,), 10, 0, now=0.0)
    limiter.adopt(Book({("a", None): Quota(keys=Rate(1.0, 100.0))}), now=0.0)
    assert limiter.take(A, (B,), 1, 0, now=0.0) == pytest.approx(1.0)


def test_a_reload_caps_what_is_left_by_the_new_burst() -> None:
    limiter = RateLimiter(Book({("a", None): Quota(keys=Rate(1.0, 100.0))}))
    limiter.take(A, (B,), 1, 0, now=0.0)
    limiter.adopt(Book({("a", None): Quota(keys=Rate(1.0, 3.0))}), now=0.0)
    assert limiter.take(A, (B,), 3, 0, now=0.0) is None
    assert limiter.take(A, (B,), 1, 0, now=0.0) == pytest.approx(1.0)


def test_a_reload_may_lift_a_limit() -> None:
    limiter = RateLimiter(Book({("a", None): Quota(keys=Rate(1.0, 1.0))}))
    limiter.take(A, (B,), 1, 0, now=0.0)
    limiter.adopt(Book({}), now=0.0)
    assert limiter.take(A, (B,), 99, 0, now=0.0) is None


@pytest.mark.parametrize(("per_s", "burst"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (float("nan"), 1.0)])
def test_a_rate_of_nothing_is_a_mistake(per_s: float, burst: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Rate(per_s, burst)


@given(
    st.floats(0.1, 1000.0),
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(1, 80)), min_size=1, max_size=60),
)
def test_never_more_than_burst_and_rate_leaves(per_s: float, burst: int, asks: list[tuple[float, int]]) -> None:
    """The token bucket's line: over any time T, at most burst + per_s T, and one request more by the debt."""
    limiter = RateLimiter(Book({("a", None): Quota(keys=Rate(per_s, float(burst)))}))
    now, given_out = 0.0, [(0.0, 0)]
    for pause, number in asks:
        now += pause
        if limiter.take(A, (B,), number, 0, now) is None:
            given_out.append((now, number))
    largest = max(number for _, number in given_out)
    for i, (start, _) in enumerate(given_out):
        left = sum(number for _, number in given_out[i:])
        assert left <= burst + largest + per_s * (now - start) + 1e-6 * burst


@given(st.floats(0.01, 1e6), st.floats(1.0, 1e6), st.lists(st.integers(1, 1000), min_size=1, max_size=20))
def test_waiting_as_told_is_enough(per_s: float, burst: float, asks: list[int]) -> None:
    limiter = RateLimiter(Book({("a", None): Quota(keys=Rate(per_s, burst))}))
    now = 1e6
    for number in asks:
        wait_s = limiter.take(A, (B,), number, 0, now)
        if wait_s is not None:
            assert wait_s > 0.0
            now += wait_s * (1.0 + 1e-9) + 1e-9
            assert limiter.take(A, (B,), number, 0, now) is None
