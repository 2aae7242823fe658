"""Polls and streams: what they give is stored with the state it leaves, step by step."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from pulseshim import Checkpoint, Exchange, Feed, HookSource, Message, PollSource, State, StreamSource
from pulseshim.added import Added
from pulseshim.database import Database
from pulseshim.envelope import Envelope
from pulseshim.outbox import Outbox
from pulseshim.source import Outlet, listen, messages, poll


class Counted(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.counted"
    number: int


ONE = Exchange("exchange/tests/one", "Tests", "Of the tests.", (Counted,))
TWO = Exchange("exchange/tests/two", "Tests", "Of the tests.", (Counted,))

Events = Iterable[int | Checkpoint]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Give the database of an empty outbox."""
    opened = Database(tmp_path / "outbox.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database, lambda: 1000)


def shim(number: int) -> Iterator[Counted]:
    """Make a message of each number; of none below zero, which no shim can translate."""
    if number < 0:
        raise ValueError(f"{number} is negative")
    yield Counted(routing_key="a", event_id=str(number), number=number)


def polled(ask: Callable[[State], Events]) -> tuple[list[Outlet], PollSource[int]]:
    """Give the outlet of a feed that is polled so."""
    source = PollSource(ask, timedelta(minutes=1))
    return [Outlet(Feed("tests", source, shim, ONE), "")], source


def drain(steps: Iterator[Added]) -> list[int]:
    """Give how many envelopes each step of a poll stored."""
    return [len(envelopes) for envelopes in steps]


def stored(outbox: Outbox) -> list[str]:
    """Give exchange and number of what waits, in order."""
    envelopes = [waiting.envelope for waiting in outbox.pending("", limit=100)]
    return [f"{sealed.exchange} {json.loads(sealed.body)['payload']['number']}" for sealed in envelopes]


def test_the_type_of_the_events_may_be_written_where_a_feed_is_made() -> None:
    """An author may say `Feed[int](…)`, for a type checker that cannot see it otherwise."""
    hook = HookSource[int](lambda _invocation, _state: [])
    stream = StreamSource[int](lambda _state, _stop: iter(()))

    feeds = [Feed[int]("tests", source, shim, ONE) for source in (hook, stream)]

    assert [feed.source for feed in feeds] == [hook, stream]


def test_an_event_goes_to_every_shim_before_the_next_event_does() -> None:
    """Feeds that share a source announce one event next to each other."""
    source = PollSource[int](lambda _state: [], timedelta(minutes=1))
    outlets = [Outlet(Feed("tests", source, shim, exchange), exchange.name) for exchange in (ONE, TWO)]

    outgoing = list(messages(outlets, [1, 2]))

    assert [(out.exchange, out.account, out.message.event_id) for out in outgoing] == [
        (ONE, ONE.name, "1"),
        (TWO, TWO.name, "1"),
        (ONE, ONE.name, "2"),
        (TWO, TWO.name, "2"),
    ]


def test_a_poll_without_checkpoints_is_one_step(outbox: Outbox) -> None:
    """Its messages and its cursor are both true or neither."""

    def ask(state: State) -> Events:
        yield from (1, 2, 3)
        state.set("cursor", {"at": "3"})

    steps = drain(poll(outbox, *polled(ask)))

    assert steps == [3]
    assert outbox.state("tests").get("cursor") == {"at": "3"}


def test_each_checkpoint_is_a_step(outbox: Outbox) -> None:
    """A source that catches up on much stores as it goes: after each step both others see it."""
    seen = []

    def ask(state: State) -> Events:
        for number in (1, 2, 3):
            yield number
            state.set("cursor", {"at": str(number)})
            yield Checkpoint()
            seen.append((len(stored(outbox)), outbox.state("tests").get("cursor")))

    steps = drain(poll(outbox, *polled(ask)))

    assert steps == [1, 1, 1, 0]
    assert seen == [(1, {"at": "1"}), (2, {"at": "2"}), (3, {"at": "3"})]


def test_what_came_before_the_last_checkpoint_survives_a_failure(outbox: Outbox) -> None:
    """What came after it is not stored, nor is the state that was set then; the error goes through."""

    def ask(state: State) -> Events:
        yield 1
        state.set("cursor", {"at": "1"})
        yield Checkpoint()
        yield 2
        state.set("cursor", {"at": "2"})
        raise ConnectionError("page 3 is missing")

    with pytest.raises(ConnectionError, match="page 3"):
        drain(poll(outbox, *polled(ask)))

    assert stored(outbox) == ["exchange/tests/one 1"]
    assert outbox.state("tests").get("cursor") == {"at": "1"}


def test_a_shim_that_raises_fails_the_poll_and_stores_nothing(outbox: Outbox) -> None:
    """An event that cannot be translated must not be stepped over by the cursor."""

    def ask(state: State) -> Events:
        state.set("cursor", {"at": "9"})
        yield from (1, -1, 2)

    with pytest.raises(ValueError, match="-1 is negative"):
        drain(poll(outbox, *polled(ask)))

    assert stored(outbox) == []
    assert outbox.state("tests").get("cursor") == {}


def test_what_a_poll_has_given_before_is_not_stored_twice(outbox: Outbox) -> None:
    """Polls overlap on purpose: the same event has the same id, and the exchange has it once."""
    outlets, source = polled(lambda _state: [1, 2])
    drain(poll(outbox, outlets, source))

    steps = drain(poll(outbox, outlets, source))

    assert steps == [0]
    assert len(stored(outbox)) == 2


def heard(
    outbox: Outbox, ask: Callable[[State, threading.Event], Iterator[int | Checkpoint]]
) -> list[list[int]]:
    """Listen until the source sets the event; give the sequences of each step that was stored."""
    told: list[list[int]] = []
    source = StreamSource(ask)
    outlets = [Outlet(Feed("tests", source, shim, ONE), "")]

    def take(envelopes: Iterable[Envelope]) -> None:
        told.append([envelope.sequence for envelope in envelopes])

    listen(outbox, outlets, source, threading.Event(), take, lambda: 0.0, lambda *_: None)
    return told


def test_each_event_of_a_stream_is_stored_before_the_next_is_asked_for(outbox: Outbox) -> None:
    """With the state as it was when the event was given; a checkpoint stores the state alone."""
    seen = []

    def ask(state: State, stop: threading.Event) -> Iterator[int | Checkpoint]:
        for number in (1, 2):
            state.set("cursor", {"at": str(number)})
            yield number
            seen.append((len(stored(outbox)), outbox.state("tests").get("cursor")))
        state.set("cursor", {"at": "end"})
        yield Checkpoint()
        stop.set()

    told = heard(outbox, ask)

    assert seen == [(1, {"at": "1"}), (2, {"at": "2"})]
    assert outbox.state("tests").get("cursor") == {"at": "end"}
    assert told == [[1], [2], []]


def test_a_stream_that_fails_is_listened_to_anew_from_what_is_stored(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """What it had set and not yet stored is forgotten, as if the process had ended there."""
    cursors = []

    def ask(state: State, stop: threading.Event) -> Iterator[int]:
        cursors.append(state.get("cursor"))
        if len(cursors) == 3:
            stop.set()
            return
        state.set("cursor", {"at": str(len(cursors))})
        yield len(cursors)
        state.set("cursor", {"at": "never stored"})
        raise ConnectionError("the stream was cut")

    told = heard(outbox, ask)

    assert cursors == [{}, {"at": "1"}, {"at": "2"}]
    assert told == [[1], [2]]
    assert [record.__dict__["error"] for record in caplog.records] == [
        "ConnectionError: the stream was cut"
    ] * 2


def test_a_stream_whose_shim_raises_is_listened_to_anew(outbox: Outbox) -> None:
    """The event that could not be stored is not stepped over: the state before it still holds."""
    cursors = []

    def ask(state: State, stop: threading.Event) -> Iterator[int]:
        cursors.append(state.get("cursor"))
        if len(cursors) == 2:
            stop.set()
            return
        state.set("cursor", {"at": "-1"})
        yield -1

    told = heard(outbox, ask)

    assert cursors == [{}, {}]
    assert told == []


def test_a_stream_is_not_begun_once_it_is_stopped(outbox: Outbox) -> None:
    """A service that ends starts no connection anew."""
    stop = threading.Event()
    stop.set()
    source = StreamSource[int](lambda _state, _stop: pytest.fail("it was listened to"))

    listen(
        outbox,
        [Outlet(Feed("tests", source, shim, ONE), "")],
        source,
        stop,
        lambda _: None,
        lambda: 0.0,
        lambda *_: None,
    )

    assert stored(outbox) == []
