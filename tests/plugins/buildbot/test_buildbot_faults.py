"""A master that fails in the middle of being read: whichever request it is, nothing is lost or made up."""

import copy
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import pytest

from pulseshim import Checkpoint
from pulseshim.testing import MemoryState
from pulseshim_plugins.buildbot_client import MasterUnavailable
from pulseshim_plugins.buildbot_listen import catch_up
from pulseshim_plugins.buildbot_options import MasterOptions
from pulseshim_shims.buildbot import buildbot_messages
from tests.buildbot_master import BuildbotMaster

MORE_THAN_ALL = 1000
TRIES = 60


def asked(port: int, path: str) -> tuple[int, bytes]:
    """Give status and content of a master's answer, a whole one: Buildbot cuts or delays some."""
    for _ in range(TRIES):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as master:
            try:
                master.request("GET", path, headers={"Accept": "application/json"})
                answer = master.getresponse()
                found = answer.status, answer.read()
                json.loads(found[1])
            except (OSError, ValueError, http.client.HTTPException):
                continue
            return found
    raise RuntimeError(f"no whole answer for {path}")


class Gate:
    """Stands before a quiet master, and answers one request with a failure of its own: the number `fails`.

    What the master has once said is said again, until `answers` is emptied.
    """

    def __init__(self, port: int) -> None:
        self.fails = MORE_THAN_ALL
        self.asked: list[str] = []
        self._counting = Lock()
        self.answers: dict[str, tuple[int, bytes]] = {}
        gate = self

        class Handler(BaseHTTPRequestHandler):
            """Passes on what is asked."""

            def do_GET(self) -> None:
                """Answer."""
                fails = gate.number(self.path) == gate.fails
                if not fails and self.path not in gate.answers:
                    gate.answers[self.path] = asked(port, self.path)
                status, content = (500, b"no") if fails else gate.answers[self.path]
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def number(self, path: str) -> int:
        """Give the number of a request, which is asked again where the answer is late: three are at once."""
        with self._counting:
            if path not in self.asked:
                self.asked.append(path)
            return self.asked.index(path) + 1

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def gate(master: BuildbotMaster) -> Iterator[Gate]:
    """Give what stands before the master."""
    found = Gate(master.port)
    yield found
    found.close()


def look(gate: Gate, state: MemoryState, fails: int = MORE_THAN_ALL) -> tuple[list[str], MemoryState]:
    """Look once, and give what is stored of it: the routing keys, and the state.

    As the core does it, each event is stored with the state as it is then, and what was set after the last
    one before a failure is forgotten. `fails` is the number of the request that fails.
    """
    gate.fails = fails
    gate.asked.clear()
    keys: list[str] = []
    stored = copy.deepcopy(state.entries)
    try:
        for event in catch_up(state, MasterOptions(url=gate.url, heartbeat="0s")):
            if not isinstance(event, Checkpoint):
                keys += [message.routing_key for message in buildbot_messages(event)]
            stored = copy.deepcopy(state.entries)
        assert fails == MORE_THAN_ALL, "nothing failed"
        stored = copy.deepcopy(state.entries)
    except MasterUnavailable:
        assert fails != MORE_THAN_ALL
    return keys, MemoryState(stored)


def work(master: BuildbotMaster, gate: Gate) -> None:
    """Have something of everything happen."""
    master.build("bad")
    master.send_change(author="ada", comments="x", revision="1")
    master.control(f"buildrequests/{master.force('away')}", "cancel")
    master.wait_until(lambda: not master.rows("buildrequests?complete=false"), "done")
    gate.answers.clear()


def test_a_first_start_that_fails_midway_begins_from_now_all_the_same(
    master: BuildbotMaster, gate: Gate
) -> None:
    """A half-made beginning is none: what was there before is not announced at the second try."""
    work(master, gate)
    look(gate, MemoryState())
    whole, _ = look(gate, MemoryState())
    count = len(gate.asked)  # of the second look: in the first, the master may have been asked repeatedly

    for number in range(1, count + 1):
        first, left = look(gate, MemoryState(), fails=number)
        second, _ = look(gate, left)
        assert first + second == [], f"after request {number} had failed"

    assert whole == []
    assert count > 4


def test_a_catch_up_that_fails_at_any_request_loses_nothing(master: BuildbotMaster, gate: Gate) -> None:
    """What one look did not get to, the next one tells, and nothing comes twice."""
    _, before = look(gate, MemoryState())
    work(master, gate)
    look(gate, MemoryState(before.entries))
    whole, _ = look(gate, MemoryState(before.entries))
    count = len(gate.asked)

    for number in range(1, count + 1):
        first, left = look(gate, MemoryState(before.entries), fails=number)
        second, _ = look(gate, left)
        assert sorted(first + second) == sorted(whole), f"after request {number} had failed"

    assert {"request.away.cancelled", "request.away.submitted", "request.bad.submitted"} <= set(whole)
    assert count > 10


def test_the_master_that_ran_a_build_is_named_where_several_share_a_database(
    master: BuildbotMaster, gate: Gate
) -> None:
    """One is listened to and shows the builds of all: `master_name` is that of the one that ran the build."""
    _, before = look(gate, MemoryState())
    work(master, gate)
    look(gate, MemoryState(before.entries))
    for path, (status, content) in gate.answers.items():
        rows = json.loads(content)
        if path == "/api/v2/masters":
            rows["masters"].append({**rows["masters"][0], "masterid": 2, "name": "other:/master"})
        for row in rows.get("builds", []):
            row["masterid"] = 2
        gate.answers[path] = status, json.dumps(rows).encode()

    session = catch_up(MemoryState(before.entries), MasterOptions(url=gate.url, heartbeat="0s"))
    events = [event for event in session if not isinstance(event, Checkpoint)]

    names = {
        message.routing_key.partition(".")[0]: message.master_name
        for event in events
        for message in buildbot_messages(event)
    }
    assert names == {"build": "other:/master", "request": names["change"], "change": names["change"]}
    assert names["change"] != "other:/master"
