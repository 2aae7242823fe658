"""A bench for the relay."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.relay.bench import Bench


@pytest.fixture
def make_bench(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[int], Bench]:
    def make(window: int) -> Bench:
        bench = Bench(tmp_path, window)
        request.addfinalizer(bench.database.close)
        return bench

    return make


@pytest.fixture
def bench(make_bench: Callable[[int], Bench]) -> Bench:
    return make_bench(100)
