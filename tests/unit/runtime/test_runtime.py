"""The runtime: feeds and threads put together, with the broker in memory."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from pulseshim import (
    Envelope,
    Exchange,
    Feed,
    HookSource,
    Invocation,
    Parked,
    State,
    StreamSource,
    hookimpl,
)
from pulseshim.errors import StoreHeld
from pulseshim.spool import Spool
from pulseshim.store import Left, held_store, left_of
from tests.unit.runtime.runtime_site import (
    ONE,
    PATIENCE,
    Landed,
    Plugin,
    Site,
    hooked,
    polled,
    shim,
    wait_until,
)


def test_what_was_recorded_is_published(site: Site) -> None:
    """Events of the invocations in the order of recording, and nothing is left."""
    runtime = site.runtime(Plugin(hooked()))
    site.record("tests", "a", "b")
    site.record("tests", "c")

    left = site.work_off(runtime)

    assert (site.held(), left) == (["a", "b", "c"], Left(spool=0, pending=0, parked=0))


def test_an_invocation_of_a_missing_feed_waits_until_the_feed_is_back(site: Site) -> None:
    """It is parked, and goes on by itself once a plugin gives its feed."""
    first = site.work_off(site.runtime())
    site.record("tests", "a")
    second = site.work_off(site.runtime())

    third = site.work_off(site.runtime(Plugin(hooked())))

    assert (first.parked, second, third) == (0, Left(0, 0, parked=1), Left(0, 0, parked=0))
    assert site.held() == ["a"]


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1)])
def test_a_plugin_that_raises_parks_its_invocation_and_the_others_go_on(
    site: Site, error: BaseException
) -> None:
    """Even one that would end the process."""

    def broken(_invocation: Invocation, _state: State) -> Iterator[str]:
        yield "a"
        raise error

    runtime = site.runtime(Plugin(Feed("broken", HookSource(broken), shim, ONE), hooked()))
    site.record("broken")
    site.record("tests", "b")

    left = site.work_off(runtime)

    (item,) = runtime.store.parked.items()
    assert (site.held(), left.parked) == (["b"], 1)
    assert (item.feed, item.awaiting) == ("broken", "person")
    assert item.cause.startswith(type(error).__name__)
    assert "Traceback" in item.traceback


def test_a_service_reads_polls_and_listens_until_it_is_stopped(site: Site) -> None:
    """All three kinds of sources at once; what is recorded while it runs is noticed."""
    listening = threading.Event()

    def listen(_state: State, stop: threading.Event) -> Iterator[str]:
        yield "c"
        listening.set()
        stop.wait(PATIENCE)

    runtime = site.runtime(
        Plugin(
            hooked(),
            polled(lambda _state: ["b"]),
            Feed("heard", StreamSource(listen), shim, Exchange("exchange/tests/heard", "", "", (Landed,))),
        )
    )
    runtime.start()
    wait_until(listening.is_set)

    site.record("tests", "a")
    wait_until(lambda: len(site.publishers[""].held) == 3 and runtime.left().work == 0)
    alive = runtime.is_alive()
    left = runtime.stop()

    assert sorted(site.held()) == ["a", "b", "c"]
    assert (alive, runtime.is_alive(), left.work) == (True, False, 0)


def test_a_stop_waits_for_the_confirms_and_says_what_is_left(site: Site) -> None:
    """What cannot be published by then is in the outbox, and the next runtime publishes it."""
    runtime = site.runtime(Plugin(hooked()))
    site.publishers[""].block("low on disk")
    site.record("tests", "a")
    site.record("tests", "bad")
    runtime.start(watching=False)
    runtime.reader.read_all()
    site.record("tests", "c")

    left = runtime.stop()

    assert left == Left(spool=1, pending=1, parked=1)
    assert str(left) == "1 in the spool, 1 to publish, 1 parked"
    assert left_of(runtime.store) == left


def test_a_second_runtime_is_told_who_holds_the_store(site: Site) -> None:
    """Two would publish everything twice."""
    site.runtime(Plugin(hooked()))

    with (
        pytest.raises(StoreHeld, match=rf"pulseshim run \(process {os.getpid()}\) works on the store"),
        ExitStack() as stack,
    ):
        stack.enter_context(held_store(site.settings(), "drain"))


def test_a_new_runtime_forgets_the_conditions_of_the_one_before(site: Site) -> None:
    """`status` shows what is, and not what was before a crash."""
    before = site.runtime(Plugin(polled(lambda _state: [])))
    before.poll("polled")

    runtime = site.runtime()

    assert runtime.conditions.all() == []


class Observing(Plugin):
    """A plugin that notes what it is told, and fails over it when asked to."""

    def __init__(self, *feeds: Feed[str], fails: bool = False) -> None:
        super().__init__(*feeds)
        self.noted: list[tuple[str, str]] = []
        self._fails = fails

    def _note(self, what: str, subject: str) -> None:
        self.noted.append((what, subject))
        if self._fails:
            raise SystemExit("an observer")

    @hookimpl
    def pulseshim_message_stored(self, envelope: Envelope) -> None:
        """Note it."""
        self._note("stored", envelope.message_id)

    @hookimpl
    def pulseshim_envelope_confirmed(self, envelope: Envelope) -> None:
        """Note it."""
        self._note("confirmed", envelope.message_id)

    @hookimpl
    def pulseshim_item_parked(self, parked: Parked) -> None:
        """Note it."""
        self._note("parked", parked.feed)


@pytest.mark.parametrize("fails", [False, True])
def test_observers_hear_of_each_envelope_and_parked_item_and_stop_nothing(site: Site, *, fails: bool) -> None:
    """What they raise is theirs."""
    observer = Observing(hooked(), fails=fails)
    runtime = site.runtime(observer)
    site.record("tests", "a")
    site.record("tests", "bad")
    (message,) = shim("a")

    left = site.work_off(runtime)

    assert sorted(observer.noted) == [
        ("confirmed", message.message_id),
        ("parked", "tests"),
        ("stored", message.message_id),
    ]
    assert (site.held(), left.work) == (["a"], 0)


def test_maintenance_forgets_what_was_kept_long_enough(site: Site) -> None:
    """And sets aside what a recorder left half-written long ago."""
    settings = site.settings()
    runtime = site.runtime(Plugin(hooked()), settings=settings)
    site.record("tests", "a")
    site.work_off(runtime)
    unfinished = site.directory / "spool" / "tmp" / "left"
    unfinished.write_bytes(b"half")
    os.utime(unfinished, (0, 0))
    with runtime.store.database.step() as connection:
        connection.execute("UPDATE confirmed SET confirmed_at = 0")

    runtime.maintain()

    (item,) = runtime.store.parked.items()
    assert runtime.store.outbox.replayable("1", []) == 0
    assert (item.kind, "half-written" in item.cause) == ("file", True)


def test_what_is_on_its_way_from_the_spool_to_the_outbox_is_not_done(site: Site) -> None:
    """Another process reads while we count: what it moves meanwhile is counted at one place at least."""
    reading = site.runtime(Plugin(hooked())).reader
    site.record("tests", "a")
    store = reading._store

    class Moving(Spool):
        def names(self) -> list[str]:
            reading.read_all()
            return super().names()

    left = left_of(replace(store, spool=Moving(store.spool.directory, largest=1 << 20)))

    assert left == Left(spool=0, pending=1, parked=0)
