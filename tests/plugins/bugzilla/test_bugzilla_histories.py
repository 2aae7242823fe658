"""Histories that a server gives few at a time, or not at all: what was read stays, none stops the rest."""

import json
import logging

import pytest

from pulseshim import Checkpoint, SourceUnavailable
from pulseshim.testing import MemoryState
from pulseshim_plugins.bugzilla_poll import Poller
from pulseshim_shims.bugzilla import BugChange, BugEvent, PublicBug
from tests.bugzilla_server import BugzillaServer, Reply, Request, failure, page
from tests.plugins.bugzilla.polling import Configure, history_of

WEEK = 7 * 86400


class Store:
    """What is stored of polls: the events and the state up to the last checkpoint, or the end."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.known: list[int] = []
        self.told: list[int] = []

    def poll(self, poller: Poller) -> None:
        """Poll once. Raises what the poll raises."""
        pending: list[BugEvent] = []
        state = MemoryState(self.state.entries)
        state.counts = self.state.counts.copy()
        for event in poller.poll(state):
            if isinstance(event, Checkpoint):
                self._store(pending, state)
                pending = []
            else:
                pending.append(event)
        self._store(pending, state)

    def _store(self, events: list[BugEvent], state: MemoryState) -> None:
        self.known += [event.id for event in events if isinstance(event, BugChange)]
        self.told += [event.id for event in events if isinstance(event, PublicBug)]
        self.state = MemoryState(state.entries)
        self.state.counts = state.counts.copy()


def changed(server: BugzillaServer, poller: Poller, count: int) -> Store:
    """Give the store of a first poll; some bugs changed since, longer ago than the overlap reaches."""
    store = Store()
    server.file(count=count)
    server.pass_time(60)
    store.poll(poller)
    server.pass_time(60)
    for number in range(1, count + 1):
        server.change(number)
    server.pass_time(3600)
    return store


def asked(server: BugzillaServer) -> list[int]:
    """Give the bugs whose history was asked for, and forget it."""
    bugs = [bug for request in server.requests if (bug := history_of(request))]
    server.requests = []
    return bugs


@pytest.mark.parametrize("allowed", [11, 75])
def test_a_server_that_allows_few_requests_is_read_bit_by_bit(
    bugzilla: BugzillaServer, configure: Configure, allowed: int
) -> None:
    """Id and time of all are told at once; each poll goes on behind what the one before it read."""
    poller = Poller(configure(bugzilla.url, changes=True))
    store = changed(bugzilla, poller, 150)
    left = [0]

    def limited(request: Request) -> Reply | None:
        left[0] -= 1 if history_of(request) else 0
        return Reply(429, b"", headers={"Retry-After": "60"}) if left[0] < 0 else None

    bugzilla.faults = limited
    bugzilla.requests = []
    progress = []
    for _ in range(150 // 10):
        left[0] = allowed
        try:
            store.poll(poller)
        except SourceUnavailable as error:
            assert error.retry_after == 60  # noqa: PT017 - the last poll raises nothing
        progress.append(len(store.told))
        assert set(store.known) == set(range(1, 151))
        bugzilla.pass_time(60)
        if len(store.told) == 150:
            break

    assert progress == sorted(set(progress))
    assert sorted(store.told) == list(range(1, 151))
    assert len(asked(bugzilla)) <= 150 + 10 * len(progress)
    assert store.state.counts == {}


@pytest.mark.parametrize("protocol", ["rest", "xmlrpc"])
@pytest.mark.parametrize(
    "reply",
    [
        page(500),
        page(403, "Not for robots"),
        failure(100500, "no such table", 200),
        Reply(body=json.dumps({"bugs": [{"history": [{"who": "me"}]}]}).encode()),
        Reply(reset=True),
        Reply(body=b'{"bugs":[]}', cut=True),
    ],
    ids=["down", "page", "error", "odd", "reset", "cut"],
)
def test_a_bug_whose_history_cannot_be_read_holds_up_no_other(
    bugzilla: BugzillaServer,
    configure: Configure,
    caplog: pytest.LogCaptureFixture,
    protocol: str,
    reply: Reply,
) -> None:
    """It is set aside, counted and named; the next poll asks again, and tells what changed since."""
    poller = Poller(configure(bugzilla.url, changes=True, protocol=protocol))
    store = changed(bugzilla, poller, 30)
    bugzilla.faults = lambda request: reply if history_of(request) == 7 else None

    store.poll(poller)
    without = set(store.told)
    cursor = store.state.get("cursor")["time"]
    again = len(store.told)
    asked(bugzilla)
    store.poll(poller)
    second = set(asked(bugzilla))
    bugzilla.pass_time(60)
    bugzilla.faults = lambda _: None
    bugzilla.change(7)
    bugzilla.pass_time(60)
    store.poll(poller)
    store.poll(poller)

    assert set(store.known) == set(range(1, 31))
    assert without == set(range(1, 31)) - {7}
    assert cursor == "2026-11-24T13:02:00"
    assert second == {7}
    assert 7 in store.told[again:]
    assert store.state.get("aside") == {}
    assert store.state.counts == {"unreadable": 1}
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (line.message, line.__dict__["bug"]) == ("bug set aside", 7)


def test_what_happened_before_a_bug_was_set_aside_is_told_with_what_happened_after(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """Its history is wanted from the poll on that could not have it, whatever the cursor is by then."""
    poller, state = Poller(configure(bugzilla.url, changes=True)), MemoryState()
    bugzilla.file()
    bugzilla.change(1, "priority")
    bugzilla.pass_time(600)
    list(poller.poll(state))
    bugzilla.pass_time(600)
    bugzilla.change(1, "severity")
    bugzilla.faults = lambda request: page(500) if history_of(request) else None
    list(poller.poll(state))
    bugzilla.pass_time(3600)
    list(poller.poll(state))
    bugzilla.faults = lambda _: None
    bugzilla.pass_time(3600)
    bugzilla.change(1, "whiteboard")

    (bug,) = [event for event in poller.poll(state) if isinstance(event, PublicBug)]

    assert [change.field for change in bug.changes] == ["severity", "whiteboard"]


def test_a_bug_that_was_set_aside_is_asked_for_less_and_less_and_given_up_in_the_end(
    bugzilla: BugzillaServer, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    """A server is not bothered for ever: after a week it is counted as missed, and named once more."""
    poller = Poller(configure(bugzilla.url, changes=True))
    store = changed(bugzilla, poller, 1)
    bugzilla.faults = lambda request: page(500) if history_of(request) else None

    times = 0
    for _ in range(60):
        store.poll(poller)
        times += len(asked(bugzilla))
        bugzilla.pass_time(60)
    late = []
    for _ in range(3):
        bugzilla.pass_time(WEEK)
        store.poll(poller)
        late.append(asked(bugzilla))

    assert 2 <= times <= 8
    assert late == [[1], [1], []]
    assert store.state.get("aside") == {}
    assert store.state.counts == {"unreadable": 1, "missed": 1}
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
        "bug given up"
    ]


def test_a_server_that_gives_no_history_at_all_fails_the_poll_and_loses_none(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """That is no bug's own trouble: few are set aside, and when it is over, all are told."""
    poller = Poller(configure(bugzilla.url, changes=True))
    store = changed(bugzilla, poller, 150)
    bugzilla.faults = lambda request: page(500) if history_of(request) else None

    for _ in range(30):
        with pytest.raises(SourceUnavailable, match="is down"):
            store.poll(poller)
    few = len(store.state.get("aside"))
    bugzilla.faults = lambda _: None
    store.poll(poller)
    bugzilla.pass_time(3600)
    store.poll(poller)

    assert few == 100
    assert set(store.known) == set(store.told) == set(range(1, 151))


@pytest.mark.parametrize("path", ["/rest/version", "/rest/bug"])
def test_ids_and_times_are_told_though_nothing_can_be_asked_without_a_key(
    bugzilla: BugzillaServer, configure: Configure, key_file: str, path: str
) -> None:
    """The poll fails all the same, and the cursor stays for what is not told."""
    settings = configure(bugzilla.url, changes=True, api_key_file=key_file)
    store = changed(bugzilla, Poller(settings), 3)
    cursor = store.state.get("cursor")
    poller = Poller(settings)

    def closed(request: Request) -> Reply | None:
        keyed = "Bugzilla_api_key" in request.query or "x-bugzilla-api-key" in request.headers
        return page(503) if request.path == path and not keyed else None

    bugzilla.faults = closed
    with pytest.raises(SourceUnavailable, match="is down"):
        store.poll(poller)

    assert (store.known, store.told) == ([1, 2, 3], [])
    assert store.state.get("cursor") == cursor


def test_a_rewound_poll_reads_at_once_what_was_set_aside(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """From the time on that it is rewound to, where that is the earlier one."""
    poller, state = Poller(configure(bugzilla.url, changes=True)), MemoryState()
    bugzilla.file()
    early = bugzilla.now
    bugzilla.change(1, "priority")
    bugzilla.pass_time(600)
    list(poller.poll(state))
    bugzilla.pass_time(600)
    bugzilla.change(1, "severity")
    bugzilla.faults = lambda request: page(500) if history_of(request) else None
    for _ in range(3):
        list(poller.poll(state))
        bugzilla.pass_time(600)
    bugzilla.faults = lambda _: None

    poller.rewind(state, early)
    (bug,) = [event for event in poller.poll(state) if isinstance(event, PublicBug)]

    assert [change.field for change in bug.changes] == ["priority", "severity"]
