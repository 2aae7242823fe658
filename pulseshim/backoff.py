"""A back-off: how long to wait before the next try, longer each time, never twice the same."""

from collections.abc import Callable

_FIRST = 0.1


class Backoff:
    """Waits that double from 0.1 s up to a longest, each shortened at random by up to a half.

    `random` gives a number in [0, 1). `first` is the shortest wait.
    """

    def __init__(self, longest: float, random: Callable[[], float], *, first: float = _FIRST) -> None:
        self._longest = longest
        self._first = first
        self._random = random
        self._failures = 0

    def next(self) -> float:
        """Give the seconds to wait after one more failure."""
        wait = min(self._longest, self._first * (1 << min(self._failures, 30)))
        self._failures += 1
        return wait * (1 - self._random() / 2)

    def reset(self) -> None:
        """Start from the shortest wait again: the last try went well."""
        self._failures = 0
