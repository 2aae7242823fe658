"""What nobody may read is told nowhere: changes of private bugs, and the key."""

import re
import signal
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.bugzilla.bug_site import CHANGES, NOWHERE, SIMPLE, BugSite, changes
from tests.bugzilla_server import KEY, BugzillaServer, Reply, page

if TYPE_CHECKING:
    from tests.conftest import VirtualHost

pytestmark = pytest.mark.broker


def test_changes_of_public_bugs_are_told_and_those_of_private_ones_are_not(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost"
) -> None:
    """With a key that sees all, full changes are still only those that anybody may read."""
    simple, full = vhost.bind_queue(SIMPLE), vhost.bind_queue(CHANGES)
    site.configure(f'api_key_file = "{site.root / "key"}"\nchanges = true')
    site.pulseshim("poll")
    server.pass_time(60)
    server.change(1, "keywords", added="crash, perf")
    server.change(3, "whiteboard", added="the secret plan")
    server.change(2, "resolution", added="FIXED")

    done = site.pulseshim("poll")

    assert done.returncode == 0, done.stderr
    assert [bug for _, bug, _ in changes(vhost, simple)] == [1, 2, 3]
    taken = vhost.take(full)
    keys = [message.delivery_info["routing_key"] for message in taken]
    assert keys == ["bug.added.keywords", "bug.added.keywords", "bug.changed.resolution", "bug.closed"]
    assert "the secret plan" not in b"".join(bytes(message.body) for message in taken).decode()
    assert b"the secret plan" not in site.stored()


def test_the_key_is_in_no_log_not_even_of_a_debugging_service(site: BugSite, server: BugzillaServer) -> None:
    """With a server that takes the key by parameter alone, and with --debug, it is still nowhere."""
    site.configure(f'api_key_file = "{site.root / "key"}"\nevery = "1s"')
    service = site.start("run", "--debug")
    site.wait_until(lambda: any(KEY in request.url for request in server.requests), "asked with the key")
    server.faults = lambda _: Reply(reset=True)
    site.wait_until(lambda: "poll failed" in (site.root / "log").read_text(), "failed")
    service.send_signal(signal.SIGTERM)
    service.wait(15)

    assert KEY not in (site.root / "log").read_text()
    assert KEY.encode() not in site.stored()


def changed_while_nobody_listens(
    site: BugSite, change: Callable[[], object]
) -> subprocess.CompletedProcess[str]:
    """Poll what changes while no broker is reached, and name the broker then; give how that poll ended."""
    site.configure("changes = true", broker=NOWHERE)
    site.pulseshim("poll", "--timeout", "1")
    site.server.pass_time(60)
    change()
    ended = site.pulseshim("poll", "--timeout", "1")
    site.configure("changes = true")
    return ended


def test_a_bug_that_turns_private_while_its_change_waits_is_not_told(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost"
) -> None:
    """The broker is down, the bug is hidden, the broker is up: no word of it is anywhere from then on."""
    simple, full = vhost.bind_queue(SIMPLE), vhost.bind_queue(CHANGES)

    def change() -> None:
        server.change(1, "whiteboard", added="the secret plan")
        server.change(2, "whiteboard", added="what all may know")

    waits = changed_while_nobody_listens(site, change)
    before = site.stored()
    server.hide(1)

    done = site.pulseshim("drain", "--debug")
    status = site.status()

    assert (waits.returncode, done.returncode) == (3, 0), done.stderr
    assert b"the secret plan" in before
    assert [bug for _, bug, _ in changes(vhost, simple)] == [1, 2]
    (told,) = vhost.take(full)
    assert b"what all may know" in bytes(told.body)
    assert b"the secret plan" not in site.stored()
    assert "the secret plan" not in done.stderr
    assert [c["count"] for c in status["counters"] if c["name"] == "withheld"] == [1]
    assert (status["outbox"]["count"], status["parked"]["count"]) == (0, 0)


def test_changes_wait_while_nobody_can_say_whether_they_are_public(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost"
) -> None:
    """Ids and times go out meanwhile; status says what is held back and why; then the rest follows."""
    simple, full = vhost.bind_queue(SIMPLE), vhost.bind_queue(CHANGES)
    changed_while_nobody_listens(site, lambda: server.change(2))
    server.faults = lambda _: page(503)

    held = site.pulseshim("drain", "--timeout", "5")
    status = site.pulseshim("status")
    first = (len(vhost.take(simple)), len(vhost.take(full)))
    server.faults = lambda _: None
    done = site.pulseshim("drain")

    assert (held.returncode, done.returncode) == (1, 0), held.stderr
    assert "admission exchange/bugzilla/: held back: " in held.stderr
    assert re.search(r"admission exchange/bugzilla/: held back since .* is down \(HTTP 503\)", status.stdout)
    assert (first, len(vhost.take(full))) == ((1, 0), 1)


def test_a_replay_tells_nothing_of_a_bug_that_is_private_now(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost"
) -> None:
    """What was public when it was published is asked about again; id and time are simply told again."""
    simple, full = vhost.bind_queue(SIMPLE), vhost.bind_queue(CHANGES)
    site.configure("changes = true")
    site.pulseshim("poll")
    server.pass_time(60)
    server.change(1, "whiteboard", added="the secret plan")
    site.pulseshim("poll")
    first = (len(vhost.take(simple)), len(vhost.take(full)))
    server.hide(1)

    replayed = site.pulseshim("replay", "--since", "1h")
    done = site.pulseshim("drain")

    assert (replayed.returncode, done.returncode, first) == (0, 0, (1, 1)), done.stderr
    assert (len(vhost.take(simple)), len(vhost.take(full))) == (1, 0)
    assert b"the secret plan" not in site.stored()
