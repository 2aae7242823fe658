"""A private RabbitMQ node for a benchmark."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.node import RabbitMQ


@contextmanager
def node() -> Iterator[RabbitMQ]:
    """Give a node that is stopped and forgotten afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        found = RabbitMQ(Path(directory))
        found.start()
        try:
            yield found
        finally:
            found.stop()
