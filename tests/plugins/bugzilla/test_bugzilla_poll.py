"""Which bugs a poll gives, from a server that ignores what it is asked and lives in another time zone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pulseshim import Envelope, Exchange, SourceUnavailable
from pulseshim.database import Database
from pulseshim.outbox import Outbox, Outgoing
from pulseshim.testing import MemoryState
from pulseshim_plugins.bugzilla_poll import Poller
from pulseshim_shims.bugzilla import BugChange, SimpleBugMessage, simple_messages
from tests.bugzilla_server import BugzillaServer
from tests.plugins.bugzilla.polling import Configure, poll


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("protocol", ["rest", "xmlrpc"])
def test_a_change_is_found_whatever_the_zone_of_the_server(
    make_bugzilla: Callable[..., BugzillaServer], configure: Configure, zone: str, protocol: str
) -> None:
    """Over both protocols times are UTC: neither is a change missed nor an old one met again."""
    server = make_bugzilla(zone=zone)
    server.file(count=2)
    server.pass_time(6 * 3600)
    poller, state = Poller(configure(server.url, protocol=protocol)), MemoryState()
    first = poll(poller, state)
    server.pass_time(60)
    at = server.change(2)

    second = poll(poller, state)

    assert (first, second) == ([], [(2, at)])


def test_the_first_poll_is_from_now_and_no_overlap_reaches_behind_it(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """What changed a minute before the first start is not announced, though the overlap is five minutes."""
    bugzilla.file()
    bugzilla.pass_time(60)
    poller, state = Poller(configure(bugzilla.url)), MemoryState()
    poll(poller, state)
    bugzilla.pass_time(60)

    assert poll(poller, state) == []
    assert state.get("cursor")["begin"] == "2026-11-24T12:01:00"


def test_a_change_that_the_server_shows_late_is_found_within_the_overlap(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """A replica that lags is no loss: each poll looks five minutes behind the one before."""
    bugzilla.file()
    bugzilla.pass_time(3600)
    poller, state = Poller(configure(bugzilla.url)), MemoryState()
    poll(poller, state)
    bugzilla.pass_time(600)
    poll(poller, state)
    bugzilla.now -= timedelta(seconds=250)
    at = bugzilla.change(1)
    bugzilla.now += timedelta(seconds=280)

    assert poll(poller, state) == [(1, at)]


def test_a_poll_that_finds_nothing_is_two_requests_on_one_connection(
    bugzilla: BugzillaServer, configure: Configure, key_file: str
) -> None:
    """Time and search; also where the overlap shows again what is known."""
    bugzilla.file(count=3)
    bugzilla.pass_time(3600)
    poller, state = Poller(configure(bugzilla.url, api_key_file=key_file)), MemoryState()
    poll(poller, state)
    bugzilla.pass_time(60)
    bugzilla.change(1)
    poll(poller, state)
    bugzilla.requests.clear()

    poll(poller, state)
    bugzilla.pass_time(600)
    poll(poller, state)

    assert [request.path for request in bugzilla.requests] == ["/rest/time", "/rest/bug"] * 2
    assert {request.connection for request in bugzilla.requests} == {1}


def test_a_search_is_asked_for_as_the_server_understands_it(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """UTC with its zone, two fields, the order by time and id, a limit and no offset."""
    poller, state = Poller(configure(bugzilla.url)), MemoryState()
    poll(poller, state)

    assert bugzilla.requests[-1].query == {
        "last_change_time": "2026-11-24T12:00:00Z",
        "include_fields": "id,last_change_time",
        "order": "changeddate,bug_id",
        "limit": "2000",
    }


def test_a_server_clock_that_is_set_back_hides_no_change(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """The cursor goes back with it, so that what changes by the new clock is found."""
    bugzilla.file()
    poller, state = Poller(configure(bugzilla.url)), MemoryState()
    poll(poller, state)
    bugzilla.pass_time(7200)
    poll(poller, state)
    bugzilla.now -= timedelta(seconds=3600)
    bugzilla.pass_time(60)
    at = bugzilla.change(1)

    assert (1, at) in poll(poller, state)


def test_a_rewound_poll_gives_all_that_changed_since(bugzilla: BugzillaServer, configure: Configure) -> None:
    """Also what lies behind the first start; a later time than the cursor skips nothing."""
    bugzilla.file()
    bugzilla.pass_time(3600)
    at = bugzilla.change(1)
    bugzilla.pass_time(3600)
    poller, state = Poller(configure(bugzilla.url)), MemoryState()
    poll(poller, state)

    poller.rewind(state, datetime(2026, 11, 24, 12, 30, tzinfo=UTC))
    behind = poll(poller, state)
    cursor = state.get("cursor")["time"]
    poller.rewind(state, datetime(2030, 1, 1, tzinfo=UTC))

    assert behind == [(1, at)]
    assert state.get("cursor")["time"] == cursor


def test_what_was_pruned_is_announced_again_under_its_old_id(
    bugzilla: BugzillaServer, configure: Configure, tmp_path: Path
) -> None:
    """Who asks for more than `store.keep` gets it again, and consumers know it; the sequence goes on."""
    bugzilla.file()
    poller, state = Poller(configure(bugzilla.url)), MemoryState()
    exchange = Exchange("exchange/bugzilla/simple", "Simple", "Of the tests.", (SimpleBugMessage,))
    database = Database(tmp_path / "outbox.sqlite3")
    outbox = Outbox(database, lambda: 1)

    def poll_since_the_beginning() -> list[Envelope]:
        poller.rewind(state, bugzilla.now - timedelta(days=21))
        events = [event for event in poller.poll(state) if isinstance(event, BugChange)]
        messages = [message for event in events for message in simple_messages(event)]
        return list(outbox.store([Outgoing(message, exchange, "bugzilla.main", "") for message in messages]))

    (first,) = poll_since_the_beginning()
    outbox.confirm("", outbox.pending("", limit=1))
    kept = poll_since_the_beginning()
    forgotten = outbox.prune(before=2)
    (again,) = poll_since_the_beginning()
    database.close()

    assert (kept, forgotten) == ([], 1)
    assert again.message_id == first.message_id
    assert (first.sequence, again.sequence) == (1, 2)


def test_a_server_that_ignores_the_order_is_named(bugzilla: BugzillaServer, configure: Configure) -> None:
    """Its pages cannot be put together: nothing is taken from it rather than something missed."""
    poller, state = Poller(configure(bugzilla.url)), MemoryState()
    poll(poller, state)
    bugzilla.file(count=2)
    bugzilla.pass_time()
    bugzilla.change(1)
    bugzilla.before = lambda request: request.query.pop("order", None) and None

    with pytest.raises(SourceUnavailable, match=rf"{bugzilla.url} .*order"):
        poll(poller, state)


@pytest.mark.parametrize("maximum", [1, 2, 5])
def test_a_server_that_ignores_the_offset_is_named_and_asked_no_more(
    make_bugzilla: Callable[..., BugzillaServer], configure: Configure, maximum: int
) -> None:
    """More bugs than it shows changed in one second: there is no way on, and no end of trying."""
    server = make_bugzilla(maximum=maximum)
    server.file(count=10)
    server.pass_time()
    poller, state = Poller(configure(server.url)), MemoryState()
    poll(poller, state)
    for number in range(1, 11):
        server.change(number)
    server.pass_time()
    server.before = lambda request: request.query.pop("offset", None) and None
    server.requests.clear()

    with pytest.raises(SourceUnavailable, match=rf"{server.url} takes no notice of offset"):
        poll(poller, state)

    assert len(server.requests) < 20


def test_a_connection_is_looked_after_once_an_hour(
    bugzilla: BugzillaServer, configure: Configure, key_file: str
) -> None:
    """A server that begins to ignore the header is noticed, though it answers every search."""
    hours = [0.0]
    bugzilla.takes_header = True
    poller = Poller(configure(bugzilla.url, api_key_file=key_file), lambda: hours[0] * 3600)
    state = MemoryState()
    poll(poller, state)
    bugzilla.paths()

    hours[0] = 0.9
    poll(poller, state)
    within = bugzilla.paths()
    hours[0] = 1.1
    poll(poller, state)

    assert "/rest/whoami" not in within
    assert "/rest/whoami" in bugzilla.paths()
