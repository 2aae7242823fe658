"""A database with one table of notes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pulseshim.database import Database
from tests.unit.database.notes import FIRST


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite3"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """Give a database with one table of notes."""
    opened = Database(path, migrations=[FIRST])
    yield opened
    opened.close()
