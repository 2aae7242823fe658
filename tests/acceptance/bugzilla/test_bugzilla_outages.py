"""A Bugzilla that fails or asks for patience: what the verbs say of it, and that the next poll goes on."""

import re
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.bugzilla.bug_site import SIMPLE, BugSite, changes
from tests.bugzilla_server import DOWN, KEY, PASSWORD, BugzillaServer, Reply, failure, page

if TYPE_CHECKING:
    from tests.conftest import VirtualHost

pytestmark = pytest.mark.broker


@pytest.mark.parametrize(
    ("reply", "code", "word"),
    [
        (page(503, "Bugzilla is Down"), 1, "is down"),
        (failure(100500, DOWN, 200), 1, "error 100500"),
        (failure(306, "The API key you specified is invalid."), 2, "refuses the key"),
        (page(200), 2, "shows a page in place of its API"),
        (page(404), 2, "has no API there"),
        (Reply(body=b'{"bugs":[{"id":1,"last_change_time":"2026-11-2', cut=False), 1, "cut short"),
    ],
    ids=["down", "no database", "bad key", "login page", "wrong path", "cut"],
)
def test_a_poll_that_fails_says_why_in_one_line(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost", reply: Reply, code: int, word: str
) -> None:
    """Exit code 1 for an outage, 2 for a setting; status and check show it; the next poll goes on."""
    queue = vhost.bind_queue(SIMPLE)
    site.configure(f'api_key_file = "{site.root / "key"}"')
    site.pulseshim("poll")
    server.pass_time(60)
    server.change(1)
    server.faults = lambda request: reply if request.path == "/rest/bug" else None

    failed = site.pulseshim("poll", "--debug")
    status = site.pulseshim("status")
    checked = site.pulseshim("check", "--json")
    server.faults = lambda _: None
    mended = site.pulseshim("poll")

    lines = [line for line in failed.stderr.splitlines() if "poll failed" in line]
    assert (failed.returncode, len(lines)) == (code, 1), failed.stderr
    assert word in lines[0]
    assert re.search(rf"poll bugzilla.main: {'refused' if code == 2 else 'failed'} .*{word}", status.stdout)
    assert word in checked.stdout
    assert checked.returncode == code
    assert mended.returncode == 0
    assert [bug for _, bug, _ in changes(vhost, queue)] == [1]
    for text in (failed.stderr, status.stdout, checked.stdout, mended.stderr):
        assert KEY not in text
        assert PASSWORD not in text


def test_a_source_that_asks_to_come_back_is_left_alone_until_then(
    site: BugSite, server: BugzillaServer
) -> None:
    """A long pause is kept in the store and honoured by the next process; a short one is waited for."""
    assert site.pulseshim("poll").returncode == 0
    server.paths()

    server.replies = [Reply(429, b"", headers={"Retry-After": "600"})]
    told = site.pulseshim("poll")
    asked_once = server.paths()
    later = site.pulseshim("poll", "--timeout", "5")
    asked_not = server.paths()
    dry = site.pulseshim("poll", "--dry-run")

    assert (told.returncode, later.returncode, dry.returncode) == (1, 1, 1)
    assert asked_once[:1] == ["/rest/version"]
    assert len(asked_once) == 1
    assert asked_not == []
    assert re.search(r"bugzilla.main asks to come back at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", later.stderr)


def test_a_short_pause_is_waited_for(site: BugSite, server: BugzillaServer) -> None:
    """One poll that is told to come back in a second does so, and exits 0."""
    assert site.pulseshim("poll").returncode == 0
    server.replies = [failure(32000, "rate limit", 400, Retry_After="1")]

    done = site.pulseshim("poll")

    assert done.returncode == 0, done.stderr
