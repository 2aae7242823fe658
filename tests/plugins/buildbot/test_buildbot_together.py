"""What is asked of a master at once."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from threading import Barrier

import pytest

from pulseshim import SettingsError
from pulseshim_plugins.buildbot_client import Client
from pulseshim_plugins.buildbot_options import MasterOptions
from tests.web import Answer, Web

SILENT = """
import sys
import threading
from pulseshim_plugins.buildbot_client import Client
from pulseshim_plugins.buildbot_options import MasterOptions

client = Client(MasterOptions(url=sys.argv[1], timeout="10m"))
paths = ["masters", "builders", "workers", "builds"]
threading.Thread(target=client.together, args=(paths,), daemon=True).start()
sys.stdin.read()
"""


@pytest.fixture
def web() -> Iterator[Web]:
    """Give a server that answers as the test says."""
    found = Web()
    yield found
    found.close()


def test_what_is_asked_for_at_once_comes_in_its_order(web: Web) -> None:
    """Three at a time, and each path its own rows."""
    at_once = Barrier(3)

    def answer(path: str, _number: int) -> Answer:
        at_once.wait(60)
        number = int(path.split("/")[-2])
        rows = {"logs": [{"logid": number, "complete": True}], "meta": {}}
        return 200, "application/json", json.dumps(rows).encode()

    web.answer = answer

    with Client(MasterOptions(url=web.url)) as client:
        found = client.together([f"steps/{number}/logs" for number in range(9)])

    assert [row["logid"] for rows in found for row in rows] == list(range(9))


def test_of_what_is_asked_for_at_once_an_error_is_raised(web: Web) -> None:
    """And the rest is not asked for."""
    web.answer = lambda path, _number: (403 if "/1/" in path else 200, "application/json", b'{"logs": []}')

    with Client(MasterOptions(url=web.url)) as client:
        with pytest.raises(SettingsError, match="refuses to show steps/1/logs"):
            client.together([f"steps/{number}/logs" for number in range(1000)])
        nothing = client.together([])

    assert nothing == []
    assert len(web.requests) < 1000


def test_a_process_ends_though_a_master_is_silent() -> None:
    """What is asked for at once is not waited for by a process that has nothing else to do."""
    with socket.create_server(("127.0.0.1", 0)) as master:
        url = f"http://127.0.0.1:{master.getsockname()[1]}/"
        with subprocess.Popen([sys.executable, "-c", SILENT, url], stdin=subprocess.PIPE) as process:
            master.settimeout(60)
            asking = [master.accept()[0] for _ in range(3)]
            try:
                process.communicate(timeout=60)
            finally:
                process.kill()
                for connection in asking:
                    connection.close()

    assert process.returncode == 0
