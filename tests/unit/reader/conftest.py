"""A bench for the reader."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.reader.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Give an empty store."""
    made = Bench(tmp_path / "store")
    yield made
    made.store.close()
