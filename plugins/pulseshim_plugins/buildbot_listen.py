"""The listener: follows one master. What is announced comes from the master's state alone.

It reads what it may have missed, then reads again where the master's events say that something happened, and
everything each time `every` has passed.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from threading import Event

from pulseshim import Checkpoint, State, seconds
from pulseshim_plugins.buildbot_arrivals import CHANGES, REQUESTS, WORKERS, Changes, Requests, Workers
from pulseshim_plugins.buildbot_builds import BUILDS, Builds
from pulseshim_plugins.buildbot_client import Client
from pulseshim_plugins.buildbot_events import EventsLost, NoEvents, hear
from pulseshim_plugins.buildbot_frames import Hint
from pulseshim_plugins.buildbot_history import HISTORIES, begin_another, identity
from pulseshim_plugins.buildbot_options import MasterOptions, server
from pulseshim_plugins.buildbot_rows import Rows
from pulseshim_shims.buildbot_event import BuildbotEvent, Heartbeat

log = logging.getLogger(__name__)

_STOP_SECONDS = 0.5
_STEP = 100
_DATED = (
    (BUILDS, "buildid", "complete_at"),
    (REQUESTS, "buildrequestid", "complete_at"),
    (CHANGES, "changeid", "when_timestamp"),
)


class Listener:
    """One session with a master, from logging in to the loss of the connection."""

    def __init__(
        self, client: Client, state: State, options: MasterOptions, now: Callable[[], float]
    ) -> None:
        self._state = state
        self._now = now
        self._heartbeat = seconds(options.heartbeat)
        is_new = _is_new(client, state, server(options.url), int(now()))
        # From outside, nothing tells one run of a master from the next but that the connection was lost.
        self._rows = Rows(client, identity(state, server(options.url)), f"boot{int(now())}")
        self._builds = Builds(client, state, self._rows, steps=options.steps)
        self._changes = Changes(client, state, self._rows)
        self._requests = Requests(client, state, self._rows)
        self._workers = Workers(client, state, self._rows)
        if is_new:
            self._begin(server(options.url))

    def _begin(self, name: str) -> None:
        """Begin from now."""
        for key in self._state.keys():  # noqa: SIM118 - a state is no mapping
            if key != HISTORIES:
                self._state.set(key, {})
        self._state.set("cursor", {"server": name})
        for part in (self._builds, self._changes, self._requests, self._workers):
            part.begin()

    def look(self) -> Iterator[BuildbotEvent]:
        """Give all that is to be announced."""
        now = int(self._now())
        yield from self._changes.look(now)
        yield from self._requests.look(now)
        yield from self._builds.look(now)
        yield from self._workers.look(now)
        number = int(now // self._heartbeat) if self._heartbeat else 0
        if number and str(number) != self._state.get("cursor").get("heartbeat"):
            self._state.set("cursor", {**self._state.get("cursor"), "heartbeat": str(number)})
            yield Heartbeat(master=self._rows.master(), number=number)

    def look_at(self, hints: list[Hint]) -> Iterator[BuildbotEvent]:
        """Give what is to be announced of what hints tell of."""
        now = int(self._now())
        numbers: dict[str, set[int]] = defaultdict(set)
        for hint in hints:
            numbers[hint.resource].add(hint.number)
        if CHANGES in numbers:
            yield from self._changes.look(now)
        if REQUESTS in numbers:
            yield from self._requests.look(now, numbers[REQUESTS])
        if "steps" in numbers:
            yield from self._builds.look(now)
        elif BUILDS in numbers:
            yield from self._builds.look(now, numbers[BUILDS])
        if WORKERS in numbers:
            yield from self._workers.look(now, [hint.row for hint in hints if hint.resource == WORKERS])


def _is_new(client: Client, state: State, name: str, now: int) -> bool:
    """Say whether a master is not known, or began anew itself; take note of that."""
    cursor = state.get("cursor")
    if cursor.get("server") != name:
        return True
    if not _is_another(client, int(cursor.get(BUILDS, "0"))):
        return False
    log.warning("master began anew, its history is another", extra={"master": name})
    begin_another(state, name, now)
    return True


def _is_another(client: Client, last: int) -> bool:
    """Say whether a master's history is another than the one that was read up to a build.

    A lower number of its last build is not enough, a cache on the way may say that: the build is asked for.
    """
    if client.last(BUILDS, "buildid") >= last:
        return False
    return not client.among(BUILDS, "buildid", [last])


def catch_up(
    state: State, options: MasterOptions, now: Callable[[], float] = time.time
) -> Iterator[BuildbotEvent | Checkpoint]:
    """Look once at a master: what there is to announce by now. Raises as `listen` does."""
    with Client(options) as client:
        listener = Listener(client, state, options, now)
        yield Checkpoint()
        for number, event in enumerate(listener.look(), 1):
            yield event
            if not number % _STEP:
                yield Checkpoint()


def rewind(
    state: State, since: datetime, options: MasterOptions, now: Callable[[], float] = time.time
) -> None:
    """Set the state back: the next look gives the builds and requests that ended from a time on, too.

    And the changes that were made from then on. What was there before, between them, is given as well.
    """
    with Client(options) as client:
        Listener(client, state, options, now)
        for resource, field, time_of in _DATED:
            place = [(f"{time_of}__ge", int(since.timestamp())), ("order", field), ("limit", 1)]
            for row in client.rows(resource, place):
                cursor = state.get("cursor")
                first = min(int(cursor.get(resource, "0")), row[field] - 1)
                state.set("cursor", {**cursor, resource: str(first)})


def listen(
    state: State, stop: Event, options: MasterOptions, now: Callable[[], float] = time.time
) -> Iterator[BuildbotEvent | Checkpoint]:
    """Follow a master until `stop` is set. Raises `MasterUnavailable` and `SettingsError`."""
    try:
        with Client(options) as client:
            # Heard before it is looked at: what happens in between is a hint that waits.
            events = hear(client, options, stop)
            try:
                listener = Listener(client, state, options, now)
                yield Checkpoint()
                # Not before: with a new master, what happened before its place was kept is not announced.
                log.info("master followed", extra={"master": options.url})
                while not stop.is_set():
                    if isinstance(events, NoEvents):
                        events = hear(client, options, stop)
                    yield from listener.look()
                    yield Checkpoint()
                    due = time.monotonic() + seconds(options.every)
                    while not stop.is_set() and (left := due - time.monotonic()) > 0:
                        hints = events.wait(min(left, _STOP_SECONDS))
                        if hints:
                            yield from listener.look_at(hints)
                            yield Checkpoint()
            finally:
                events.close()
    except EventsLost as error:
        log.info("master lost", extra={"master": options.url, "error": str(error)})
