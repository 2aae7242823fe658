"""A bench for admission."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.admission.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.database.close()
