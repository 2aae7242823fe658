"""The ground that faults happen on, for a test: made and cleared away."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.faults.ground import Ground
from tests.faults.plan import MOMENTS, SHORT, plan
from tests.faults.soak import soak
from tests.node import RabbitMQ

__all__ = ["MOMENTS", "SHORT", "Ground", "plan", "soak"]


@pytest.fixture
def make_ground(own_rabbitmq: RabbitMQ) -> Iterator[Callable[[int, int], Ground]]:
    """Give a maker of grounds: `make_ground(events, keys)`. Other users must get there."""
    with ExitStack() as stack:

        def make(events: int, keys: int) -> Ground:
            directory = tempfile.TemporaryDirectory(prefix="pulseshim-faults-", ignore_cleanup_errors=True)
            root = Path(stack.enter_context(directory))
            return stack.enter_context(closing(Ground(root, own_rabbitmq, events=events, keys=keys)))

        yield make
