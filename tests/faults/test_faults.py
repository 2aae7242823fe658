"""The promise, tried: what was recorded is published, whatever happens to connection, broker and service."""

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pulseshim import recorder

if TYPE_CHECKING:
    from tests.conftest import RabbitMQ, TcpProxy, VirtualHost

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

EXCHANGE = "exchange/fault/"
KEYS = [f"repository-{number}" for number in range(8)]
EVENTS_PER_KEY = 150
WINDOW = 100


class Disturbed:
    """A service behind a proxy, with a queue that takes everything, and hooks that record beside it."""

    def __init__(self, root: Path, vhost: "VirtualHost", port: int, plugins: Path) -> None:
        self.root = root
        self.vhost = vhost
        self.queue = vhost.bind_queue(EXCHANGE)
        self.config = root / "pulseshim.toml"
        url = vhost.url.replace(str(vhost.node.port), str(port))
        self.config.write_text(
            f'[store]\ndirectory = "{root / "store"}"\n[plugins.fault]\n'
            f'[broker]\nurl = "{url}"\nconnect_timeout = "1s"\nconfirm_timeout = "2s"\nwindow = {WINDOW}\n'
        )
        self.environ = {**os.environ, "PYTHONPATH": str(plugins)}
        recorder.prepare(os.fsencode(root / "store" / "spool"), "owner")
        self.starts = 0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        with (self.root / "log").open("a") as log:
            command = [sys.executable, "-m", "pulseshim", "run", "--config", str(self.config)]
            return subprocess.Popen(command, env=self.environ, cwd=self.root, stderr=log)

    def kill(self) -> None:
        """Kill the service where it is, and start it again."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = self._start()

    def record(self, key: str, number: int) -> None:
        """Record one event, as a hook does."""
        arguments = (key.encode(), b"%d" % number)
        spool = os.fsencode(self.root / "store" / "spool")
        identity = secrets.token_bytes(16)
        recorder.record(  # type: ignore[no-untyped-call] # any old interpreter must be able to load it
            spool, b"fault", arguments, (), b"", b"/", time.time_ns(), identity
        )

    def verb(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a verb to its end."""
        command = [sys.executable, "-m", "pulseshim", *arguments, "--config", str(self.config)]
        return subprocess.run(
            command, env=self.environ, cwd=self.root, capture_output=True, text=True, timeout=120, check=False
        )

    def end(self) -> "subprocess.CompletedProcess[str]":
        """Stop the service and let the rest go out."""
        self.process.terminate()
        assert self.process.wait(15) == 0
        return self.verb("drain")


@contextmanager
def recording(service: Disturbed) -> Iterator[list[threading.Thread]]:
    """Record the events of each key from a thread of its own, while inside, and to the end."""

    def record(key: str) -> None:
        for number in range(EVENTS_PER_KEY):
            service.record(key, number)
            time.sleep(0.03)

    threads = [threading.Thread(target=record, args=(key,)) for key in KEYS]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.join()


def check_all_there(service: Disturbed) -> int:
    """Assert that a consumer has every event, in order and without a gap; give the number of duplicates."""
    messages = service.vhost.take(service.queue)
    first: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for message in messages:
        body = json.loads(message.body)
        known = first[body["_meta"]["routing_key"]].setdefault(body["payload"]["number"], body)
        assert known == body, "two copies of a message differ"
        assert message.properties["message_id"] == body["_meta"]["message_id"]
    for key in KEYS:
        numbers = list(range(EVENTS_PER_KEY + 1))
        assert list(first[key]) == numbers
        assert [body["_meta"]["sequence"] - 1 for body in first[key].values()] == numbers
    return len(messages) - len(KEYS) * (EVENTS_PER_KEY + 1)


def test_nothing_is_lost_when_everything_goes_wrong(
    own_rabbitmq: "RabbitMQ", tcp_proxy: Callable[[int], "TcpProxy"], tmp_path: Path, plugin_path: Path
) -> None:
    """Connections cut and black-holed, the broker restarted and killed, the service killed: all is there."""
    vhost = own_rabbitmq.add_vhost()
    proxy = tcp_proxy(own_rabbitmq.port)
    chance = random.Random(1)
    service = Disturbed(tmp_path, vhost, proxy.port, plugin_path)

    def pause() -> None:
        time.sleep(chance.uniform(0.05, 0.3))

    with recording(service) as threads:
        faults = cycle((proxy.cut, proxy.cut, service.kill))
        count = 4
        while any(thread.is_alive() for thread in threads):
            pause()
            next(faults)()
            count += 1
    proxy.black_hole()
    for key in KEYS:
        service.record(key, EVENTS_PER_KEY)
    pause()
    proxy.restore()
    own_rabbitmq.stop()
    own_rabbitmq.start()
    own_rabbitmq.kill()
    own_rabbitmq.start()
    drained = service.end()

    duplicates = check_all_there(service)
    status = json.loads(service.verb("status", "--json").stdout)
    assert drained.returncode == 0, drained.stderr
    assert service.starts > 3
    assert (status["spool"]["count"], status["outbox"]["count"], status["parked"]["count"]) == (0, 0, 0)
    assert duplicates <= count * WINDOW  # each fault costs at most what was on its way
