"""A process that may end at any moment: the fuse that ends it, and the database that it leaves behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from pulseshim.database import Database
from pulseshim.errors import StoreUnavailable


class Crash(BaseException):
    """The process ends here: no `except Exception` may see it."""


class Fuse:
    """Ends the process after so many of the moments at which it may end; None: it does not."""

    def __init__(self) -> None:
        self.left: int | None = None

    def burn(self) -> None:
        """Be at one such moment."""
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.left = None
                raise Crash


class FragileDatabase(Database):
    """A database whose process may end before a step, before its commit and after it; its disk can fill."""

    def __init__(self, path: Path, fuse: Fuse) -> None:
        self.fuse = fuse
        self.full_for = 0
        super().__init__(path)
        # The process may end here, the machine does not lose power: nothing has to reach the disk.
        self.query("PRAGMA synchronous = OFF")

    @contextmanager
    def step(self) -> Iterator[Any]:
        """Give the connection inside a transaction."""
        self.fuse.burn()
        with super().step() as connection:
            yield connection
            self.fuse.burn()
            if self.full_for:
                self.full_for -= 1
                raise StoreUnavailable("the disk is full")
        self.fuse.burn()


def steps(examples: int, count: int) -> settings:
    """Give the settings of a machine that works on files: how long it takes does not count."""
    return settings(
        max_examples=examples,
        stateful_step_count=count,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
