"""Whatever a Buildbot master, or who answers in its place, says of its events: it is hints, or their end.

As in `test_fuzz.py`, `make fuzz` takes many examples of each property.
"""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from pulseshim_plugins.buildbot_client import Client
from pulseshim_plugins.buildbot_events import PATHS, Events, EventsLost, ServerSentEvents, WebSocketEvents
from pulseshim_plugins.buildbot_frames import Hint, decoded_object, hints
from pulseshim_plugins.buildbot_options import MasterOptions
from tests.buildbot_rows import ROWS
from tests.event_streams import taken, texts, words
from tests.nonsense import fuzz, values


def check(hints: list[Hint]) -> None:
    """Assert that hints are of a resource, a number and a row."""
    assert [hint for hint in hints if hint.number < 0 or "/" in hint.resource] == []
    assert all(isinstance(hint.row, dict) for hint in hints)


def heard(open_events: Callable[[], Events]) -> list[Hint]:
    """Give the hints of a master until its events end; they must end."""
    hints: list[Hint] = []
    with suppress(EventsLost):
        events = open_events()
        try:
            while True:
                came = events.wait(20)
                assert came, "nothing more came, and no end"
                hints += came
        finally:
            events.close()
    return hints


@pytest.fixture(scope="module")
def stream_of() -> Iterator[Callable[[bytes, list[bytes]], str]]:
    """Give a way to serve a stream: what comes before the subscriptions, and pieces behind them."""
    told: queue.SimpleQueue[tuple[bytes, list[bytes]]] = queue.SimpleQueue()
    asked = threading.Semaphore(0)

    class Handler(BaseHTTPRequestHandler):
        """A master's `/sse`."""

        def do_GET(self) -> None:
            """Answer."""
            self.send_response(200)
            if "/add/" in self.path:
                asked.release()
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            greeting, pieces = told.get()
            self.end_headers()
            self.wfile.write(greeting)
            is_greeted = all(asked.acquire(timeout=20) for _ in PATHS) if greeting == GREETING else False
            with suppress(OSError):
                for piece in pieces if is_greeted else []:
                    self.wfile.write(piece)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()

    def give(greeting: bytes, pieces: list[bytes]) -> str:
        while asked.acquire(blocking=False):
            pass
        told.put((greeting, pieces))
        return f"http://127.0.0.1:{server.server_port}/"

    yield give
    server.shutdown()
    thread.join()
    server.server_close()


GREETING = b"event: handshake\ndata: 7\n\n"
messages = st.one_of(
    values.map(json.dumps),
    st.fixed_dictionaries({"key": values, "message": values}).map(json.dumps),
    st.builds(
        lambda key, row: json.dumps({"key": key, "message": row}),
        st.tuples(
            st.one_of(st.sampled_from(["builds", "workers", "a/b"]), values),
            st.one_of(st.integers(0, 99), values),
            st.just("new"),
        ),
        st.one_of(st.dictionaries(words, values, max_size=2), st.just({"name": "\ud800"})),
    ),
    st.just("[" * 100_000),
    st.just("9" * 5000),
).map(lambda text: f"event: event\ndata: {text}\n\n".encode())


def foretold(text: bytes) -> list[Hint]:
    """Give the hints of a stream, up to the first event that is none."""
    found: list[Hint] = []
    with suppress(ValueError):
        for name, data in taken([text]):
            if name == "event":
                answer = decoded_object(data)
                found += hints(answer.get("key"), answer.get("message"))
    return found


@fuzz
@given(pieces=st.lists(st.one_of(messages, messages, texts), max_size=5))
@example(pieces=[b'event: event\ndata: {"key": ["a/b", 1, "new"], "message": {}}\n\n'])
def test_any_text_of_a_stream_is_hints_or_nothing_or_the_end_of_hearing(
    stream_of: Callable[[bytes, list[bytes]], str], pieces: list[bytes]
) -> None:
    """All hints before the end are given, and each is of a resource, a number and a row."""
    with Client(MasterOptions(url=stream_of(GREETING, pieces))) as client:
        came = heard(lambda: ServerSentEvents(client, PATHS))

    check(came)
    assert came == foretold(b"".join(pieces))


@fuzz
@given(greeting=st.one_of(texts, messages, texts.map(lambda text: text + GREETING)))
def test_any_greeting_of_a_stream_is_one_or_the_end_of_hearing(
    stream_of: Callable[[bytes, list[bytes]], str], greeting: bytes
) -> None:
    """Who says something else first, or nothing, is not listened to."""
    with Client(MasterOptions(url=stream_of(greeting, []))) as client:
        assert heard(lambda: ServerSentEvents(client, PATHS)) == []


def test_a_stream_that_nobody_has_time_for_is_not_held_in_memory(
    stream_of: Callable[[bytes, list[bytes]], str],
) -> None:
    """Hearing ends, and what is missed then is read of the master as after any silence."""
    told = b'event: event\ndata: {"key": ["builds", 1, "new"], "message": {}}\n\n'
    with Client(MasterOptions(url=stream_of(GREETING, [told * 12_000]))) as client:
        before = set(threading.enumerate())
        events = ServerSentEvents(client, PATHS)
        for thread in set(threading.enumerate()) - before:
            if thread.name == "sse":  # no more of them than this one, unless it has ended already
                thread.join(60)
        came = [len(events.wait(20)) for _ in range(10)]

        with pytest.raises(EventsLost, match="nobody had time for"):
            events.wait(20)

    assert came == [1000] * 10


Frame = str | bytes
SUBSCRIBED = '{"code": 200}'
frames = st.one_of(
    values.map(json.dumps),
    st.fixed_dictionaries({"k": values, "m": values}).map(json.dumps),
    st.builds(
        lambda resource, number, row: json.dumps({"k": f"{resource}/{number}/new", "m": row}),
        st.sampled_from(list(ROWS)),
        st.one_of(st.integers(), st.text(max_size=3)),
        values,
    ),
    st.text(max_size=30),
    st.binary(max_size=30),
    st.just("[" * 100_000),
)


@pytest.fixture(scope="module")
def frames_of() -> Iterator[Callable[[list[Frame]], str]]:
    """Give a way to serve frames to who comes next, by a websocket."""
    told: queue.SimpleQueue[list[Frame]] = queue.SimpleQueue()

    def talk(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for _ in PATHS:
                connection.recv()
            for frame in told.get():
                connection.send(frame)

    with serve(talk, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def give(those: list[Frame]) -> str:
            told.put(those)
            return f"http://127.0.0.1:{server.socket.getsockname()[1]}/"

        yield give
        server.shutdown()
        thread.join()


def foreseen(frames: list[Frame]) -> list[Hint]:
    """Give the hints of a websocket: none where it does not first agree to each subscription."""
    left = len(PATHS)
    found: list[Hint] = []
    with suppress(ValueError):
        for frame in frames:
            answer = decoded_object(frame)
            if not left or "k" in answer:
                found += hints(str(answer.get("k", "")).split("/"), answer.get("m"))
            elif answer.get("code") != 200:
                break
            else:
                left -= 1
    return [] if left else found


agreed = [SUBSCRIBED] * len(PATHS)
answers = st.lists(
    st.one_of(st.just(SUBSCRIBED), frames, st.builds(lambda code: json.dumps({"code": code}), values)),
    max_size=len(PATHS) + 2,
)


@fuzz
@given(
    those=st.one_of(
        st.lists(frames, max_size=4).map(lambda those: agreed + those),
        st.lists(frames, max_size=3).flatmap(lambda those: st.permutations(agreed + those)),
        answers,
    )
)
def test_any_frame_of_a_websocket_is_a_hint_or_nothing_or_the_end_of_hearing(
    frames_of: Callable[[list[Frame]], str], those: list[Frame]
) -> None:
    """Before all is answered that it was asked, and behind that; all hints before the end are given."""
    with Client(MasterOptions(url=frames_of(those))) as client:
        came = heard(lambda: WebSocketEvents(client, PATHS))

    check(came)
    assert came == foreseen(those)
