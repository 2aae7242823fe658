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


def test_what_is_parked_of_a_user_has_a_bound(bench: Bench) -> None:
    """Else one could fill the disk as somebody else, past any quota; a retry reads what stayed a file."""
    bench.store.close()
    bench = Bench(bench.store.directory, largest=1 << 20)
    for number in range(6):
        bench.put(str(number), feed="none", stdin=b"x" * (400 << 10))
    bench.put("word")
    reader = bench.reader(most_parked=9 << 18)

    reader.read_all()
    first = [item.kind for item in bench.store.parked.items()]
    (file,) = [item for item in bench.store.parked.items() if item.kind == "file"]
    others = [item for item in bench.store.parked.items() if item.kind == "invocation"]
    bench.store.parked.discard(*others)
    bench.store.spool.bring_back(Path(file.subject))
    bench.store.parked.discard(file)
    reader.read_all()

    assert first == ["invocation"] * 5 + ["file"]
    assert "no plugin gives the feed 'none'" in file.cause
    assert "of its owner 1 MiB are parked" in file.cause
    assert bench.waiting() == ["word"]
    assert [item.kind for item in bench.store.parked.items()] == ["invocation"]
