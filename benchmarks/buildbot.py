"""The listener beside a real Buildbot master: how soon, how much work, and how quiet."""

import json
import logging
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles

import urllib3
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks.idle import processor_seconds
from benchmarks.measure import Row, ratio_row, seconds_of
from benchmarks.node import node
from pulseshim.account import Account
from pulseshim.added import Added
from pulseshim.consumer import Consumer
from pulseshim.feed import Feed, StreamSource
from pulseshim.settings import Settings, StoreSettings
from pulseshim.source import Outlet, listen
from pulseshim.store import open_store
from pulseshim_plugins.buildbot import pulseshim_feeds
from tests.buildbot_master import BuildbotMaster, running_master

_BUILDS = 20
_CAUGHT_UP = 1000
_PARTS = 8
_TIMEOUTS = (2.0, 4.0, 8.0, 16.0, 32.0)
_SETTLE_SECONDS = 5
_IDLE_SECONDS = 60
_JOINED = ("builds?", "buildrequests?", "buildsets?", "changes?")


def measure() -> list[Row]:
    """Give the rows of the latency, of catching up, and of being idle."""
    with tempfile.TemporaryDirectory() as directory, node() as broker:
        root = Path(directory).resolve()
        with running_master(root / "master") as master:
            with _service(root, master, broker.port) as process:
                rows = [_latency(master, broker.port), *_idle(master, process)]
            master.build("steady")  # the one that is multiplied
            master.stop()
            _multiply(root / "master" / "master" / "state.sqlite", _CAUGHT_UP)
            master.start()
            return [*rows, *_catch_up(root, master)]


@contextmanager
def _service(root: Path, master: BuildbotMaster, port: int) -> Iterator[int]:
    """Give the process of a `pulseshim run` that hears the master."""
    (root / "pulseshim.toml").write_text(
        f'[store]\ndirectory = "{root / "store"}"\n[broker]\nurl = "amqp://127.0.0.1:{port}/"\n'
        f'[plugins.buildbot.masters.ci]\nurl = "{master.url}"\n'
    )
    command = [sys.executable, "-m", "pulseshim", "run", "--config", str(root / "pulseshim.toml")]
    with (root / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=root, stderr=log)
    try:
        master.wait_until(lambda: "master followed" in (root / "log").read_text(), "followed")
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _latency(master: BuildbotMaster, port: int) -> Row:
    account = Account(name="", urls=(f"amqp://127.0.0.1:{port}/",), user="guest", password="guest")
    ended: dict[int, float] = {}

    def hear() -> None:
        address = master.url.replace("http", "ws") + "ws"
        with suppress(ConnectionClosed), connect(address, proxy=None) as events:
            events.send(json.dumps({"cmd": "startConsuming", "path": "builds/*/finished", "_id": 1}))
            for text in events:
                event = json.loads(text)
                if "k" in event:
                    ended[event["m"]["number"]] = time.perf_counter()

    threading.Thread(target=hear, daemon=True).start()
    waits = []
    with Consumer(account, "exchange/build/", "build.good.*.finished") as consumer:
        for _ in range(_BUILDS):
            master.force("good")
            deadline = time.perf_counter() + 60
            while (came := consumer.receive(5)) is None:
                if time.perf_counter() > deadline:
                    raise RuntimeError("no message came")
            now = time.perf_counter()
            waits.append(now - ended[json.loads(came.body)["payload"]["build"]["number"]])
    low, _, high = quantiles(waits, n=4)
    spread = f"{low * 1000:.0f} to {high * 1000:.0f} ms"
    middle = median(waits)
    return Row(
        "build ended to message consumed", "under 300 ms", f"{middle * 1000:.0f} ms", spread, middle < 0.3
    )


def _idle(master: BuildbotMaster, process: int) -> list[Row]:
    log = master.directory / "master" / "http.log"
    time.sleep(_SETTLE_SECONDS)
    requests, seconds = len(log.read_text().splitlines()), processor_seconds(process)
    time.sleep(_IDLE_SECONDS)
    rate = (len(log.read_text().splitlines()) - requests) / _IDLE_SECONDS
    percent = (processor_seconds(process) - seconds) / _IDLE_SECONDS * 100
    return [
        Row("listener, idle: requests", "under 1/s", f"{rate:.2f}/s", "", rate < 1),
        Row("listener, idle: processor", "under 0.5 % of a core", f"{percent:.2f} %", "", percent < 0.5),
    ]


class _Seen(logging.Handler):
    """What urllib3 was asked for."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.paths: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the path of a request."""
        if isinstance(record.args, tuple) and "GET" in record.args:
            self.paths.append(str(record.args[record.args.index("GET") + 1]))


def _catch_up(root: Path, master: BuildbotMaster) -> list[Row]:
    settings = Settings(
        store=StoreSettings(directory=str(root / "caught-up")),
        plugins={"buildbot": {"masters": {"ci": {"url": master.url, "events": "none", "heartbeat": "0s"}}}},
    )
    (feed,) = pulseshim_feeds(settings)
    seen, logger = _Seen(), logging.getLogger("urllib3.connectionpool")
    logger.addHandler(seen)
    logger.setLevel(logging.DEBUG)
    try:
        turn = _read_in_turn(settings, feed, master.url, seen)
    finally:
        logger.removeHandler(seen)
        logger.setLevel(logging.WARNING)
    joined = sum(path.startswith(tuple(f"/api/v2/{name}" for name in _JOINED)) for path in seen.paths)
    limit = _CAUGHT_UP // 25 + 20
    what = f"catch-up over {_CAUGHT_UP} builds"
    return [
        ratio_row(f"{what}, to a bare client", turn.ours, turn.bare, "at most", 1.5),
        Row(
            f"{what}: requests that join",
            f"at most {limit}",
            str(joined),
            f"{len(seen.paths)} in all",
            joined <= limit,
        ),
    ]


class _InTurn:
    """Measures parts of a catch-up, and after each how long a bare client takes to read the same pages.

    `ours` and `bare` are the seconds. The parts have the same number of builds; the first has the requests,
    too. The bare client comes second, when the master is warm.
    """

    def __init__(self, url: str, seen: _Seen) -> None:
        self.ours: list[float] = []
        self.bare: list[float] = []
        self.failures: list[str] = []
        self.stop = threading.Event()
        self._url = url
        self._seen = seen
        self._told = self._first = 0
        self._begun = time.perf_counter()

    def stored(self, envelopes: Added) -> None:
        """Take note of what was stored; where a part ends with it, let the bare client read."""
        self._told += sum(envelope.type == "buildbot.log-uploaded" for envelope in envelopes)
        if self._told < (len(self.ours) + 1) * _CAUGHT_UP // _PARTS:
            return
        self.ours.append(time.perf_counter() - self._begun)
        last = len(self._seen.paths)
        paths = self._seen.paths[self._first : last]
        self.bare.append(seconds_of(lambda: _read_bare(self._url, paths)))
        del self._seen.paths[last:]
        self._first = last
        if len(self.ours) == _PARTS:
            self.stop.set()
        self._begun = time.perf_counter()

    def condition(self, how: str, why: str) -> None:
        """End where the catch-up fails: it would begin again."""
        if how != "connected":
            self.failures.append(why)
            self.stop.set()


def _read_in_turn(settings: Settings, feed: Feed[object], url: str, seen: _Seen) -> _InTurn:
    """Catch up from nothing, into a store of its own."""
    source = feed.source
    assert isinstance(source, StreamSource)
    store = open_store(settings)
    state = store.outbox.state(feed.name)
    known = {"server": url.partition("://")[2].rstrip("/"), "workers": "1"}
    state.set("cursor", {**known, "builds": "0", "buildrequests": "0", "changes": "0"})
    store.outbox.store([], state=state)
    turn = _InTurn(url, seen)
    try:
        listen(store.outbox, [Outlet(feed, "")], source, turn.stop, turn.stored, lambda: 0.0, turn.condition)
    finally:
        store.close()
    if turn.failures:
        raise RuntimeError(turn.failures[0])
    return turn


def _read_bare(url: str, paths: list[str]) -> None:
    """Read the same pages, one after the other, and do nothing with them.

    Buildbot cuts some answers, and holds back others until it is asked something else: these are read again,
    as the listener does.
    """
    pool = urllib3.PoolManager(retries=False)
    for path in paths:
        for timeout in _TIMEOUTS:
            with suppress(ValueError, urllib3.exceptions.HTTPError):
                address = url.rstrip("/") + path
                pool.request("GET", address, headers={"Accept": "application/json"}, timeout=timeout).json()
                break
        else:
            raise RuntimeError(f"no whole answer for {path}")
    pool.clear()


def _multiply(database: Path, wanted: int) -> None:
    """Copy the rows of the last build until there are so many builds that have ended."""
    with closing(sqlite3.connect(database)) as connection, connection:
        (build, request, buildset, builder) = connection.execute(
            "SELECT builds.id, buildrequestid, buildsetid, builds.builderid FROM builds"
            " JOIN buildrequests ON buildrequests.id = buildrequestid ORDER BY builds.id DESC"
        ).fetchone()
        steps = [row[0] for row in connection.execute("SELECT id FROM steps WHERE buildid = ?", (build,))]
        (count,) = connection.execute("SELECT count(*) FROM builds").fetchone()
        (last,) = connection.execute(
            "SELECT max(number) FROM builds WHERE builderid = ?", (builder,)
        ).fetchone()
        for number in range(1, wanted - count + 1):
            new_set = _copy(connection, "buildsets", "id", buildset)
            _copy(connection, "buildset_sourcestamps", "buildsetid", buildset, id=None, buildsetid=new_set)
            new_request = _copy(connection, "buildrequests", "id", request, buildsetid=new_set)
            new = _copy(connection, "builds", "id", build, buildrequestid=new_request, number=last + number)
            _copy(connection, "build_properties", "buildid", build, id=None, buildid=new)
            for step in steps:
                new_step = _copy(connection, "steps", "id", step, buildid=new)
                _copy(connection, "logs", "stepid", step, id=None, stepid=new_step)


def _copy(connection: sqlite3.Connection, table: str, field: str, value: int, **new: int | None) -> int:
    """Copy rows of a table with other values in some columns; give the number of the last."""
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = {**({"id": None} if field == "id" else {}), **new}
    chosen = [column for column in columns if values.get(column, "") is not None]
    parts = [str(values[column]) if column in values else column for column in chosen]
    query = (
        f"INSERT INTO {table} ({', '.join(chosen)}) SELECT {', '.join(parts)} FROM {table} WHERE {field} = ?"
    )
    return int(connection.execute(query, (value,)).lastrowid or 0)
