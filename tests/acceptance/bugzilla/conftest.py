"""A Bugzilla, and a machine that announces its changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.bugzilla.bug_site import BugSite
from tests.bugzilla_server import BugzillaServer

if TYPE_CHECKING:
    from tests.conftest import VirtualHost


@pytest.fixture
def server() -> Iterator[BugzillaServer]:
    """Give a Bugzilla with three bugs, the third of them private, filed an hour ago."""
    server = BugzillaServer(zone="America/New_York")
    server.file(count=2)
    server.file(private=True)
    server.pass_time(3600)
    yield server
    server.close()


@pytest.fixture
def site(tmp_path: Path, server: BugzillaServer, vhost: "VirtualHost") -> Iterator[BugSite]:
    """Give a machine that announces the changes of that Bugzilla."""
    site = BugSite(tmp_path, server, vhost.url)
    yield site
    site.end()
