"""What a poll finds page by page, from a server that cuts answers while bugs change."""

import contextlib
from collections.abc import Callable

import pytest

from pulseshim import SourceUnavailable
from pulseshim.testing import MemoryState
from pulseshim_plugins.bugzilla_poll import Poller
from pulseshim_shims.bugzilla import BugChange
from tests.bugzilla_server import BugzillaServer, Request, page
from tests.plugins.bugzilla.polling import Configure, poll


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


@pytest.mark.parametrize("protocol", ["rest", "xmlrpc"])
@pytest.mark.parametrize("moving", range(1, 10))
@pytest.mark.parametrize("maximum", [1, 2, 4, 100])
def test_a_bug_that_changes_while_the_server_makes_its_answer_takes_no_other_with_it(
    make_bugzilla: Callable[..., BugzillaServer],
    configure: Configure,
    protocol: str,
    moving: int,
    maximum: int,
) -> None:
    """It stands at its old place with its new time: that is no fault, and not where to go on from."""
    server = make_bugzilla(maximum=maximum)
    server.file(count=9)
    server.pass_time(60)
    poller, state = Poller(configure(server.url, protocol=protocol, overlap="0s")), MemoryState()
    poll(poller, state)
    made = set()
    for number in range(1, 10):
        server.pass_time(10)
        made.add((number, server.change(number)))
    server.pass_time(600)

    def move() -> None:
        shown = server.requests[-1].query
        if "order" in shown:
            server.amid = lambda: None
            server.pass_time()
            server.change(moving)

    server.amid = move
    found = poll(poller, state)
    found += poll(poller, state)

    assert {number for number, _ in made} == {number for number, _ in found}
    assert {change for change in made if change[0] != moving} <= set(found)


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
