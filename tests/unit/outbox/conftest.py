"""An outbox of one's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.outbox.box import Box


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """Give an empty outbox that knows two exchanges."""
    made = Box(tmp_path / "outbox.sqlite3")
    yield made
    made.database.close()
