"""From a real Buildbot master to a consumer on a real RabbitMQ node, whoever is away or dies on the way."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.buildbot_master import BuildbotMaster, running_master

if TYPE_CHECKING:
    from tests.conftest import VirtualHost

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

SNIPPET = Path(__file__).parents[2] / "contrib" / "hooks" / "buildbot" / "master.cfg"
SPOOL = "/var/lib/pulseshim/spool"
REPORTER = f'c = {{"services": []}}\n{SNIPPET.read_text()}\nSERVICES = c["services"]'

HIDDEN = {"api_key", "deploy_password"}


class Held(NamedTuple):
    """A message as a consumer holds it."""

    routing_key: str
    message_id: str
    payload: dict[str, Any]
    meta: dict[str, Any]


class Service:
    """A `pulseshim run` that follows a master, and the queue of a consumer."""

    def __init__(self, root: Path, master: BuildbotMaster, vhost: "VirtualHost") -> None:
        self.root = root
        self._vhost = vhost
        self._queue = vhost.bind_queue("exchange/build/")
        self._process: subprocess.Popen[bytes] | None = None
        self._held: list[Held] = []
        (root / "pulseshim.toml").write_text(
            f'[store]\ndirectory = "{root / "store"}"\n[broker]\nurl = "{vhost.url}"\n'
            f'[plugins.buildbot]\nevery = "2s"\n[plugins.buildbot.masters.ci]\nurl = "{master.url}"\n'
        )

    @property
    def log(self) -> str:
        """Give what was logged since the last start."""
        return (self.root / "log").read_text()

    def run(self, *verb: str) -> subprocess.Popen[bytes]:
        """Start a verb."""
        command = [sys.executable, "-m", "pulseshim", *verb, "--config", str(self.root / "pulseshim.toml")]
        with (self.root / "log").open("w") as log:
            return subprocess.Popen(command, cwd=self.root, stderr=log)

    def start(self) -> None:
        """Start to listen, and wait until the master is followed from then on."""
        self._process = self.run("run")
        self.wait_until(lambda: "master followed" in self.log, "followed")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the service."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def held(self) -> list[Held]:
        """Give what the consumer holds by now, in the order it came; a repetition counts once."""
        for message in self._vhost.take(self._queue):
            body = json.loads(message.body)
            meta = body["_meta"]
            held = Held(meta["routing_key"], meta["message_id"], body["payload"], meta)
            if held.message_id not in {other.message_id for other in self._held}:
                self._held.append(held)
        return self._held

    def told(self) -> list[str]:
        """Give the routing keys of what the consumer holds, without heartbeats."""
        return [held.routing_key for held in self.held() if held.routing_key != "heartbeat"]

    def wait_until(self, condition: Any, what: str, seconds: float = 60) -> None:
        """Wait until a condition holds, or fail with what was waited for and the log."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not {what} within {seconds} s\n{self.told()}\n{self.log}"
            time.sleep(0.1)


@pytest.fixture
def master(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[BuildbotMaster]:
    """Give a master of the test's own, with a worker; its configuration ends with the parameter."""
    extra = getattr(request, "param", "").replace(SPOOL, str(tmp_path / "store" / "spool"))
    with running_master(tmp_path / "master", extra) as found:
        yield found


@pytest.fixture
def service(tmp_path: Path, master: BuildbotMaster, vhost: "VirtualHost") -> Iterator[Service]:
    """Give a service for the master that is not started yet."""
    found = Service(tmp_path, master, vhost)
    yield found
    found.stop(signal.SIGKILL)


def expected(master: BuildbotMaster) -> set[str]:
    """Give the routing keys that a consumer must hold, from what the REST API says."""
    names = {row["builderid"]: row["name"] for row in master.rows("builders")}
    words = {number: name.replace(".", "_").replace(" ", "_") for number, name in names.items()}
    builds = master.rows("builds")
    states = ("started", "finished", "log_uploaded")
    keys = {f"build.{words[row['builderid']]}.{row['number']}.{state}" for row in builds for state in states}
    return keys | {f"change.{row['changeid']}.added" for row in master.rows("changes")}


def check(master: BuildbotMaster, held: list[Held]) -> None:
    """Assert that what a consumer holds is what the REST API says: each state once, in order, as it was."""
    names = {row["builderid"]: row["name"] for row in master.rows("builders")}
    of_builds = [each for each in held if each.routing_key.startswith(("build.", "change."))]
    keys = [each.routing_key for each in of_builds]
    assert sorted(keys) == sorted(expected(master))
    for row in master.rows("builds?property=*"):
        mine = [
            each
            for each in of_builds
            if "build" in each.payload
            and (each.payload["build"]["builderName"], each.payload["build"]["number"])
            == (names[row["builderid"]], row["number"])
        ]
        started, finished, uploaded = mine
        states = [each.routing_key.rpartition(".")[2] for each in mine]
        assert states == ["started", "finished", "log_uploaded"]
        assert started.payload["build"]["results"] is None
        assert finished.payload["results"] == finished.payload["build"]["results"] == row["results"]
        assert finished.payload["request_ids"] == [row["buildrequestid"]]
        steps = master.rows(f"builds/{row['buildid']}/steps")
        assert [step["name"] for step in finished.payload["build"]["steps"]] == [s["name"] for s in steps]
        assert {name for name, *_ in uploaded.payload["build"]["properties"]} == set(
            row["properties"]
        ) - HIDDEN
        assert finished.meta["master_name"] == master.rows("masters")[0]["name"]
    requests = [each for each in held if each.routing_key.startswith("request.")]
    submitted = [each.payload["request"]["id"] for each in requests if each.routing_key.endswith("submitted")]
    cancelled = {
        each.payload["request"]["id"]: each.payload["request"]["results"]
        for each in requests
        if each.routing_key.endswith("cancelled")
    }
    built = {row["buildrequestid"] for row in master.rows("builds")}
    rows = master.rows("buildrequests")
    assert sorted(submitted) == sorted(row["buildrequestid"] for row in rows)
    assert cancelled == {
        row["buildrequestid"]: row["results"]
        for row in rows
        if row["complete"] and row["buildrequestid"] not in built
    }


def stop_builds(master: BuildbotMaster) -> None:
    """Stop what runs, and what is built in its place, until no request is left."""

    def is_quiet() -> bool:
        for row in master.rows("builds?complete=false"):
            master.control(f"builds/{row['buildid']}", "stop", reason="enough")
        return not master.rows("buildrequests?complete=false")

    master.wait_until(is_quiet, "stopped")


def test_a_consumer_holds_what_the_master_has_to_tell(master: BuildbotMaster, service: Service) -> None:
    """Every build, request and change of the master is announced, each state once and in order.

    Builds pass, fail, warn, are skipped and cancelled; requests wait, are cancelled and collapse; the worker
    is lost; the listener is stopped and killed, the master is stopped and killed in the middle of builds.
    """
    service.start()
    for builder in ("good", "bad", "warn", "skip", "a.b c/d ü", "props"):
        master.force(builder)
    master.wait_until(lambda: not master.rows("buildrequests?complete=false"), "built")
    master.send_change(author="Ada <ada@example.org>", comments="Fix", revision="abc", files='["a.py"]')
    master.running("slow")
    stop_builds(master)
    first, second, third = (master.force("away") for _ in range(3))
    master.control(f"buildrequests/{third}", "cancel")
    master.wait_until(lambda: all(row["complete"] for row in master.rows("buildrequests")), "cancelled")

    service.stop()  # the listener is away, the master is killed
    master.build("good")
    killed = master.running("slow")
    master.kill()
    master.start()
    master.wait_until(master.is_connected, "connected again")
    master.wait_until(lambda: len(master.rows("builds?complete=false")) == 1, "built again")
    stop_builds(master)
    service.start()

    master.running("slow")  # the master is stopped while it is heard
    master.stop()
    master.start()
    service.wait_until(lambda: "master followed" in service.log.rpartition("master lost")[2], "followed")
    master.wait_until(master.is_connected, "connected again")
    master.running("slow")  # the worker is lost, its build is tried again
    master.kill_worker()
    master.wait_until(lambda: not master.is_connected(), "lost")
    service.wait_until(lambda: "slave.w1.disconnected" in service.told(), "told of the worker")
    service.stop(signal.SIGKILL)
    master.start_worker()
    master.wait_until(lambda: master.rows("builds?complete=false"), "tried again")
    stop_builds(master)
    service.start()
    service.wait_until(lambda: not expected(master) - set(service.told()), "all announced")
    service.stop()

    check(master, service.held())
    held = {each.routing_key: each for each in service.held()}
    assert held[f"build.slow.{killed['number']}.finished"].payload["results"] == 5
    requests = {first: 3, second: 3, third: 6}
    assert (
        requests.items()
        <= {
            each.payload["request"]["id"]: each.payload["request"].get("results")
            for each in service.held()
            if each.routing_key == "request.away.cancelled"
        }.items()
    )
    assert held["build.good.2.started"].payload["build"]["blame"] == ["Ada <ada@example.org>"]
    assert "do-not-tell" not in json.dumps(list(held.values()))
    assert "heartbeat" in held


@pytest.mark.parametrize("master", [REPORTER], indirect=True)
def test_the_reporter_and_the_listener_together_tell_each_state_once(
    master: BuildbotMaster, service: Service
) -> None:
    """What the reporter records without a listener is published by `drain`; nothing comes twice.

    Not with a listener beside it, and not by a `poll` that tells of what the reporter does not.
    """
    spool = service.root / "store" / "spool"
    service.start()
    for builder in ("good", "bad"):
        master.build(builder)
    service.wait_until(lambda: expected(master) <= set(service.told()), "all announced")
    service.wait_until(lambda: not list((spool / "new").iterdir()), "all read")
    service.stop()
    master.build("warn")
    # One of the builds before may still come: the listener can be the first to tell of it.
    service.wait_until(
        lambda: sum(b'"warn"' in file.read_bytes() for file in (spool / "new").iterdir()) == 2, "recorded"
    )

    assert service.run("drain").wait(60) == 0, service.log
    alone = service.told()
    assert service.run("poll", "buildbot").wait(60) == 0, service.log

    assert alone[-3:] == ["build.warn.1.started", "build.warn.1.finished", "build.warn.1.log_uploaded"]
    check(master, service.held())
