"""Streams that are opened and say nothing, or no."""

import json
import socket
from threading import Event, Thread

from websockets import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from pulseshim_plugins.buildbot_client import Client
from pulseshim_plugins.buildbot_events import NoEvents, hear
from pulseshim_plugins.buildbot_options import MasterOptions


def test_a_stream_that_a_proxy_holds_back_is_given_up_soon() -> None:
    """Who takes a connection and keeps the answer to itself does not keep the listener from looking."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}/"
        options = MasterOptions(url=url, events="sse", timeout="200ms")

        with Client(options) as client:
            events = hear(client, options, Event())

    assert isinstance(events, NoEvents)


def test_a_websocket_that_refuses_to_subscribe_is_closed() -> None:
    """It is tried again each half a minute, and each connection would hold files and threads."""
    closed = Event()

    def refuse(connection: ServerConnection) -> None:
        try:
            while True:
                number = json.loads(connection.recv())["_id"]
                connection.send(json.dumps({"error": "no", "code": 403, "_id": number}))
        except ConnectionClosed:
            closed.set()

    with serve(refuse, "127.0.0.1", 0) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{server.socket.getsockname()[1]}/"
        with Client(MasterOptions(url=url, events="websocket")) as client:
            events = hear(client, MasterOptions(url=url, events="websocket"), Event())
            was_closed = closed.wait(60)
        server.shutdown()
        serving.join()

    assert isinstance(events, NoEvents)
    assert was_closed
