"""The reader: each invocation in the spool is stored, in order and once."""

import logging
import threading
from collections.abc import Iterable, Iterator

import pytest

from pulseshim import Feed, HookSource, Invocation, State
from pulseshim.reader import Reader
from pulseshim.source import Outlet
from tests.unit.reader.bench import ONE, TWO, Bench, shim, words


def test_what_was_recorded_is_stored_in_order_and_its_files_are_removed(bench: Bench) -> None:
    """Oldest first; those who observe are told of each invocation once it is stored."""
    bench.put("one", "two")
    bench.put()
    bench.put("three")

    read = bench.reader().read_all()

    assert read == 3
    assert bench.waiting() == bench.stored == ["one", "two", "three"]
    assert bench.store.spool.names() == []
    assert bench.store.parked.items() == []


def test_state_and_messages_of_an_invocation_are_one_step(bench: Bench) -> None:
    """What the source counted is there with the messages, and not without them."""

    def fails_behind_two(invocation: Invocation, state: State) -> Iterator[str]:
        state.set("seen", {invocation.id: "1"})
        yield from words(invocation, state)
        if len(invocation.arguments) > 1:
            raise RuntimeError("more than one word")

    bench.put("one", "two")
    bench.put("three")

    bench.reader(fails_behind_two).read_all()

    assert bench.waiting() == ["three"]
    assert bench.store.database.query("SELECT count FROM counters") == [(1,)]
    assert len(bench.store.outbox.state("words").get("seen")) == 1


def test_a_file_that_was_left_behind_is_not_read_twice(bench: Bench) -> None:
    """The machine stopped between the step and the removal: the invocation is stored, the file goes."""
    name = bench.put("one")
    content = (bench.new / name).read_bytes()
    bench.reader().read_all()
    (bench.new / name).write_bytes(content)

    bench.reader(lambda _invocation, _state: pytest.fail("it was read again")).read_all()

    assert bench.waiting() == ["one"]
    assert bench.store.spool.names() == []


def test_feeds_of_one_reading_are_stored_together(bench: Bench) -> None:
    """The source is read once, and each event goes to every shim."""
    bench.put("a", "b")
    source = HookSource(words)
    outlets = [Outlet(Feed("words", source, shim, exchange), "") for exchange in (ONE, TWO)]

    Reader(bench.store, {"words": outlets}, random=lambda: 0.0).read_all()

    assert bench.waiting() == ["a", "a", "b", "b"]
    assert bench.store.database.query("SELECT count FROM counters") == [(2,)]


def test_an_invocation_of_many_messages_is_one_step_in_order(bench: Bench) -> None:
    """Those that did not stay in memory come behind those that did."""
    bench.put()

    bench.reader(lambda _invocation, _state: map(str, range(2500))).read_all()

    assert bench.waiting() == list(map(str, range(2500)))


def test_a_reader_that_is_stopped_leaves_the_rest_in_the_spool(bench: Bench) -> None:
    """It ends behind the invocation it is at, so that a stop does not take as long as the backlog."""
    stop = threading.Event()

    def stop_behind_the_first(invocation: Invocation, state: State) -> Iterator[str]:
        yield from words(invocation, state)
        stop.set()
        reader.wake()

    for word in ("one", "two", "three"):
        bench.put(word)

    reader = bench.reader(stop_behind_the_first)
    reader.run(stop)

    assert bench.waiting() == ["one"]
    assert len(bench.store.spool.names()) == 2


def test_one_line_of_the_log_tells_what_became_of_an_invocation(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """With its id, by which it is found in the spool, among what is parked, and in the messages."""
    caplog.set_level(logging.INFO)
    bench.put("fine")
    bench.put("", feed="words")
    bench.put(feed="unknown")
    (bench.new / "foreign").touch()

    bench.reader().read_all()

    lines = [(line.message, line.__dict__.get("invocation", "")[-1:]) for line in caplog.records]
    assert lines == [
        ("invocation read", "1"),
        ("invocation parked", "2"),
        ("invocation parked", "3"),
        ("file set aside", ""),
    ]
    (message,) = bench.store.outbox.pending("", limit=10)
    assert caplog.records[0].__dict__["messages"] == [message.envelope.message_id]
    assert caplog.records[0].__dict__["count"] == 1


def test_the_line_of_a_large_invocation_stays_short(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It says how many messages there are, and the ids of ten of them."""
    caplog.set_level(logging.INFO)
    bench.put(*map(str, range(300)))

    bench.reader().read_all()

    (line,) = caplog.records
    first = [stored.envelope.message_id for stored in bench.store.outbox.pending("", limit=10)]
    assert (line.__dict__["count"], line.__dict__["messages"]) == (300, first)
    assert bench.stored == list(map(str, range(300)))


def test_reading_once_ends_when_it_is_told_to(bench: Bench) -> None:
    """As in a drain that is interrupted: what was begun is stored, the rest stays for the next."""
    stop = threading.Event()

    def last(invocation: Invocation, _state: State) -> Iterable[str]:
        stop.set()
        return invocation.arguments

    names = [bench.put(text) for text in ("one", "two", "three")]

    count = bench.reader(last).read_all(stop)

    assert (count, bench.waiting()) == (1, ["one"])
    assert bench.store.spool.names() == names[1:]
