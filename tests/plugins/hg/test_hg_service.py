"""From real pushes, over `hg serve` and over a local path, to a consumer on RabbitMQ."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.hg_consumers import accept

if TYPE_CHECKING:
    from tests.conftest import LateBroker, VirtualHost
    from tests.plugins.hg.conftest import Client, HgServer

pytestmark = pytest.mark.broker

EXCHANGES = {"v1": "exchange/hgpushes/v1", "v2": "exchange/hgpushes/v2", "code": "exchange/code/"}
SECONDS = 60
# What each kind of push is announced as: the messages on v1, on v2 and, of pushes and changesets, on code.
EXPECTED_V2 = [
    "newrepo.1",
    "changegroup.1",
    "bookmark.1",
    "phase.1",
    "changegroup.1",
    "changegroup.1",
    "obsolete.1",
    "bookmark.1",
    "obsolete.1",
    "changegroup.1",
]
EXPECTED_CODE = {"hg.push": 4, "hg.commit": 6}


def pulseshim(server: "HgServer", url: str, verb: str) -> "subprocess.Popen[bytes]":
    """Start a verb with the settings of a server."""
    config = server.root.parent / "pulseshim.toml"
    config.write_text(
        f'[store]\ndirectory = "{server.spool.parent}"\n[broker]\nurl = "{url}"\n'
        f'[plugins.hg]\nrepositories = {{"{server.root}" = "https://hg.example.org"}}\n'
    )
    with (server.root.parent / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "pulseshim", verb, "--config", str(config)], env=server.environ, stderr=log
        )


def push_each_kind(clone: "Client", url: str) -> None:
    """Push changesets, a bookmark, a phase, more of a branch, an amended one, a prune; nothing; two heads."""

    def push(*options: str) -> None:
        clone("push", "-q", *options, url, status=1)

    first = clone.commit("a", file="a")
    second = clone.commit("b", file="b")
    push()
    clone("bookmark", "-q", "feature")
    push("-B", "feature", "-r", second)
    clone("bookmark", "-q", "--inactive", "feature")
    clone("phase", "-p", first)
    push("-r", second)
    lost = clone.commit("draft", file="c")
    push("-r", lost)
    clone("bookmark", "-q", "feature")
    (clone.path / "file").write_text("d")
    clone("commit", "-q", "--amend", "-m", "better")
    clone("bookmark", "-q", "-f", "-r", ".", "feature")
    amended = clone.node(".")
    push("-f", "-B", "feature")
    clone("debugobsolete", "--record-parents", amended)
    clone("update", "-q", second)
    push("-r", second)
    push("-r", second)
    clone.commit("left", left="left")
    clone("update", "-q", second)
    clone.commit("right", right="right")
    push("-f")


def check(vhost: "VirtualHost", queues: dict[str, str], *projects: str) -> None:
    """Assert that the consumers hold exactly one event for each kind of push to each, and can read it."""
    taken = {name: vhost.take(queue) for name, queue in queues.items()}
    bodies = {name: [json.loads(message.body) for message in messages] for name, messages in taken.items()}
    for name, received in bodies.items():
        for body in received:
            assert set(body) == {"payload", "_meta"}
            accept(name, body["payload"])
    ids = [message.properties["message_id"] for messages in taken.values() for message in messages]
    assert len(ids) == len(set(ids))
    keys = {name: Counter(body["_meta"]["routing_key"] for body in bodies[name]) for name in bodies}
    pushed = EXPECTED_V2.count("changegroup.1")
    assert keys["v1"] == dict.fromkeys(projects, pushed)
    assert keys["v2"] == dict.fromkeys(projects, len(EXPECTED_V2))
    assert keys["code"] == {f"{key}.{name}": n for name in projects for key, n in EXPECTED_CODE.items()}
    assert all(body["_meta"]["routing_key"].startswith(body["_meta"]["type"]) for body in bodies["code"])
    for name in projects:
        received = [body for body in bodies["v2"] if body["_meta"]["routing_key"] == name]
        assert [body["payload"]["type"] for body in received] == EXPECTED_V2


def test_each_kind_of_push_over_a_local_path_reaches_the_consumers_once(
    server: "HgServer", vhost: "VirtualHost"
) -> None:
    """The pusher's own process writes into the repository, and runs the hook."""
    queues = {name: vhost.bind_queue(exchange) for name, exchange in EXCHANGES.items()}
    repository = server.init()
    push_each_kind(server.clone(repository), str(repository))

    drain = pulseshim(server, vhost.url, "drain")

    assert drain.wait(SECONDS) == 0, (server.root.parent / "log").read_text()
    check(vhost, queues, "project")


@pytest.mark.parametrize("version", ["ours", "the system's"])
def test_each_kind_of_push_over_http_reaches_the_consumers_once(
    server: "HgServer", vhost: "VirtualHost", system_hg: str, version: str
) -> None:
    """`hg serve` of the Mercurial that pulseshim brings, and of the one that the system has."""
    queues = {name: vhost.bind_queue(exchange) for name, exchange in EXCHANGES.items()}
    repository = server.init()
    program = {"program": system_hg} if version == "the system's" else {}
    with server.web(repository, **program) as url:
        push_each_kind(server.clone(repository), url)

    drain = pulseshim(server, vhost.url, "drain")

    assert drain.wait(SECONDS) == 0, (server.root.parent / "log").read_text()
    check(vhost, queues, "project")


def test_a_broker_that_was_down_all_the_time_gets_everything(
    server: "HgServer", vhost: "VirtualHost", late: "LateBroker"
) -> None:
    """Pushes over `hg serve` and over a path are recorded and read; started, it holds each event once."""
    queues = {name: vhost.bind_queue(exchange) for name, exchange in EXCHANGES.items()}
    service = pulseshim(server, late.url, "run")
    try:
        local, served = server.init("local"), server.init("served")
        push_each_kind(server.clone(local, "one"), str(local))
        with server.web(served) as url:
            push_each_kind(server.clone(served, "other"), url)
        deadline = time.monotonic() + SECONDS
        while os.listdir(server.spool / "new"):
            assert time.monotonic() < deadline, (server.root.parent / "log").read_text()
            time.sleep(0.05)

        late.come()
        drain = pulseshim(server, late.url, "drain")

        assert drain.wait(SECONDS) == 0, (server.root.parent / "log").read_text()
    finally:
        service.terminate()
        service.wait(SECONDS)
    check(vhost, queues, "local", "served")
