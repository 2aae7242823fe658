"""A Buildbot master and a worker of one's own, on free ports of the loopback interface."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.buildbot_configuration import BUILDBOT_TAC, MASTER_CFG
from tests.ports import free_ports

START_SECONDS = 90

PROGRAMS = Path(os.environ.get("BUILDBOT_PROGRAMS", Path(sys.executable).parent)).absolute()
"""Where `buildbot`, `buildbot-worker` and `twistd` are: those of the tests, or of another Buildbot."""


class BuildbotMaster:
    """A master with a worker, all they write below one directory. They keep state and ports over a restart.

    `extra` is Python that sets `SERVICES` (a list) and `WWW` (a dict) of its configuration.
    """

    def __init__(self, directory: Path, extra: str = "") -> None:
        self.directory = directory
        self.port, self._pb = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}/"
        self._master: subprocess.Popen[bytes] | None = None
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self.headers: dict[str, str] = {}
        _configure(directory, self._pb, self.port, extra)
        (directory / "master" / "state.sqlite").write_bytes(_new_database())

    def start(self) -> None:
        """Start the master and wait until it runs and its REST API answers."""
        runs = self._runs() + 1
        self._master = self._spawn("master", "buildbot.tac")
        deadline = time.monotonic() + START_SECONDS
        while self._runs() < runs or not self._answers():
            if self._master.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"Buildbot did not start:\n{self._output('master')[-8000:]}")
            time.sleep(0.1)

    def start_worker(self, name: str = "w1") -> None:
        """Start a worker and wait until the master knows it is there."""
        place = self.directory / name
        if not place.exists():
            _run(
                "buildbot-worker",
                "create-worker",
                "--quiet",
                "--maxdelay=1",
                str(place),
                f"127.0.0.1:{self._pb}",
                name,
                "secret",
            )
        self._workers[name] = self._spawn(name, "buildbot.tac")
        self.wait_until(lambda: self.is_connected(name), f"{name} connected")

    def is_connected(self, name: str = "w1") -> bool:
        """Say whether the master has a connection to a worker."""
        return any(row["name"] == name and row["connected_to"] for row in self.rows("workers"))

    def stop(self) -> None:
        """Stop the master as an administrator would: builds that run end cancelled."""
        self._end(self._master, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the master."""
        self._end(self._master, signal.SIGKILL)

    def kill_worker(self, name: str = "w1") -> None:
        """Kill a worker."""
        self._end(self._workers.pop(name, None), signal.SIGKILL)

    def end(self) -> None:
        """Kill all that runs."""
        for name in list(self._workers):
            self.kill_worker(name)
        self.kill()

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Give what the REST API says."""
        request = urllib.request.Request(
            f"{self.url}api/v2/{path}", headers={"Accept": "application/json", **self.headers}
        )
        for _ in range(9):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    found = json.loads(answer.read())
            except (ValueError, ConnectionError, http.client.HTTPException):  # Buildbot cuts some short
                continue
            (rows,) = [part for name, part in found.items() if name != "meta"]
            return list(rows)
        raise RuntimeError(f"no whole answer for {path}")

    def control(self, path: str, method: str, **parameters: Any) -> Any:
        """Call a method of the REST API, such as `force` of `forceschedulers/force`."""
        content = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        request = urllib.request.Request(
            f"{self.url}api/v2/{path}",
            data=json.dumps(content).encode(),
            headers={"Content-Type": "application/json", **self.headers},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())["result"]

    def force(self, builder: str, **parameters: Any) -> int:
        """Ask for a build; give the number of the request."""
        number = next(row["builderid"] for row in self.rows("builders") if row["name"] == builder)
        _, requests = self.control(
            "forceschedulers/force", "force", builderid=str(number), reason=f"try {builder}", **parameters
        )
        (found,) = requests.values()
        return int(found)

    def build(self, builder: str, **parameters: Any) -> dict[str, Any]:
        """Ask for a build, wait for its end, and give its row."""
        request = self.force(builder, **parameters)
        self.wait_until(lambda: self.rows(f"buildrequests/{request}")[0]["complete"], f"{builder} built")
        return self.rows(f"buildrequests/{request}/builds")[-1]

    def running(self, builder: str, **parameters: Any) -> dict[str, Any]:
        """Ask for a build, wait until its worker is at work, and give its row."""
        request = self.force(builder, **parameters)

        def logs() -> list[dict[str, Any]]:
            builds = self.rows(f"buildrequests/{request}/builds")
            steps = self.rows(f"builds/{builds[-1]['buildid']}/steps") if builds else []
            return [log for step in steps for log in self.rows(f"steps/{step['stepid']}/logs")]

        self.wait_until(logs, f"{builder} at work")
        return self.rows(f"buildrequests/{request}/builds")[-1]

    def send_change(self, **fields: str) -> None:
        """Tell the master of a change by its change hook."""
        data = urllib.parse.urlencode(fields).encode()
        with urllib.request.urlopen(f"{self.url}change_hook/base", data=data, timeout=30):
            pass

    def wait_until(self, condition: Any, what: str, seconds: float = 60) -> None:
        """Wait until a condition holds, or fail with what was waited for."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not {what} within {seconds} s\n{self._output('master')[-4000:]}")
            time.sleep(0.15)  # each question costs the master, too

    def _runs(self) -> int:
        """Give how often the master has come to run."""
        return self._output("master").count("BuildMaster is running")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def _spawn(self, name: str, tac: str) -> subprocess.Popen[bytes]:
        twistd = [str(PROGRAMS / "twistd"), "--nodaemon", "--no_save"]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("PULSESHIM_")}
        with (self.directory / f"{name}.out").open("ab") as out:
            return subprocess.Popen(
                # No file for its number: of one that was killed it would stay, and another may have it now.
                [*twistd, "--pidfile=", f"--python={tac}"],
                cwd=self.directory / name,
                env=environ,
                stdout=out,
                stderr=out,
            )

    def _output(self, name: str) -> str:
        out = self.directory / f"{name}.out"
        return out.read_text(errors="replace") if out.exists() else ""

    def _end(self, process: subprocess.Popen[bytes] | None, number: int) -> None:
        if process is not None and process.poll() is None:
            process.send_signal(number)
            process.wait(30)


@contextmanager
def running_master(directory: Path, extra: str = "") -> Iterator[BuildbotMaster]:
    """Give a master that runs, with a worker, and kill both then."""
    directory.mkdir(exist_ok=True)
    master = BuildbotMaster(directory, extra)
    try:
        master.start()
        master.start_worker()
        yield master
    finally:
        master.end()


def _configure(directory: Path, pb: int, www: int, extra: str) -> None:
    (directory / "extra.py").write_text(f"SERVICES = []\nWWW = {{}}\n{extra}\n")
    master = directory / "master"
    master.mkdir()
    (master / "master.cfg").write_text(MASTER_CFG.format(pb=pb, www=www, extra=directory / "extra.py"))
    (master / "buildbot.tac").write_text(BUILDBOT_TAC.format(directory=master))


@cache
def _new_database() -> bytes:
    """Give the database of a master that never ran: to make it takes seconds, and it names no master."""
    with TemporaryDirectory(prefix="buildbot-") as directory:
        _configure(Path(directory), 1, 1, "")
        master = Path(directory) / "master"
        _run("buildbot", "upgrade-master", "--quiet", str(master))
        return (master / "state.sqlite").read_bytes()


def _run(program: str, *arguments: str) -> None:
    command = [str(PROGRAMS / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
