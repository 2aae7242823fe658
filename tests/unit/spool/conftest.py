"""A spool of one's own."""

from pathlib import Path

import pytest

from pulseshim.spool import Spool
from tests.unit.spool.recorded import prepared


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Give a spool with nothing in it."""
    return prepared(tmp_path / "spool")
