"""How a source that speaks by itself is: what is noted of it, and how it is asked once."""

import threading
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
    Settings,
    SettingsError,
    SourceUnavailable,
    State,
    StreamSource,
    hookimpl,
)
from pulseshim.backlog import figures
from pulseshim.condition import Conditions
from pulseshim.errors import CommandFailed, StoreUnavailable
from pulseshim.metrics import store_metrics
from pulseshim.plugin_manager import PluginManager
from pulseshim.polls import Polls
from pulseshim.runtime import Runtime
from pulseshim.settings import StoreSettings
from pulseshim.source import Outlet, listen
from pulseshim.store import Store, held_store, milliseconds
from pulseshim.testing import MemoryPublisher

Session = Callable[[State, threading.Event], Iterator[int | Checkpoint]]


class Rung(Message, frozen=True, kw_only=True):
    """A bell rang."""

    type: ClassVar[str] = "bell.rung"

    number: int


RINGS = Exchange("exchange/bell/rings", "Rings", "Rings.", (Rung,))


def shim(number: int) -> list[Message]:
    """Make a message of each number."""
    return [Rung(routing_key="bell", event_id=str(number), number=number)]


class Pauses(threading.Event):
    """A stop event that notes how long it is waited for, and does not let wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Note the time."""
        self.seconds.append(timeout or 0.0)
        return self.is_set()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of a store of its own."""
    return Settings(store=StoreSettings(directory=str(tmp_path / "store")))


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """Give a store that is held, as by a service."""
    with held_store(settings, "run") as store:
        yield store


def bell(*sessions: list[int | Checkpoint | Exception]) -> Session:
    """Give a stream that gives and raises what is listed for each session, and then is to be stopped."""
    left = iter(sessions)

    def ring(_state: State, stop: threading.Event) -> Iterator[int | Checkpoint]:
        session = next(left, None)
        if session is None:
            stop.set()
            return
        for each in session:
            if isinstance(each, Exception):
                raise each
            yield each

    return ring


def outlets(source: StreamSource[int]) -> list[Outlet]:
    """Give the one outlet of a stream."""
    return [Outlet(Feed("bell", source, shim, RINGS), "")]


def hear(store: Store, stop: threading.Event, condition: Callable[[str, str], None], ring: Session) -> None:
    """Listen until the stream has given all it has."""
    source = StreamSource(ring)
    listen(store.outbox, outlets(source), source, stop, lambda _: None, lambda: 0.0, condition)


def test_how_a_stream_is_and_why_is_told_when_it_changes(store: Store) -> None:
    """Connected with the first it gives; then why it failed; a wrong setting is told apart from an outage."""
    told: list[tuple[str, str]] = []

    hear(
        store,
        Pauses(),
        lambda *condition: told.append(condition),
        bell(
            [SourceUnavailable("the bell is down", "wait")],
            [Checkpoint(), 1, 2, OSError("cut")],
            [SettingsError("the key is refused", "correct it")],
            [3],
        ),
    )

    assert told == [
        ("failed", "the bell is down: wait"),
        ("connected", ""),
        ("failed", "OSError: cut"),
        ("refused", "the key is refused: correct it"),
        ("connected", ""),
        ("ended", "it is listened to anew"),
    ]


def test_a_stream_that_says_when_to_come_back_is_left_alone_until_then(store: Store) -> None:
    """A pause of its own is longer than ours would be; without one, ours holds."""
    stop = Pauses()

    hear(
        store,
        stop,
        lambda *_: None,
        bell([SourceUnavailable("busy", retry_after=120)], [SourceUnavailable("down")]),
    )

    assert stop.seconds[0] == 120
    assert all(seconds < 60 for seconds in stop.seconds[1:])


def test_a_condition_that_cannot_be_noted_does_not_end_the_stream(store: Store) -> None:
    """A full disk under the store keeps nobody from being heard later."""

    def full(_condition: str, _why: str) -> None:
        raise StoreUnavailable("the disk is full", "make room")

    hear(store, Pauses(), full, bell([OSError("cut")], [1], [2]))

    assert len(store.outbox.pending("", limit=9)) == 2


def polls(store: Store) -> Polls:
    """Give the polls of a store."""
    conditions = Conditions(store.database, milliseconds)
    return Polls(store.outbox, conditions, lambda _: None, random=lambda: 0.0, now=lambda: 0.0)


def test_a_stream_that_can_be_asked_once_is_polled(store: Store) -> None:
    """What it has to tell by now is stored, from an earlier time on where that is wanted."""
    since: list[datetime] = []

    def ask(state: State) -> Iterator[int | Checkpoint]:
        yield int(state.get("cursor").get("number", "1"))
        yield Checkpoint()
        yield 9

    source = StreamSource(bell(), poll=ask, rewind=lambda _state, at: since.append(at))

    failures = [polls(store).once(outlets(source), at) for at in (None, datetime(2026, 1, 2, tzinfo=UTC))]

    assert failures == [None, None]
    assert [stored.envelope.type for stored in store.outbox.pending("", limit=9)] == ["bell.rung"] * 2
    assert since == [datetime(2026, 1, 2, tzinfo=UTC)]
    (condition,) = figures(store).conditions
    assert (condition.subject, condition.condition) == ("poll bell", "done")


def test_a_stream_that_only_speaks_by_itself_cannot_be_polled(store: Store) -> None:
    """It says so in words."""
    error = polls(store).once(outlets(StreamSource(bell())))

    assert isinstance(error, CommandFailed)
    assert "cannot be polled" in str(error)


def samples(store: Store) -> dict[str, float]:
    """Give by feed what the metrics say of sources."""
    return {
        sample.labels["feed"]: sample.value
        for family in store_metrics(figures(store), milliseconds())
        for sample in family.samples
        if sample.name == "pulseshim_source_up"
    }


def test_the_metrics_say_which_sources_are_up(store: Store) -> None:
    """A stream while it is connected, a poll while its last one did not fail."""
    conditions = Conditions(store.database, milliseconds)
    for subject, condition in {
        "relay": "connected",
        "stream a": "connected",
        "stream b": "failed",
        "stream c": "ended",
        "poll d": "done",
        "poll e": "refused",
    }.items():
        conditions.set(subject, condition, "")

    assert samples(store) == {"a": 1, "b": 0, "c": 0, "d": 1, "e": 0}


def test_a_service_that_listens_forgets_how_the_last_poll_of_the_stream_went(
    settings: Settings, store: Store
) -> None:
    """From then on the stream tells of itself: an outage that cron met is no news of now."""

    class Plugin:
        """A plugin with a stream."""

        @hookimpl
        def pulseshim_feeds(self) -> list[Feed[int]]:
            """Give it."""
            return [outlets(StreamSource(waiting))[0].feed]

    begun = threading.Event()

    def waiting(_state: State, stop: threading.Event) -> Iterator[int | Checkpoint]:
        yield Checkpoint()
        begun.set()
        stop.wait(60)

    Conditions(store.database, milliseconds).set("poll bell", "failed", "down")
    manager = PluginManager()
    manager.register("bell", Plugin())
    runtime = Runtime(settings, store, manager, lambda *_: MemoryPublisher(), random=lambda: 0.0)

    kept = [each.subject for each in runtime.conditions.all()]
    runtime.start()
    assert begun.wait(60)
    heard = {each.subject: each.condition for each in runtime.conditions.all()}
    runtime.stop()

    assert kept == ["poll bell"]
    assert heard["stream bell"] == "connected"
    assert "poll bell" not in heard
