"""The figures of a store, as status and the metrics show them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from pulseshim import Exchange, Message
from pulseshim.backlog import ExchangeFigures, figures
from pulseshim.condition import Condition, Conditions
from pulseshim.outbox import Outgoing
from pulseshim.recorder import record
from pulseshim.settings import Settings, StoreSettings
from pulseshim.store import Store, held_store, open_store

MINUTE = 60_000


class Noted(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.noted"


ONE = Exchange("exchange/tests/one", "Tests", "Of the tests.", (Noted,))
TWO = Exchange("exchange/other/two", "Tests", "Of the tests.", (Noted,))


class Clock:
    """A clock that stands where it was set, in milliseconds since 1970."""

    def __init__(self) -> None:
        self.at = 0

    def __call__(self) -> int:
        """Give the time."""
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=StoreSettings(directory=str(tmp_path / "store")))


@pytest.fixture
def store(settings: Settings, clock: Clock) -> Iterator[Store]:
    """Give an empty store whose exchanges are known."""
    opened = open_store(settings, now=clock)
    opened.outbox.readdress({ONE.name: "", TWO.name: "other"}, ["other"])
    yield opened
    opened.close()


def note(store: Store, event_id: str, exchange: Exchange = ONE, account: str = "") -> None:
    """Store one message."""
    store.outbox.store([Outgoing(Noted(routing_key="a", event_id=event_id), exchange, "tests", account)])


def test_an_empty_store_has_nothing_to_tell(store: Store) -> None:
    """Zero and None, never an error: it is what a new installation shows."""
    now = figures(store)

    assert (now.spool, now.spool_oldest, now.pending) == (0, None, 0)
    assert (now.parked, now.counters, now.cursors, now.conditions) == ({}, [], [], [])
    assert (now.directory, now.running) == (store.directory, "")


def test_the_spool_tells_how_many_wait_and_since_when(store: Store) -> None:
    """By the time in the name: the file itself need not be read."""
    for minute in (3, 1, 2):
        spool = os.fsencode(store.spool.directory)
        record(spool, b"tests", (), (), b"", b"/", minute * MINUTE * 10**6, bytes([minute]) * 16)  # type: ignore[no-untyped-call] # hooks carry a copy
    (store.spool.directory / "new" / "foreign").touch()

    now = figures(store)

    assert (now.spool, now.spool_oldest) == (3, MINUTE)


def test_each_exchange_tells_what_waits_and_what_was_confirmed(store: Store, clock: Clock) -> None:
    """The oldest that waits is the age of the backlog; confirms are counted for ever."""
    for at, event_id in ((1, "1"), (2, "2"), (3, "3")):
        clock.at = at * MINUTE
        note(store, event_id)
    clock.at = 4 * MINUTE
    note(store, "4", TWO, "other")
    store.outbox.confirm("", store.outbox.pending("", limit=1))
    clock.at = 5 * MINUTE
    store.outbox.confirm("other", store.outbox.pending("other", limit=1))
    store.outbox.prune(6 * MINUTE)

    now = figures(store)

    assert now.exchanges == [
        ExchangeFigures(
            exchange=TWO.name, account="other", pending=0, oldest=None, confirmed=1, confirmed_at=5 * MINUTE
        ),
        ExchangeFigures(
            exchange=ONE.name,
            account="",
            pending=2,
            oldest=2 * MINUTE,
            confirmed=1,
            confirmed_at=4 * MINUTE,
        ),
    ]
    assert now.pending == 2


def test_parked_items_are_counted_by_kind(store: Store) -> None:
    """Each kind needs something else of a person."""
    note(store, "1")
    store.parked.park_envelope("", store.outbox.pending("", limit=1)[0], "refused")
    store.parked.park_invocation("id-1", "tests", b"", "raised")
    store.parked.park_files([("/a", "foreign", None)])
    store.parked.park_files([("/b", "foreign", None)])

    now = figures(store)

    assert now.parked == {"envelope": 1, "file": 2, "invocation": 1}
    assert now.pending == 0


def test_cursors_and_counters_of_sources_are_shown(store: Store) -> None:
    """Of the state of a source, its cursor alone is for people; odd bytes are shown as they can be."""
    state = store.outbox.state("tests")
    state.set("cursor", {"at": "2026-01-01", "odd": "caf\udce9"})
    state.set("refs", {"main": "1"})
    state.count("private")
    store.outbox.store([], state=state)

    now = figures(store)

    assert now.cursors == [("tests", "at", "2026-01-01"), ("tests", "odd", "caf\ufffd")]
    assert now.counters == [("tests", "private", 1)]


def test_conditions_are_told_only_while_a_service_runs(settings: Settings, store: Store) -> None:
    """What a service that was killed left behind is no news of now."""
    Conditions(store.database, lambda: 7).set("relay", "blocked", "low on memory")

    before = figures(store)
    with held_store(settings, "run"):
        meanwhile = figures(store)

    assert before.conditions == []
    assert meanwhile.conditions == [Condition("relay", "blocked", "low on memory", 7)]
    assert meanwhile.running == f"pulseshim run (process {os.getpid()})"


def test_a_condition_keeps_the_time_of_its_change(store: Store, clock: Clock) -> None:
    """`since` is when it became so; a new detail is no change."""
    conditions = Conditions(store.database, clock)
    for at, condition, detail in ((1, "blocked", "memory"), (2, "blocked", "disk"), (3, "connected", "")):
        clock.at = at
        conditions.set("relay", condition, detail)
        conditions.set(f"relay {condition}", condition, detail)

    every = conditions.all()

    assert every == [
        Condition("relay", "connected", "", 3),
        Condition("relay blocked", "blocked", "disk", 1),
        Condition("relay connected", "connected", "", 3),
    ]


def test_a_condition_may_speak_of_bytes_that_are_no_text(store: Store, clock: Clock) -> None:
    """What a poll failed on may be any file name: the next poll must come all the same."""
    conditions = Conditions(store.database, clock)

    conditions.set("poll tests", "failed", "no such file: caf\udce9")

    assert [condition.detail for condition in conditions.all()] == ["no such file: caf\\xe9"]
