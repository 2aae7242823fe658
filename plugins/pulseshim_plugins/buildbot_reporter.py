"""A service for a Buildbot's master.cfg: records the start and the end of each build to the spool.

It runs inside the master. So nothing here waits for a disk: the reactor collects what a build is made of from
the master's own data, and a thread writes it down.
"""

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any

from buildbot.util import toJson
from buildbot.util.service import BuildbotService
from twisted.internet import defer, threads
from twisted.python import log

from pulseshim.recorder import record

_RETRY_SECONDS = 5.0
_STOP_SECONDS = 10.0

LONGEST_QUEUE = 10_000
"""How many starts and ends of builds wait in memory for a spool that cannot be written."""

Put = Callable[[bytes, bytes, int], None]


class PulseshimReporter(BuildbotService):  # type: ignore[misc] # Buildbot has no types of its own
    """Records each build of a master, when it starts and when it ends, under the feed `buildbot.<master>`.

    `master` is the name of the master's table in pulseshim.toml, `spool` the directory of the spool.
    """

    name = "pulseshim"

    def checkConfig(self, master: str, spool: str) -> None:  # noqa: N802 - Buildbot calls it so
        """Take any names: whether the spool can be written to shows when there is something to write."""

    @defer.inlineCallbacks
    def reconfigService(self, master: str, spool: str) -> Generator[Any, Any, None]:  # noqa: N802
        """Begin to record, or go on with other names."""
        yield self._unsubscribe()
        self._incarnation = f"pid{os.getpid()}-boot{int(time.time())}"
        self._lock = defer.DeferredLock()
        self._writer: Writer | None = Writer(partial(put, spool, f"buildbot.{master}"))
        for state in ("new", "finished"):
            consumer = yield self.master.mq.startConsuming(self._take, ("builds", None, state))
            self._consumers.append(consumer)

    @defer.inlineCallbacks
    def stopService(self) -> Generator[Any, Any, None]:  # noqa: N802
        """Record what is left, then end."""
        yield self._unsubscribe()
        yield super().stopService()

    @defer.inlineCallbacks
    def _unsubscribe(self) -> Generator[Any, Any, None]:
        for consumer in getattr(self, "_consumers", ()):
            yield consumer.stopConsuming()
        self._consumers: list[Any] = []
        writer: Writer | None = getattr(self, "_writer", None)
        self._writer = None
        if writer is not None:
            yield self._lock.run(lambda: None)
            yield threads.deferToThread(writer.stop)

    def _take(self, key: tuple[str, ...], build: dict[str, Any]) -> None:
        """Collect a build's data, one build after the other: what started is written before what ended."""
        if build["masterid"] == self.master.masterid and self._writer is not None:
            done = self._lock.run(self._collect, self._writer, build["buildid"], key[-1])
            _ = done.addErrback(_complain)

    @defer.inlineCallbacks
    def _collect(self, writer: "Writer", buildid: int, state: str) -> Generator[Any, Any, None]:
        get = self.master.data.get
        build = yield get(("builds", buildid))
        properties = yield get(("builds", buildid, "properties"))
        request = yield get(("buildrequests", build["buildrequestid"]))
        buildset = yield get(("buildsets", request["buildsetid"]))
        builder = yield get(("builders", build["builderid"]))
        worker = yield get(("workers", build["workerid"]))
        changes = yield get(("builds", buildid, "changes"))
        steps, logs = [], {}
        if state == "finished":
            steps = yield get(("builds", buildid, "steps"))
            for step in steps:
                logs[step["stepid"]] = list((yield get(("steps", step["stepid"], "logs"))))
        writer.write(
            {
                "master_name": self.master.name,
                "master_incarnation": self._incarnation,
                "build": {**build, "properties": properties},
                "buildset": buildset,
                "builder": builder["name"] if builder else str(build["builderid"]),
                "worker": worker["name"] if worker else str(build["workerid"]),
                "changes": list(changes),
                "steps": list(steps),
                "logs": logs,
            },
            state,
        )


def put(spool: str, feed: str, state: bytes, content: bytes, now: int) -> None:
    """Record the start or the end of a build. Raises OSError, which names the spool."""
    try:
        place = os.fsencode(os.getcwd())
        record(  # type: ignore[no-untyped-call] # it starts in hooks, where typing would cost
            os.fsencode(spool), os.fsencode(feed), [state], [], content, place, now, os.urandom(16)
        )
    except OSError as error:
        raise OSError(f"{spool} cannot be written ({error})") from error


def _complain(failure: Any) -> None:
    log.err(failure, "pulseshim: a build was not recorded")  # type: ignore[no-untyped-call] # Twisted's


class Writer:
    """A thread that writes builds down, in the order they come, and tries again where that fails.

    `put` writes one: its state, its content, and when it was collected, in nanoseconds since 1970; it raises
    OSError. That it fails, and that something is left out, is logged once, and once more when it is over.
    """

    def __init__(self, put: Put, *, pause: float = _RETRY_SECONDS, patience: float = _STOP_SECONDS) -> None:
        self._put = put
        self._pause, self._patience = pause, patience
        self._queue: queue.Queue[tuple[bytes, bytes, int] | None] = queue.Queue(LONGEST_QUEUE)
        self._left_out = 0
        self._is_failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulseshim", daemon=True)
        self._thread.start()

    def write(self, content: dict[str, Any], state: str) -> None:
        """Have something written; never waits. Where 10,000 wait already, it is left out."""
        encoded = json.dumps(content, default=toJson).encode()
        try:
            self._queue.put_nowait((state.encode(), encoded, time.time_ns()))
        except queue.Full:
            self._left_out += 1
            if self._left_out == 1:
                log.msg(f"pulseshim: {LONGEST_QUEUE} wait to be recorded, what comes now is left out")

    def stop(self) -> None:
        """Write what is left, for ten seconds at most."""
        until = time.monotonic() + self._patience
        self._stopping.set()
        with suppress(queue.Full):
            self._queue.put(None, timeout=self._patience)
            self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            while not (is_written := self._is_written(*item)) and not self._stopping.is_set():
                self._stopping.wait(self._pause)
            self._left_out += not is_written
            if is_written and self._queue.empty():
                self._tell_what_was_left_out()
        self._tell_what_was_left_out()

    def _is_written(self, state: bytes, content: bytes, now: int) -> bool:
        try:
            self._put(state, content, now)
        except OSError as error:
            if not self._is_failing:
                log.msg(f"pulseshim: {error}; correct it, it is tried again")
            self._is_failing = True
            return False
        if self._is_failing:
            log.msg("pulseshim: builds are recorded again")
        self._is_failing = False
        return True

    def _tell_what_was_left_out(self) -> None:
        if self._left_out:
            log.msg(f"pulseshim: {self._left_out} starts and ends were left out, a listener tells of them")
        self._left_out = 0
