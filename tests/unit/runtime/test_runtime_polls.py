"""The runtime's polls: whole or not at all."""

import threading
from collections.abc import Iterator

import pytest

from pulseshim import SettingsError, State
from tests.unit.runtime.runtime_site import Plugin, Site, hooked, polled


def test_a_poll_stores_its_messages_and_its_cursor_in_one_step(site: Site) -> None:
    """The next poll goes on behind what was stored."""

    def poll(state: State) -> Iterator[str]:
        at = int(state.get("cursor").get("at", "0"))
        yield "abcdefgh"[at]
        state.set("cursor", {"at": str(at + 1)})

    runtime = site.runtime(Plugin(polled(poll)))

    failures = [runtime.poll("polled") for _ in range(3)]
    left = site.work_off(runtime)

    assert (failures, site.held(), left.work) == ([None] * 3, ["a", "b", "c"], 0)
    assert runtime.store.outbox.state("polled").get("cursor") == {"at": "3"}


@pytest.mark.parametrize("error", [OSError("no route"), SystemExit("login page")])
def test_a_poll_that_fails_changes_nothing_and_is_noted(site: Site, error: BaseException) -> None:
    """Neither what it gave before nor the cursor is stored: it will ask for all of it again."""

    def poll(state: State) -> Iterator[str]:
        state.set("cursor", {"at": "1"})
        yield "a"
        raise error

    runtime = site.runtime(Plugin(polled(poll)))

    failure = runtime.poll("polled")

    (condition,) = runtime.conditions.all()
    assert failure is error
    assert (runtime.left().pending, runtime.store.outbox.state("polled").get("cursor")) == (0, {})
    assert (condition.subject, condition.condition, condition.detail) == (
        "poll polled",
        "failed",
        f"{type(error).__name__}: {error}",
    )


def test_a_shim_that_raises_makes_its_poll_fail(site: Site) -> None:
    """Half a poll is not stored."""
    runtime = site.runtime(Plugin(polled(lambda _state: ["a", "bad"])))

    failure = runtime.poll("polled")

    assert isinstance(failure, ValueError)
    assert runtime.left().pending == 0


def test_a_feed_that_no_one_polls_cannot_be_polled(site: Site) -> None:
    """A hook's feed has nothing to ask."""
    runtime = site.runtime(Plugin(hooked()))

    with pytest.raises(TypeError, match="tests is no feed that can be polled"):
        runtime.poll("tests")


def test_a_schedule_that_is_none_starts_no_thread(site: Site) -> None:
    """Nothing is published by a service that cannot start: it would be, again and again, at each new try."""
    runtime = site.runtime(Plugin(polled(lambda _state: [], every="at noon")))
    before = set(threading.enumerate())

    with pytest.raises(SettingsError, match="no cron expression"):
        runtime.start()

    assert set(threading.enumerate()) <= before
    assert not runtime.store.outbox.waiting()
