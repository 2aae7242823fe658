"""Changes, requests and workers: what came to a master, and what became of it without a build."""

from collections.abc import Iterable, Iterator, Sequence

from pulseshim import State
from pulseshim_plugins.buildbot_client import Client
from pulseshim_plugins.buildbot_cursor import SEEN, new_rows
from pulseshim_plugins.buildbot_rows import Rows
from pulseshim_plugins.buildbot_shape import misshapen
from pulseshim_shims.buildbot_event import ChangeEvent, RequestEvent, RequestState, WorkerEvent, WorkerState
from pulseshim_shims.buildbot_payload import Row

CHANGES = "changes"
REQUESTS = "buildrequests"
WORKERS = "workers"

_SUBMITTED = "submitted"
_WITHOUT_BUILD = (3, 6)  # skipped: collapsed into another; cancelled


class Changes:
    """The changes that a master was told of."""

    def __init__(self, client: Client, state: State, rows: Rows) -> None:
        self._client = client
        self._state = state
        self._rows = rows

    def begin(self) -> None:
        """Take note of where the master is."""
        last = str(self._client.last(CHANGES, "changeid"))
        self._state.set("cursor", {**self._state.get("cursor"), CHANGES: last})

    def look(self, now: int) -> Iterator[ChangeEvent]:
        """Give the changes that are to be announced."""
        left = self._state.get(CHANGES)
        if left:
            yield from self._announce(self._client.among(CHANGES, "changeid", map(int, left)))
            self._state.set(CHANGES, {})
        for page in new_rows(self._client, self._state, CHANGES, "changeid", now):
            yield from self._announce(page)

    def _announce(self, changes: Iterable[Row]) -> Iterator[ChangeEvent]:
        for change in changes:
            _drop(self._state, CHANGES, change["changeid"])
            yield ChangeEvent(master=self._rows.master(), change=change)


class Requests:
    """The requests of a master that have not ended, and those that ended without a build."""

    def __init__(self, client: Client, state: State, rows: Rows) -> None:
        self._client = client
        self._state = state
        self._rows = rows

    def begin(self) -> None:
        """Take note of where the master is: what waits there may still be cancelled."""
        last = self._client.last(REQUESTS, "buildrequestid")
        waiting = [row["buildrequestid"] for row in self._client.rows(REQUESTS, [("complete", False)])]
        self._state.set("cursor", {**self._state.get("cursor"), REQUESTS: str(last)})
        old = [str(number) for number in waiting if number <= last]
        self._state.set(REQUESTS, dict.fromkeys(old, _SUBMITTED))

    def look(self, now: int, numbers: set[int] | None = None) -> Iterator[RequestEvent]:
        """Give what is to be announced: of the requests with these numbers, or of all."""
        known = set(map(int, self._state.get(REQUESTS)))
        open_ones = sorted(known if numbers is None else known & numbers)
        for at in range(0, len(open_ones), 100):
            part = open_ones[at : at + 100]
            found = self._client.among(REQUESTS, "buildrequestid", part)
            yield from self._advance(found)
            for number in set(part) - {row["buildrequestid"] for row in found}:
                _drop(self._state, REQUESTS, number)  # the master has forgotten it
        if numbers is None or numbers - known:
            for page in new_rows(self._client, self._state, REQUESTS, "buildrequestid", now):
                yield from self._advance(page)

    def _advance(self, requests: Sequence[Row]) -> Iterator[RequestEvent]:
        self._rows.remember(requests)
        places = self._state.get(REQUESTS)
        seen = [row for row in requests if places.get(str(row["buildrequestid"])) == SEEN]
        ended = self._without_build(requests)
        buildsets = self._rows.buildsets([*seen, *ended])
        for row in requests:
            number = row["buildrequestid"]
            if row in seen:
                self._state.set(REQUESTS, {**self._state.get(REQUESTS), str(number): _SUBMITTED})
                yield self._event("submitted", row, buildsets)
            if row["complete"]:
                _drop(self._state, REQUESTS, number)
            if row in ended:
                yield self._event("cancelled", row, buildsets)

    def _without_build(self, requests: Iterable[Row]) -> list[Row]:
        """Give the requests that ended without a build."""
        ended = [row for row in requests if row["complete"] and row["results"] in _WITHOUT_BUILD]
        numbers = [row["buildrequestid"] for row in ended]
        builds = self._client.among("builds", "buildrequestid", numbers, ("field", "buildrequestid"))
        built = {row["buildrequestid"] for row in builds}
        return [row for row in ended if row["buildrequestid"] not in built]

    def _event(self, state: RequestState, row: Row, buildsets: dict[int, Row]) -> RequestEvent:
        return RequestEvent(
            master=self._rows.master(row["claimed_by_masterid"]),
            state=state,
            request=row,
            builder=self._rows.builder(row["builderid"]),
            buildset=buildsets[row["buildsetid"]],
        )


class Workers:
    """The workers of a master: who is connected.

    Who came and went between two looks is seen only where the events that say so were heard.
    """

    def __init__(self, client: Client, state: State, rows: Rows) -> None:
        self._client = client
        self._state = state
        self._rows = rows

    def begin(self) -> None:
        """Take note of who is connected."""
        for _ in self.look(0):
            pass

    def look(self, now: int, heard: Sequence[Row] = ()) -> Iterator[WorkerEvent]:
        """Give who connected and disconnected since the last look; `heard` are rows as events brought them.

        A worker that is seen for the first time counts as having been away, unless it is the first look.
        `now` is in seconds since 1970.
        """
        first = not self._state.get("cursor").get(WORKERS)
        told = [row for row in heard if not misshapen(WORKERS, [row])]
        for row in (*told, *self._client.rows(WORKERS)):
            key, place = str(row["workerid"]), self._state.get(WORKERS)
            number, _, before = place.get(key, "0 disconnected").partition(" ")
            is_now: WorkerState = "connected" if row["connected_to"] else "disconnected"
            if is_now == before:
                continue
            # Not before the time: a state that is lost begins to count behind what was told.
            count = int(number) if first else max(int(number) + 1, now)
            self._state.set(WORKERS, {**place, key: f"{count} {is_now}"})
            if not first:
                yield WorkerEvent(master=self._rows.master(), state=is_now, number=count, worker=row)
        if first:
            self._state.set("cursor", {**self._state.get("cursor"), WORKERS: "1"})


def _drop(state: State, key: str, number: int) -> None:
    entries = state.get(key)
    entries.pop(str(number), None)
    state.set(key, entries)
