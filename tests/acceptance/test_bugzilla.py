"""Bugzilla from the settings file to a consumer at a real RabbitMQ, by the verbs that people use."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.bugzilla_server import DOWN, KEY, PASSWORD, BugzillaServer, Reply, failure, page

if TYPE_CHECKING:
    from tests.conftest import VirtualHost

pytestmark = pytest.mark.broker

SIMPLE = "exchange/bugzilla/simple"
CHANGES = "exchange/bugzilla/"
NOWHERE = "amqp://127.0.0.1:1/"


class BugSite:
    """A machine with pulseshim and nothing but the settings for one Bugzilla."""

    def __init__(self, root: Path, server: BugzillaServer, broker: str) -> None:
        self.root = root
        self.server = server
        self._broker = broker
        self._processes: list[subprocess.Popen[str]] = []
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("PULSESHIM_")}
        self.configure()

    def configure(self, extra: str = "", url: str = "", shared: str = "", broker: str = "") -> None:
        """Write the settings; `extra` belongs to the server, `shared` to all of the plugin's."""
        (self.root / "key").write_text(KEY)
        (self.root / "pulseshim.toml").write_text(
            f'[store]\ndirectory = "{self.root / "store"}"\n[broker]\nurl = "{broker or self._broker}"\n'
            f"[plugins.bugzilla]\n{shared}\n"
            f'[plugins.bugzilla.servers.main]\nurl = "{url or self.server.url}"\n{extra}\n'
        )

    def pulseshim(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end."""
        command = [sys.executable, "-m", "pulseshim", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.environ, capture_output=True, text=True, timeout=90, check=False
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a verb and go on; what it logs goes to a file `log`."""
        with (self.root / "log").open("a") as log:
            command = [sys.executable, "-m", "pulseshim", *arguments]
            process = subprocess.Popen(command, cwd=self.root, env=self.environ, stderr=log, text=True)
        self._processes.append(process)
        return process

    def status(self) -> dict[str, Any]:
        """Give what `status --json` says."""
        status: dict[str, Any] = json.loads(self.pulseshim("status", "--json").stdout)
        return status

    def stored(self) -> bytes:
        """Give all that stands in the files of the store."""
        return b"".join(path.read_bytes() for path in (self.root / "store").rglob("*") if path.is_file())

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + 60
        while not condition():
            log = self.root / "log"
            assert time.monotonic() < deadline, f"not {what}\n{log.read_text() if log.exists() else ''}"
            time.sleep(0.05)

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def server() -> Iterator[BugzillaServer]:
    """Give a Bugzilla with three bugs, the third of them private, filed an hour ago."""
    server = BugzillaServer(zone="America/New_York")
    server.file(count=2)
    server.file(private=True)
    server.pass_time(3600)
    yield server
    server.close()


@pytest.fixture
def site(tmp_path: Path, server: BugzillaServer, vhost: "VirtualHost") -> Iterator[BugSite]:
    """Give a machine that announces the changes of that Bugzilla."""
    site = BugSite(tmp_path, server, vhost.url)
    yield site
    site.end()


def changes(vhost: "VirtualHost", queue: str) -> list[tuple[str, int, str]]:
    """Give routing key, id and time of the messages in a queue."""
    found = [(m.delivery_info["routing_key"], json.loads(m.body)["payload"]) for m in vhost.take(queue)]
    return [(key, payload["id"], payload["delta_ts"]) for key, payload in found]


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
    site.configure('every = "200ms"')
    service = site.start("run")
    site.wait_until(lambda: "/rest/bug" in server.paths(), "polled")

    server.pass_time(5)
    at = server.change(2)
    site.wait_until(lambda: site.status()["exchanges"][0]["confirmed"], "announced")
    status = site.status()
    beside = site.pulseshim("poll", "--since", "1h")
    service.send_signal(signal.SIGTERM)

    assert service.wait(15) == 0
    assert changes(vhost, queue) == [("2", 2, at)]
    assert beside.returncode == 2
    assert re.search(
        r"pulseshim run \(process \d+\) works on .*\n +it polls by itself .* stop it first", beside.stderr
    )
    conditions = {c["subject"]: c["condition"] for c in status["conditions"]}
    assert conditions["poll bugzilla.main"] == "done"
    cursors = {(c["feed"], c["field"]): c["value"] for c in status["cursors"]}
    assert cursors["bugzilla.main", "time"] == server.now.strftime("%Y-%m-%dT%H:%M:%S")


def test_a_service_that_is_killed_at_any_instant_misses_nothing(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost"
) -> None:
    """Bugs change all the while; of every change a message arrives, and equal ids are equal changes."""
    queue = vhost.bind_queue(SIMPLE)
    site.configure('every = "100ms"')
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


def test_the_key_is_in_no_log_not_even_of_a_debugging_service(site: BugSite, server: BugzillaServer) -> None:
    """With a server that takes the key by parameter alone, and with --debug, it is still nowhere."""
    site.configure(f'api_key_file = "{site.root / "key"}"\nevery = "100ms"')
    service = site.start("run", "--debug")
    site.wait_until(lambda: any(KEY in request.url for request in server.requests), "asked with the key")
    server.faults = lambda _: Reply(reset=True)
    site.wait_until(lambda: "poll failed" in (site.root / "log").read_text(), "failed")
    service.send_signal(signal.SIGTERM)
    service.wait(15)

    assert KEY not in (site.root / "log").read_text()
    assert KEY.encode() not in site.stored()


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
    site.configure('every = "100ms"')
    service = site.start("run")
    site.wait_until(lambda: len(server.requests) > 6, "polled some times")
    service.send_signal(signal.SIGTERM)

    assert service.wait(15) == 0
    assert most["at once"] == 1


def test_a_bug_that_turns_private_while_its_change_waits_is_not_told(
    site: BugSite, server: BugzillaServer, vhost: "VirtualHost"
) -> None:
    """The broker is down, the bug is hidden, the broker is up: no word of it is anywhere from then on."""
    simple, full = vhost.bind_queue(SIMPLE), vhost.bind_queue(CHANGES)
    site.configure("changes = true", broker=NOWHERE)
    site.pulseshim("poll", "--timeout", "1")
    server.pass_time(60)
    server.change(1, "whiteboard", added="the secret plan")
    server.change(2, "whiteboard", added="what all may know")
    waits = site.pulseshim("poll", "--timeout", "1")
    before = site.stored()
    server.hide(1)
    site.configure("changes = true")

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
    site.configure("changes = true", broker=NOWHERE)
    site.pulseshim("poll", "--timeout", "1")
    server.pass_time(60)
    server.change(2)
    site.pulseshim("poll", "--timeout", "1")
    site.configure("changes = true")
    server.faults = lambda _: page(503)

    held = site.pulseshim("drain", "--timeout", "1")
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
