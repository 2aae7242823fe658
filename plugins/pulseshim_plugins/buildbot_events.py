"""A master's events, by websocket or SSE: they say where to look sooner, and nothing more.

Buildbot keeps no event for those who are away, so none of them is relied on.
"""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from typing import Any, Protocol
from urllib.parse import quote

import urllib3
import websockets
from websockets.sync.client import connect

from pulseshim_plugins.buildbot_client import Client, MasterUnavailable
from pulseshim_plugins.buildbot_frames import EventStream, Hint, decoded_object, hints
from pulseshim_plugins.buildbot_options import MasterOptions

log = logging.getLogger(__name__)

PATHS = (
    "builds/*/new",
    "builds/*/finished",
    "buildrequests/*/new",
    "buildrequests/*/complete",
    "changes/*/new",
    "workers/*/connected",
    "workers/*/disconnected",
)
STEP_PATHS = ("steps/*/started", "steps/*/finished")

_OK = 200
_OPEN_SECONDS = 10.0
_SILENCE_SECONDS = 600.0
_PIECE = 65536
_MOST_HINTS = 1000
_MOST_WAITING = 10_000


class EventsLost(Exception):
    """The master's events cannot be heard, or not any more."""


class Events(Protocol):
    """A way to hear a master's events.

    `wait` gives the hints that came, or none after `timeout` seconds; it raises `EventsLost` once the
    connection is gone and what came before is given.
    """

    def wait(self, timeout: float) -> list[Hint]:
        """Give the hints that came, or none after `timeout` seconds."""

    def close(self) -> None:
        """Hear no more."""


class WebSocketEvents:
    """A master's events by its websocket, `/ws`. Raises `EventsLost` where there is none."""

    def __init__(self, client: Client, paths: Iterable[str]) -> None:
        address = client.base.replace("http", "ws", 1) + "ws"
        headers = {name: text for name, text in client.headers.items() if name != "Accept"}
        self._early: list[Hint] = []
        self._lost: EventsLost | None = None
        self._open = ExitStack()
        try:
            connection = connect(
                address,
                ssl=client.tls,
                additional_headers=headers,
                open_timeout=_OPEN_SECONDS,
                close_timeout=1,
                user_agent_header=None,
                compression=None,
                proxy=None,
            )
            self._connection = self._open.enter_context(connection)
            commands = [{"cmd": "startConsuming", "path": path, "_id": n} for n, path in enumerate(paths)]
            for command in commands:
                self._connection.send(json.dumps(command))
            self._await_answers(len(commands))
        except (OSError, ValueError, websockets.WebSocketException) as error:
            self._open.close()
            raise EventsLost(f"{address}: {error}") from error
        except EventsLost:
            self._open.close()
            raise

    def _await_answers(self, count: int) -> None:
        deadline = time.monotonic() + _OPEN_SECONDS
        while count:
            if time.monotonic() > deadline or len(self._early) > _MOST_HINTS:
                raise EventsLost("the websocket does not answer what it was asked")
            answer = decoded_object(self._connection.recv(deadline - time.monotonic()))
            if "k" in answer:
                self._early += hints(str(answer["k"]).split("/"), answer.get("m"))
            elif answer.get("code") != _OK:
                raise EventsLost(f"the websocket refuses to subscribe: {answer}")
            else:
                count -= 1

    def wait(self, timeout: float) -> list[Hint]:
        """Give the hints that came, or none after `timeout` seconds."""
        if self._lost:
            raise self._lost
        came, self._early = self._early, []
        deadline = time.monotonic() + timeout
        try:
            while len(came) < _MOST_HINTS:
                left = max(deadline - time.monotonic(), 0)
                answer = decoded_object(self._connection.recv(0 if came else left))
                came += hints(str(answer.get("k", "")).split("/"), answer.get("m"))
        except TimeoutError:
            return came
        except (OSError, ValueError, websockets.WebSocketException) as error:
            self._lost = EventsLost(str(error))
            if not came:
                raise self._lost from error
        return came

    def close(self) -> None:
        """Close the connection."""
        self._open.close()


class ServerSentEvents:
    """A master's events by SSE, `/sse`, read in a thread. Raises `EventsLost` where there are none."""

    def __init__(self, client: Client, paths: Iterable[str]) -> None:
        self._stream = EventStream()
        self._queue: queue.SimpleQueue[list[Hint] | EventsLost] = queue.SimpleQueue()
        with ExitStack() as failing:
            try:
                self._answer = client.stream("sse/listen")
                failing.callback(self._answer.close)
                self._subscribe(client, paths)
            except (urllib3.exceptions.HTTPError, MasterUnavailable, OSError, ValueError) as error:
                raise EventsLost(f"{client.base}sse: {error}") from error
            failing.pop_all()
        threading.Thread(target=self._listen, name="sse", daemon=True).start()

    def _subscribe(self, client: Client, paths: Iterable[str]) -> None:
        if self._answer.status != _OK:
            raise EventsLost(f"{client.base}sse answers HTTP {self._answer.status}")
        identity = quote(self._handshake(), safe="")
        self._be_patient()
        for path in paths:
            if client.get(f"sse/add/{identity}/{path}").status != _OK:
                raise EventsLost(f"{client.base}sse refuses to subscribe to {path}")

    def _handshake(self) -> str:
        deadline = time.monotonic() + _OPEN_SECONDS
        while time.monotonic() < deadline:
            for event, text in self._read():
                if event == "handshake":
                    return text
        raise EventsLost("the SSE stream says nothing")

    def _be_patient(self) -> None:
        """Wait for long from now on: a master greets at once, and may then have nothing to tell."""
        if sock := getattr(self._answer.connection, "sock", None):
            sock.settimeout(_SILENCE_SECONDS)

    def _read(self) -> list[tuple[str, str]]:
        """Give the events of the next piece of the stream, each with its name and text."""
        piece = self._answer.read1(_PIECE)
        if not piece:
            raise EventsLost("the SSE stream ended")
        return self._stream.take(piece)

    def _listen(self) -> None:
        try:
            while True:
                for name, text in self._read():
                    if name == "event":
                        self._keep(decoded_object(text))
        except Exception as error:  # noqa: BLE001 - whatever ends the thread ends what it listens to
            self._queue.put(EventsLost(f"{type(error).__name__}: {error}"))
        finally:
            self._answer.close()

    def _keep(self, answer: dict[str, Any]) -> None:
        if self._queue.qsize() >= _MOST_WAITING:
            raise EventsLost(f"{_MOST_WAITING} events have come that nobody had time for")
        self._queue.put(hints(answer.get("key"), answer.get("message")))

    def wait(self, timeout: float) -> list[Hint]:
        """Give the hints that came, or none after `timeout` seconds."""
        came: list[Hint] = []
        deadline = time.monotonic() + timeout
        with suppress(queue.Empty):
            while len(came) < _MOST_HINTS:
                left = max(deadline - time.monotonic(), 0)
                next_ones = self._queue.get(timeout=0 if came else left)
                if not isinstance(next_ones, EventsLost):
                    came += next_ones
                elif came:
                    self._queue.put(next_ones)  # the thread has ended: nothing comes behind it
                    return came
                else:
                    raise next_ones
        return came

    def close(self) -> None:
        """Close the connection; the thread ends with it."""
        with suppress(RuntimeError, ValueError, OSError):  # it is closed already
            self._answer.shutdown()


class NoEvents:
    """A master whose events are not heard: there are never any hints."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def wait(self, timeout: float) -> list[Hint]:
        """Wait, and give no hints."""
        self._stop.wait(timeout)
        return []

    def close(self) -> None:
        """Do nothing."""


def hear(client: Client, options: MasterOptions, stop: threading.Event) -> Events:
    """Give the best way to hear a master's events that the options allow and the master has."""
    paths = (*PATHS, *STEP_PATHS) if options.steps else PATHS
    ways: dict[str, Callable[[Client, Iterable[str]], Events]] = {
        "websocket": WebSocketEvents,
        "sse": ServerSentEvents,
    }
    for name, way in ways.items():
        if options.events not in ("auto", name):
            continue
        try:
            events = way(client, paths)
        except EventsLost as error:
            log.warning("events not heard", extra={"master": client.base, "way": name, "error": str(error)})
        else:
            log.info("events heard", extra={"master": client.base, "way": name})
            return events
    return NoEvents(stop)
