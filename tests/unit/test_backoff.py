"""Back-off: how long to wait before the next try."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pulseshim.backoff import Backoff


def test_waits_double_up_to_the_longest() -> None:
    """The first comes quickly, a long outage is asked after every half minute."""
    backoff = Backoff(30.0, lambda: 0.0)

    waits = [round(backoff.next(), 3) for _ in range(11)]

    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 2**64), st.integers(1, 100), st.floats(0.1, 3600))
def test_a_wait_is_shortened_by_up_to_a_half(seed: int, failures: int, longest: float) -> None:
    """Many that lost the same broker do not come back at the same moment; none waits too long."""
    plain, shortened = Backoff(longest, lambda: 0.0), Backoff(longest, Random(seed).random)

    waits = [(shortened.next(), plain.next()) for _ in range(failures)]

    assert all(wait / 2 <= other <= wait <= longest for other, wait in waits)


def test_after_a_thousand_failures_it_still_waits() -> None:
    """An outage of days overflows nothing."""
    backoff = Backoff(30.0, lambda: 0.5)

    waits = [backoff.next() for _ in range(5000)]

    assert waits[-1] == 22.5


def test_a_success_starts_it_anew() -> None:
    """The next failure is a new one."""
    backoff = Backoff(30.0, lambda: 0.0)
    first = backoff.next()
    backoff.next()

    backoff.reset()

    assert backoff.next() == first
