"""Polling one Bugzilla: what changed since the last poll, and the cursor that it leaves."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from pulseshim import Checkpoint, SettingsError, State, seconds
from pulseshim_plugins.bugzilla_client import Client, Row
from pulseshim_plugins.bugzilla_history import Histories, forget_read, want_again
from pulseshim_plugins.bugzilla_options import Server
from pulseshim_plugins.bugzilla_walk import Capacity, walk
from pulseshim_shims.bugzilla import BugChange, BugEvent

log = logging.getLogger(__name__)

PAGE = 2000
"""How many bugs are asked for at once."""

_PAGE_WITH_CHANGES = 200

_CURSOR = "cursor"
_SERVER = "server"
_CONNECTED_FOR = 3600.0
_DAY = timedelta(days=1)


@dataclass(slots=True)
class _Connection:
    client: Client
    until: float


class Poller:
    """Polls one server. It keeps its connection, and looks after an hour whether its key is still known.

    The state under `cursor`: `time` is up to where all changes were read, by the server's clock; `begin` is
    the first start, which no poll looks behind; `walk` is where a walk that is not finished began.
    """

    def __init__(self, server: Server, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._connection: _Connection | None = None
        self._anonymous: Client | None = None

    def poll(self, state: State) -> Iterator[BugEvent | Checkpoint]:
        """Give the bugs that changed, page by page. Raises `SourceUnavailable` or `SettingsError`."""
        client = self._client()
        try:
            yield from self._changed(client, state)
        except SettingsError:
            # When it is corrected, the key is read and tried again.
            self._forget()
            raise

    def rewind(self, state: State, since: datetime) -> None:
        """Set the cursor back, so that the next poll gives all that changed since a time."""
        at = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        cursor = state.get(_CURSOR)
        begin = min(at, cursor.get("begin", at))
        walk = {"walk": min(at, cursor["walk"])} if "walk" in cursor else {}
        state.set(_CURSOR, {"time": min(at, cursor.get("time", at)), "begin": begin, **walk})
        want_again(state, at)

    def _changed(self, client: Client, state: State) -> Iterator[BugEvent | Checkpoint]:
        now = client.time()
        cursor = state.get(_CURSOR)
        if not cursor:
            cursor = {"time": now, "begin": now}
            state.set(_CURSOR, cursor)
            yield Checkpoint()
        # A server's clock that was set back takes the cursor along.
        begin, reached = min(cursor["begin"], now), min(cursor["time"], now)
        since = max(begin, _before(reached, self._server.options.overlap))
        started = min(cursor.get("walk", since), since)
        capacity = _capacity(state, now)
        # Of a page whose histories cannot all be read, no later one is looked for: it must not be long.
        limit = _PAGE_WITH_CHANGES if self._server.options.changes else PAGE
        histories = Histories(self._server, self._anonymous_client, state, now)
        search = partial(_page, client, capacity, limit)
        for page, more in walk(search, since, now, capacity, client.server.url):
            for at, bug in page:
                yield BugChange(self._server.identity, bug, at)
            if self._server.options.changes:
                yield from histories.read(page, started)
            if more and page:
                reached = max(reached, min(page[-1][0], now))
                self._reach(state, {"time": reached, "begin": begin, "walk": started})
                yield Checkpoint()
        self._reach(state, {"time": now, "begin": begin})
        _keep_capacity(state, capacity, now)
        if self._server.options.changes:
            yield from histories.read_again()

    def _reach(self, state: State, cursor: Mapping[str, str]) -> None:
        """Set the cursor, and forget what lies so far behind it that no poll meets it again."""
        state.set(_CURSOR, cursor)
        if self._server.options.changes:
            forget_read(state, _before(cursor["time"], self._server.options.overlap))

    def _client(self) -> Client:
        if self._connection is None or self._clock() > self._connection.until:
            self._forget()
            client = Client(self._server, self._server.read_key())
            client.connect()
            self._connection = _Connection(client, self._clock() + _CONNECTED_FOR)
            log.debug("server connected", extra={"feed": f"bugzilla.{self._server.name}"})
        return self._connection.client

    def _anonymous_client(self) -> Client:
        if self._anonymous is None:
            client = Client(self._server, "")
            client.connect()
            self._anonymous = client
        return self._anonymous

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.client.close()
        if self._anonymous is not None:
            self._anonymous.close()
        self._connection = self._anonymous = None


def _page(client: Client, capacity: Capacity, limit: int, since: str, offset: int) -> list[Row]:
    """Read a page. Where it is longer than any before, see whether the server shows longer ones at all."""
    page = client.search(since, limit=limit, offset=offset)
    if page and not capacity.is_whole(len(page)) and len(page) < limit:
        capacity.learn(client.shown(min(limit, 2 * len(page) + 20)))
    return page


def _capacity(state: State, now: str) -> Capacity:
    """Give what the server was known to show at once; for a day, as its maximum may be changed."""
    known: Mapping[str, str] = state.get(_SERVER)
    if not known or known["seen"] < _shifted(now, -_DAY) or known["seen"] > now:
        return Capacity()
    return Capacity(int(known["shows"]))


def _keep_capacity(state: State, capacity: Capacity, now: str) -> None:
    known = state.get(_SERVER)
    if capacity.shown and (not known or int(known["shows"]) != capacity.shown or known["seen"] > now):
        state.set(_SERVER, {"shows": str(capacity.shown), "seen": now})


def _before(at: str, duration: str) -> str:
    return _shifted(at, -timedelta(seconds=seconds(duration)))


def _shifted(at: str, by: timedelta) -> str:
    return (datetime.fromisoformat(at) + by).isoformat(timespec="seconds")
