"""Streams that are opened and say nothing."""

import socket
from threading import Event

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
