"""How feeds are polled: what is stored, when a source is asked again, and what is left for others to see."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest

from pulseshim import (
    Checkpoint,
    Exchange,
    Feed,
    Message,
    PollSource,
    Settings,
    SettingsError,
    SourceUnavailable,
    State,
)
from pulseshim.condition import Condition, Conditions
from pulseshim.polls import Polls
from pulseshim.settings import StoreSettings
from pulseshim.source import Outlet
from pulseshim.store import Store, open_store

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()


class Rung(Message, frozen=True, kw_only=True):
    """A bell rang."""

    type: ClassVar[str] = "bell.rung"

    number: int


class Bell:
    """A source that gives what a test puts into `events`: numbers, checkpoints and errors."""

    def __init__(self) -> None:
        self.events: list[int | Checkpoint | Exception] = []
        self.asked = 0

    def poll(self, state: State) -> Iterator[int | Checkpoint]:
        """Give the events; the cursor is the last number."""
        self.asked += 1
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            if isinstance(event, int):
                state.set("cursor", {"number": str(event)})
            yield event

    def rewind(self, state: State, since: datetime) -> None:
        """Note how far back."""
        state.set("cursor", {"since": since.isoformat()})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Give a store of its own."""
    store = open_store(Settings(store=StoreSettings(directory=str(tmp_path))))
    yield store
    store.close()


@pytest.fixture
def bell() -> Bell:
    """Give the source."""
    return Bell()


@pytest.fixture
def outlets(bell: Bell) -> list[Outlet]:
    """Give its one outlet."""
    exchange = Exchange("exchange/bell/rings", "Rings", "Rings.", (Rung,))
    source: PollSource[int] = PollSource(bell.poll, "* * * * *", rewind=bell.rewind)

    def shim(number: int) -> list[Message]:
        return [Rung(routing_key="bell", event_id=str(number), number=number)]

    return [Outlet(Feed("bell", source, shim, exchange), "")]


@pytest.fixture
def make_polls(store: Store) -> Callable[[list[float]], Polls]:
    """Give a maker of polls with a clock: the one number of a list."""

    def make(clock: list[float]) -> Polls:
        conditions = Conditions(store.database, lambda: 0)
        return Polls(store.outbox, conditions, lambda _: None, random=lambda: 0.0, now=lambda: clock[0])

    return make


def conditions(store: Store) -> list[Condition]:
    """Give what status would show."""
    return Conditions(store.database, lambda: 0).all()


def test_what_came_before_a_checkpoint_stays_when_a_poll_fails(
    bell: Bell, outlets: list[Outlet], store: Store, make_polls: Callable[[list[float]], Polls]
) -> None:
    """Events and cursor of a step are stored together; those behind it are not."""
    bell.events = [1, 2, Checkpoint(), 3, SourceUnavailable("the bell is down", "wait")]

    error = make_polls([NOON]).once(outlets)

    assert isinstance(error, SourceUnavailable)
    assert store.outbox.waiting() == {"": 2}
    assert store.outbox.state("bell").get("cursor") == {"number": "2"}
    assert conditions(store) == [Condition("poll bell", "failed", "the bell is down: wait", 0)]


@pytest.mark.parametrize(
    ("error", "condition"),
    [(SettingsError("wrong", "correct it"), "refused"), (ValueError("odd"), "failed"), (None, "done")],
)
def test_a_wrong_setting_is_told_apart_from_an_outage(
    bell: Bell,
    outlets: list[Outlet],
    store: Store,
    make_polls: Callable[[list[float]], Polls],
    error: Exception | None,
    condition: str,
) -> None:
    """In what status shows, too."""
    bell.events = [error] if error else []

    assert make_polls([NOON]).once(outlets) is error
    assert [found.condition for found in conditions(store)] == [condition]


def test_a_source_that_says_when_to_come_back_is_left_alone_by_the_next_process(
    bell: Bell, outlets: list[Outlet], make_polls: Callable[[list[float]], Polls]
) -> None:
    """The pause is in the store; it ends by itself, and a poll that went well leaves none."""
    bell.events = [SourceUnavailable("busy", retry_after=120)]
    make_polls([NOON]).once(outlets)
    bell.events = []

    later, clock = make_polls([NOON + 20]), [NOON + 120]
    waiting, skipped = later.wait("bell"), later.by_schedule(outlets)
    asked = bell.asked
    after = make_polls(clock)
    due, done = after.wait("bell"), after.by_schedule(outlets)

    assert (waiting, skipped, asked) == (100, 100, 1)
    assert (due, done, bell.asked) == (0, 0, 2)
    assert make_polls([NOON]).wait("bell") == 0


def test_a_clock_that_was_set_back_prolongs_no_pause(
    bell: Bell, outlets: list[Outlet], make_polls: Callable[[list[float]], Polls]
) -> None:
    """Else two minutes that a source asked for would become two hours and two minutes."""
    bell.events = [SourceUnavailable("busy", retry_after=120)]
    make_polls([NOON]).once(outlets)

    waiting = make_polls([NOON - 7200]).wait("bell")

    assert waiting == 0


def test_a_source_that_fails_is_asked_again_after_growing_pauses(
    bell: Bell, outlets: list[Outlet], make_polls: Callable[[list[float]], Polls]
) -> None:
    """They grow up to five minutes; what the schedule says in between puts nothing off."""
    clock = [NOON]
    polls = make_polls(clock)
    bell.events = [SourceUnavailable("down")]
    pauses = []
    for _ in range(9):
        pauses.append(polls.by_schedule(outlets))
        clock[0] += pauses[-1] / 2
        assert polls.by_schedule(outlets) == pauses[-1] / 2
        clock[0] += pauses[-1] / 2

    bell.events = []
    recovered = polls.by_schedule(outlets)
    bell.events = [SourceUnavailable("down")]

    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert bell.asked == 10
    assert recovered == 0
    assert polls.by_schedule(outlets) == 5


def test_a_poll_from_an_earlier_time_sets_the_source_back_first(
    bell: Bell, outlets: list[Outlet], store: Store, make_polls: Callable[[list[float]], Polls]
) -> None:
    """It is stored with what came of it: a poll that fails leaves the cursor where it was."""
    polls, since = make_polls([NOON]), datetime(2026, 1, 1, tzinfo=UTC)
    bell.events = [SourceUnavailable("down")]
    polls.once(outlets, since)
    failed = store.outbox.state("bell").get("cursor")
    bell.events = []
    polls.once(outlets, since)

    assert failed == {}
    assert store.outbox.state("bell").get("cursor") == {"since": "2026-01-01T00:00:00+00:00"}


def test_a_service_forgets_the_polls_of_feeds_that_are_gone(store: Store) -> None:
    """How the others went last stays, so that status shows it before the next."""
    found = Conditions(store.database, lambda: 0)
    for subject in ("poll bell", "poll gone", "relay"):
        found.set(subject, "done", "")

    found.clear(keep=["poll bell"])

    assert [condition.subject for condition in found.all()] == ["poll bell"]


def test_a_long_poll_says_how_far_it_is(
    bell: Bell, outlets: list[Outlet], make_polls: Callable[[list[float]], Polls]
) -> None:
    """Whoever waits at a terminal sees the number grow."""
    bell.events = [1, 2, Checkpoint(), 3, Checkpoint(), 4]
    told: list[str] = []

    make_polls([NOON]).once(outlets, went_on=told.append)

    assert told == ["polling bell: 3 messages so far", "polling bell: 4 messages so far"]


@pytest.mark.parametrize("events", [[], [SourceUnavailable("busy", retry_after=3)]])
def test_a_store_that_cannot_be_written_lets_a_source_be_asked_again(
    bell: Bell,
    outlets: list[Outlet],
    store: Store,
    make_polls: Callable[[list[float]], Polls],
    events: list[int | Checkpoint | Exception],
) -> None:
    """Soon, not a day later: that it failed could not be noted, either."""
    bell.events = events
    polls = make_polls([NOON])
    store.database.query("PRAGMA query_only = ON")

    wait = polls.by_schedule(outlets)

    assert (wait, bell.asked) == (5, 1)


def test_a_poll_that_outlasts_the_store_fails_in_one_line(
    bell: Bell,
    outlets: list[Outlet],
    store: Store,
    make_polls: Callable[[list[float]], Polls],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A service that ends waits for no poll: it is an error of the poll, and raises in no thread."""
    polls = make_polls([NOON])
    bell.events = [1]
    store.close()

    wait = polls.by_schedule(outlets)

    assert wait > 0
    assert [record.getMessage() for record in caplog.records] == ["poll failed"]


def test_a_pause_that_was_asked_for_during_a_poll_outlasts_it(
    bell: Bell, outlets: list[Outlet], make_polls: Callable[[list[float]], Polls]
) -> None:
    """The same source may be asked by others at the same time: what it told them holds."""
    polls = make_polls([NOON])

    def tell(_text: str) -> None:
        polls.pause("bell", 600)

    bell.events = [1, Checkpoint(), 2]

    error = polls.once(outlets, went_on=tell)

    assert error is None
    assert polls.wait("bell") == 600
