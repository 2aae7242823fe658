"""The reader: what a plugin or a user does wrong is theirs, and has a bound."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulseshim import Invocation, State
from tests.unit.reader.bench import Bench


@pytest.mark.parametrize("key", [None, b"key", ["key"]])
def test_a_value_that_no_store_takes_parks_its_invocation(bench: Bench, key: Any) -> None:
    """It is the plugin that is wrong, not the store: the next invocation is read."""

    def count(invocation: Invocation, state: State) -> Iterator[str]:
        state.count(key)
        yield from invocation.arguments

    def give(_invocation: Invocation, _state: State) -> Iterator[str]:
        yield key

    bench.put("counted", feed="counting")
    bench.put("given", feed="giving")
    bench.put("word")

    bench.reader(counting=count, giving=give).read_all()

    assert bench.waiting() == ["word"]
    assert [item.feed for item in bench.store.parked.items()] == ["counting", "giving"]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Bench]:
    """Give an empty store for invocations of 1 MiB at most."""
    made = Bench(tmp_path / "small", largest=1 << 20)
    yield made
    made.store.close()


def test_what_is_parked_of_a_user_has_a_bound(small: Bench) -> None:
    """Else one could fill the disk as somebody else, past any quota; a retry reads what stayed a file."""
    for number in range(6):
        small.put(str(number), feed="none", stdin=b"x" * (400 << 10))
    small.put("word")
    reader = small.reader(most_parked=9 << 18)

    reader.read_all()
    first = [item.kind for item in small.store.parked.items()]
    (file,) = [item for item in small.store.parked.items() if item.kind == "file"]
    others = [item for item in small.store.parked.items() if item.kind == "invocation"]
    small.store.parked.discard(*others)
    small.store.spool.bring_back(Path(file.subject))
    small.store.parked.discard(file)
    reader.read_all()

    assert first == ["invocation"] * 5 + ["file"]
    assert "no plugin gives the feed 'none'" in file.cause
    assert "of its owner 1 MiB are parked" in file.cause
    assert small.waiting() == ["word"]
    assert [item.kind for item in small.store.parked.items()] == ["invocation"]
