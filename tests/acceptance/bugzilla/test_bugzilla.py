"""Bugzilla from the settings file to a consumer at a real RabbitMQ, by the verbs that people use."""

import json
import re
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.bugzilla.bug_site import SIMPLE, BugSite, changes
from tests.bugzilla_server import BugzillaServer

if TYPE_CHECKING:
    from tests.conftest import VirtualHost

pytestmark = pytest.mark.broker


def test_poll_announces_what_changed_since_the_last_one(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost"
) -> None:
    """The first poll is from now; the next announces each change once, with id and time and nothing else."""
    queue = vhost.bind_queue(SIMPLE)
    site.configure(f'api_key_file = "{site.root / "key"}"')

    first = site.pulseshim("poll", "bugzilla")
    server.pass_time(60)
    public, private = server.change(1), server.change(3)
    second = site.pulseshim("poll", "bugzilla")
    third = site.pulseshim("poll", "bugzilla.main")

    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 0), second.stderr
    (one, two) = vhost.take(queue)
    assert json.loads(one.body)["payload"] == {"id": 1, "delta_ts": public}
    assert json.loads(two.body)["payload"] == {"id": 3, "delta_ts": private}
    assert two.delivery_info["routing_key"] == "3"


def test_run_announces_changes_as_they_come(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost"
) -> None:
    """The service polls by its schedule, alone on its store; status shows poll and cursor; it ends well."""
    queue = vhost.bind_queue(SIMPLE)
    site.configure('every = "1s"')
    service = site.start("run")
    site.wait_until(site.is_polled, "polled")

    server.pass_time(5)
    at = server.change(2)
    site.wait_until(lambda: site.status()["exchanges"][0]["confirmed"], "announced")
    site.wait_until(site.is_polled, "done")
    beside = site.pulseshim("poll", "--since", "1h")
    service.send_signal(signal.SIGTERM)

    assert service.wait(15) == 0
    assert changes(vhost, queue) == [("2", 2, at)]
    assert beside.returncode == 2
    assert re.search(
        r"pulseshim run \(process \d+\) works on .*\n +it polls by itself .* stop it first", beside.stderr
    )


def test_a_service_that_is_killed_at_any_instant_misses_nothing(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost"
) -> None:
    """Bugs change all the while; of every change a message arrives, and equal ids are equal changes."""
    queue = vhost.bind_queue(SIMPLE)
    site.configure('every = "1s"')
    assert site.pulseshim("poll").returncode == 0
    server.file(count=300)
    made: set[tuple[int, str]] = {(bug, server.now.strftime("%Y-%m-%dT%H:%M:%S")) for bug in range(4, 304)}
    for round_ in range(6):
        service = site.start("run")
        server.paths()
        for number in range(20):
            server.pass_time()
            bug = 1 + (7 * number + round_) % 2
            made.add((bug, server.change(bug)))
            time.sleep(0.03 * (1 + round_ % 3))
        site.wait_until(lambda: server.requests, "polled")
        service.kill()
        service.wait()

    assert site.pulseshim("poll").returncode == 0
    taken = vhost.take(queue)
    announced = {(p["id"], p["delta_ts"]) for m in taken if (p := json.loads(m.body)["payload"])}
    newest = {bug: max(at for number, at in made if number == bug) for bug, _ in made}
    ids = {m.properties["message_id"] for m in taken}
    assert set(newest.items()) <= announced <= made
    assert len(ids) == len(announced)


def test_since_fills_a_gap_and_repeats_nothing(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost"
) -> None:
    """What changed before the first start is announced on demand; what was stored is not published twice."""
    queue = vhost.bind_queue(SIMPLE)
    server.now = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
    old = server.change(1)
    server.now += timedelta(hours=4)
    assert site.pulseshim("poll").returncode == 0
    server.pass_time(60)
    new = server.change(2)
    assert site.pulseshim("poll").returncode == 0

    done = site.pulseshim("poll", "bugzilla", "--since", "6h")
    again = site.pulseshim("poll", "--since", old)

    assert (done.returncode, again.returncode) == (0, 0), done.stderr
    assert changes(vhost, queue) == [("2", 2, new), ("1", 1, old)]


def test_a_dry_run_prints_and_stores_nothing(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost"
) -> None:
    """It shows one envelope a line; the poll after it announces the same messages."""
    queue = vhost.bind_queue(SIMPLE)
    site.pulseshim("poll")
    server.pass_time(60)
    at = server.change(1)

    dry = site.pulseshim("poll", "bugzilla", "--dry-run")
    nothing = vhost.take(queue)
    wet = site.pulseshim("poll")
    none = site.pulseshim("poll", "--dry-run")

    (line,) = dry.stdout.splitlines()
    shown = json.loads(line)
    (message,) = vhost.take(queue)
    assert (dry.returncode, wet.returncode, nothing) == (0, 0, [])
    assert shown["payload"] == {"id": 1, "delta_ts": at}
    assert shown["_meta"]["message_id"] == message.properties["message_id"]
    assert (none.returncode, none.stdout) == (0, "")


def test_several_servers_are_polled_though_one_fails(site: BugSite, vhost: "VirtualHost") -> None:
    """Each has its own exchange, and what they share stands once."""
    queue = vhost.bind_queue("exchange/bugzilla/other")
    other = BugzillaServer()
    other.file()
    other.pass_time(60)
    site.configure(
        f'[plugins.bugzilla.servers.other]\nurl = "{other.url}/"\nexchange = "exchange/bugzilla/other"',
        url="http://127.0.0.1:1",
        shared='every = "5m"\noverlap = "2m"',
    )
    site.pulseshim("poll")
    other.pass_time(60)
    at = other.change(1)

    done = site.pulseshim("poll")
    other.close()

    assert done.returncode == 1
    assert "http://127.0.0.1:1 is not reached (Connection refused)" in done.stderr
    assert changes(vhost, queue) == [("1", 1, at)]


def test_a_server_is_asked_by_one_poll_at_a_time(site: BugSite, server: BugzillaServer) -> None:
    """Where a poll takes longer than its schedule, the next waits for it."""
    busy, most = Counter[str](), Counter[str]()
    lock = threading.Lock()

    def slow(_: object) -> None:
        with lock:
            busy["now"] += 1
            most["at once"] = max(most["at once"], busy["now"])
        time.sleep(0.3)
        with lock:
            busy["now"] -= 1

    server.before = slow
    site.configure('every = "1s"')
    service = site.start("run")
    site.wait_until(lambda: len(server.requests) > 6, "polled some times")
    service.send_signal(signal.SIGTERM)

    assert service.wait(15) == 0
    assert most["at once"] == 1
