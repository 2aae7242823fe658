"""Polling a Bugzilla, against `requests` and `json` over the same pages of the same stand-in."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from benchmarks.bugzilla_poll import set_back, source
from benchmarks.bugzilla_server import bugs
from benchmarks.measure import Row, in_turn, ratio_row, seconds_of
from pulseshim.testing import MemoryState
from tests.bugzilla_server import BugzillaServer

_ROUNDS = 9
_BUGS = 10_000
_REQUESTS = 12
_MEBIBYTES = 100


def measure() -> list[Row]:
    """Give the rows of polling."""
    with _server(_BUGS) as url:
        pages = _pages()
        urls = [url + page for page in pages]
        bare = requests.Session()
        _, asked = source(url)
        ours, theirs = in_turn(
            _ROUNDS,
            lambda: seconds_of(lambda: sum(1 for _ in asked.poll(set_back(MemoryState())))),
            lambda: seconds_of(lambda: _read(bare, urls)),
        )
        counts, seconds, memory = [], [], []
        for _ in range(3):
            count, taken, mebibytes = _stored(url)
            counts.append(count)
            seconds.append(taken)
            memory.append(mebibytes)
    what = f"{_BUGS:,} changed bugs"
    peak = max(memory)
    return [
        _idle(),
        Row(f"{what}: requests", f"at most {_REQUESTS}", str(len(pages)), "", len(pages) <= _REQUESTS),
        ratio_row(f"{what} / requests and json", ours, theirs, "at most", 1.5),
        Row(
            f"{what}, stored: memory", f"under {_MEBIBYTES} MiB", f"{peak:.0f} MiB",
            f"{sorted(seconds)[1]:.1f} s in all", peak < _MEBIBYTES and set(counts) == {_BUGS},
        ),
    ]  # fmt: skip


def _idle() -> Row:
    """Count what a poll that finds nothing asks, on a server in this process."""
    server = BugzillaServer()
    server.file()
    server.pass_time(3600)
    _, asked = source(server.url)
    state = MemoryState()
    list(asked.poll(state))
    server.requests.clear()
    list(asked.poll(state))
    paths = [request.path for request in server.requests]
    connections = len({request.connection for request in server.requests})
    server.close()
    return Row(
        "a poll that finds nothing", "2 requests, 1 connection",
        f"{len(paths)} requests, {connections} connection", "", (len(paths), connections) == (2, 1),
    )  # fmt: skip


def _pages() -> list[str]:
    """Give path and query of what a poll of all bugs asks for, on a server in this process."""
    server = bugs(_BUGS)
    _, asked = source(server.url)
    for _ in asked.poll(set_back(MemoryState())):
        pass
    urls = [request.url for request in server.requests if request.path != "/rest/version"]
    server.close()
    return urls


def _read(session: requests.Session, urls: list[str]) -> int:
    """Read pages as barely as can be; give how many bugs were in them."""
    return sum(len(json.loads(session.get(url, timeout=60).content).get("bugs", ())) for url in urls)


def _stored(url: str) -> tuple[int, float, float]:
    """Give messages, seconds and peak memory in MiB of a process that polls into a store."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "benchmarks.bugzilla_poll", url, directory]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, taken, mebibytes = done.stdout.split()
    return int(count), float(taken), float(mebibytes)


@contextmanager
def _server(count: int) -> Iterator[str]:
    """Give the URL of a server in a process of its own: it must not take turns with who asks it."""
    command = [sys.executable, "-m", "benchmarks.bugzilla_server", str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None:
            raise RuntimeError("it has no output")
        yield process.stdout.readline().strip()
        process.kill()
