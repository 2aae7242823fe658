"""A stand-in for a Bugzilla, and a maker of pollers that ask it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pulseshim import Settings
from pulseshim_plugins.bugzilla_options import Server, read_servers
from tests.bugzilla_server import KEY, BugzillaServer


@pytest.fixture
def make_bugzilla() -> Iterator[Callable[..., BugzillaServer]]:
    """Give a maker of servers: `make_bugzilla(zone="UTC", maximum=10000)`."""
    servers: list[BugzillaServer] = []

    def make(**options: Any) -> BugzillaServer:
        servers.append(BugzillaServer(**options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def bugzilla(make_bugzilla: Callable[..., BugzillaServer]) -> BugzillaServer:
    """Give a server without bugs."""
    return make_bugzilla()


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    """Give a file with the poller's key."""
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    return str(path)


@pytest.fixture
def configure() -> Callable[..., Server]:
    """Give a maker of servers' settings: `configure(url, changes=True)`."""

    def make(url: str, **options: object) -> Server:
        tables = {"bugzilla": {"servers": {"main": {"url": url, **options}}}}
        (server,) = read_servers(Settings(plugins=tables))
        return server

    return make
