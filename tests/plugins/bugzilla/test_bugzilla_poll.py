"""Which bugs a poll gives, from a server that cuts answers, ignores keys and lives in another time zone."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim import Envelope, Exchange, SettingsError, SourceUnavailable
from pulseshim.database import Database
from pulseshim.outbox import Outbox, Outgoing
from pulseshim.testing import MemoryState
from pulseshim_plugins.bugzilla_poll import Poller
from pulseshim_shims.bugzilla import BugChange, SimpleBugMessage, simple_messages
from tests.bugzilla_server import BugzillaServer, Request, page

if TYPE_CHECKING:
    from pulseshim_plugins.bugzilla_options import Server

Configure = Callable[..., "Server"]


def poll(poller: Poller, state: MemoryState) -> list[tuple[int, str]]:
    """Give id and time of the bugs that one poll gives, in their order."""
    return [(event.id, event.time) for event in poller.poll(state) if isinstance(event, BugChange)]


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


@pytest.mark.parametrize("maximum", [1, 2, 3, 7, 20, 29, 30, 31])
@pytest.mark.parametrize("spread", [0, 1, 5])
def test_a_page_that_the_server_cut_silently_is_noticed(
    make_bugzilla: Callable[..., BugzillaServer], configure: Configure, maximum: int, spread: int
) -> None:
    """Thirty bugs are found, of one second or of many, though the server shows fewer and says nothing."""
    server = make_bugzilla(maximum=maximum)
    server.file(count=30)
    poller, state = Poller(configure(server.url)), MemoryState()
    poll(poller, state)
    server.pass_time(60)
    made = []
    for number in range(1, 31):
        made.append((number, server.change(number)))
        if spread and number % spread == 0:
            server.pass_time()

    assert poll(poller, state) == made


def test_a_bug_that_changes_during_the_walk_is_found_and_none_beside_it_is_missed(
    make_bugzilla: Callable[..., BugzillaServer], configure: Configure
) -> None:
    """Bugs that leave a second while it is paged by offset do not take others with them."""
    server = make_bugzilla(maximum=4)
    server.file(count=20)
    poller, state = Poller(configure(server.url)), MemoryState()
    poll(poller, state)
    server.pass_time(600)
    for number in range(1, 21):
        server.change(number)
    at = server.now.strftime("%Y-%m-%dT%H:%M:%S")
    moving = [1, 3, 2, 4]

    def move(request: Request) -> None:
        if moving and int(request.query.get("offset", 0)) > 2:
            server.pass_time()
            server.change(moving.pop())
            server.change(moving.pop())

    server.before = move

    found = poll(poller, state)

    assert moving == []
    assert {number for number, _ in found} == set(range(1, 21))
    assert {(number, at) for number in range(5, 21)} <= set(found)
    assert len(found) == len(set(found))


def test_three_weeks_are_caught_up_in_pages_that_are_stored_one_by_one(
    make_bugzilla: Callable[..., BugzillaServer], configure: Configure
) -> None:
    """A crash in the midst costs one page: the next poll goes on near where the last was stored."""
    server = make_bugzilla(maximum=50)
    server.file(count=400)
    state = MemoryState()
    poll(Poller(configure(server.url, overlap="1m")), state)
    for number in range(1, 401):
        server.pass_time(4500)
        server.change(number)
    stored: list[int] = []
    page: list[int] = []
    for event in Poller(configure(server.url, overlap="1m")).poll(state):
        if isinstance(event, BugChange):
            page.append(event.id)
        else:
            stored += page
            page = []
            if len(stored) > 200:
                break

    rest = poll(Poller(configure(server.url, overlap="1m")), MemoryState(state.entries))

    assert len(stored) < 400
    assert set(stored) | {number for number, _ in rest} == set(range(1, 401))
    assert len(rest) < 210


def test_a_failure_in_the_midst_leaves_the_cursor_at_the_last_page(
    make_bugzilla: Callable[..., BugzillaServer], configure: Configure
) -> None:
    """The time that was read before the search becomes the cursor only when all pages were read."""
    server = make_bugzilla(maximum=10)
    server.file(count=30)
    poller, state = Poller(configure(server.url)), MemoryState()
    poll(poller, state)
    server.pass_time(3600)
    for number in range(1, 31):
        server.change(number)
        server.pass_time(10)
    before = state.get("cursor")
    stored = before

    def fail(request: Request) -> None:
        if request.query.get("last_change_time", "") > "2026-11-24T13:02:00Z":
            server.replies.append(page(503))

    server.before = fail
    events = poller.poll(state)
    with contextlib.suppress(SourceUnavailable):
        for event in events:
            if not isinstance(event, BugChange):
                stored = state.get("cursor")
    server.before = lambda _: None
    rest = poll(poller, MemoryState({"cursor": stored}))

    assert before["time"] < stored["time"] <= "2026-11-24T13:03:00"
    assert {20, 30} <= {number for number, _ in rest}


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
        return outbox.store([Outgoing(message, exchange, "bugzilla.main", "") for message in messages])

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

    with pytest.raises(SourceUnavailable, match="order"):
        poll(poller, state)


@pytest.mark.parametrize("takes_header", [True, False])
def test_the_key_is_told_by_header_or_else_by_parameter(
    bugzilla: BugzillaServer, configure: Configure, key_file: str, takes_header: bool
) -> None:
    """A server that ignores the header would give what anybody sees: so the private bug is found on both."""
    bugzilla.takes_header = takes_header
    bugzilla.file(private=True)
    poller, state = Poller(configure(bugzilla.url, api_key_file=key_file)), MemoryState()
    poll(poller, state)
    bugzilla.pass_time(60)
    at = bugzilla.change(1)

    assert poll(poller, state) == [(1, at)]
    assert any("Bugzilla_api_key" in request.url for request in bugzilla.requests) is not takes_header


@pytest.mark.parametrize("protocol", ["rest", "xmlrpc"])
@pytest.mark.parametrize("takes_header", [True, False])
@pytest.mark.parametrize("user", ["", "poller@bugzilla.test"])
def test_a_key_that_is_not_known_is_refused_at_the_first_poll(
    bugzilla: BugzillaServer,
    configure: Configure,
    key_file: str,
    protocol: str,
    takes_header: bool,
    user: str,
) -> None:
    """It is a wrong setting, not an outage, and never anonymity."""
    bugzilla.takes_header = takes_header
    bugzilla.users = {}
    poller = Poller(configure(bugzilla.url, api_key_file=key_file, user=user, protocol=protocol))

    with pytest.raises(SettingsError, match="api_key_file") as refused:
        poll(poller, MemoryState())

    assert "kkkk" not in str(refused.value)


@pytest.mark.parametrize("protocol", ["rest", "xmlrpc"])
@pytest.mark.parametrize("takes_header", [True, False])
def test_the_key_of_somebody_else_is_refused(
    bugzilla: BugzillaServer, configure: Configure, key_file: str, takes_header: bool, protocol: str
) -> None:
    """Where `user` says whose it is, another account's key is a wrong setting."""
    bugzilla.takes_header = takes_header
    options = {"api_key_file": key_file, "protocol": protocol}
    right = Poller(configure(bugzilla.url, user="poller@bugzilla.test", **options))
    wrong = Poller(configure(bugzilla.url, user="admin@bugzilla.test", **options))

    assert poll(right, MemoryState()) == []
    with pytest.raises(SettingsError, match="the key is not that of admin"):
        poll(wrong, MemoryState())


def test_a_key_that_was_corrected_is_taken_without_a_restart(
    bugzilla: BugzillaServer, configure: Configure, key_file: str
) -> None:
    """After a refusal the file is read again."""
    users, bugzilla.users = bugzilla.users, {}
    poller, state = Poller(configure(bugzilla.url, api_key_file=key_file)), MemoryState()
    with pytest.raises(SettingsError):
        poll(poller, state)

    bugzilla.users = users

    assert poll(poller, state) == []


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
