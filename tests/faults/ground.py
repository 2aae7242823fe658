"""The ground that faults happen on: a broker, a proxy before it, a service, and users whose hooks record."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pulseshim import recorder
from tests.faults import hook
from tests.faults.disk import SmallDisk
from tests.node import RabbitMQ
from tests.proxy import TcpProxy

MACHINE = Path(__file__).parent / "machine"
EXCHANGE, SPARE, USER, PASSWORD = "exchange/fault/", "spare", "pulse", "a-secret-of-the-tests"
WINDOW = 100
UIDS = (0, 21001, 21002, 21003, 21004)
"""The owner of the spool and four more, who need no entry in /etc/passwd; only root can be them all."""
DEADLINE = 120.0
CONFIG = """\
[store]
directory = "{store}"
[plugins.fault]
[log]
format = "json"
[broker]
url = "amqp://127.0.0.1:{port}/{vhost}"
user = "{user}"
password_file = "{password_file}"
connect_timeout = "1s"
confirm_timeout = "2s"
window = {window}
"""


def wait_until(is_so: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Wait until something is so; fail, saying what it was, when that takes too long."""
    end = time.monotonic() + deadline
    while not is_so():
        assert time.monotonic() < end, f"{what}: not within {deadline:.0f} s"
        time.sleep(0.05)


class Service:
    """`pulseshim run`, started again whenever it ends, as systemd would, and told apart by how it ended."""

    def __init__(self, command: Sequence[str], environ: dict[str, str], log: Path) -> None:
        self.ends: list[int] = []
        self._command, self._environ, self._log = command, environ, log
        self._stopping = False
        self._lock = threading.Lock()
        self.process = self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("a") as log:
            return subprocess.Popen(self._command, env=self._environ, stderr=log)

    def _keep(self) -> None:
        while True:
            end = self.process.wait()
            if self._stopping:
                return
            self.ends.append(end)
            time.sleep(0.1)
            with self._lock:
                if self._stopping:
                    return
                self.process = self._start()

    def kill(self) -> None:
        """Kill it where it is, and wait until it has been started again."""
        wait_until(lambda: self.process.returncode is None, "the service starts")
        killed = self.process
        with contextlib.suppress(ProcessLookupError):
            killed.send_signal(signal.SIGKILL)
        wait_until(lambda: self.process is not killed, "the service starts again")

    def stop(self) -> int:
        """Stop it for good and give its exit code."""
        with self._lock:
            self._stopping = True
            self.process.terminate()
        self._keeper.join(20)
        return self.process.wait(1)


class Ground:
    """A service behind a proxy with a store on a small disk, hooks beside it, and a queue that takes all.

    What the exchange routes to nobody, because it has been made anew, comes to the queue by way of an
    alternate exchange. `progress` lets the hooks and the poll feed go on.
    """

    def __init__(self, root: Path, node: RabbitMQ, *, events: int, keys: int) -> None:
        self.root, self.node, self.events, self.keys = root, node, events, keys
        root.chmod(0o755)
        self.control = root / "control"
        self.control.mkdir(mode=0o755)
        for name in ("clock", "polled", "deaths", "progress"):
            (self.control / name).touch()
        self.vhost = node.add_vhost()
        self.queue = self._prepare_broker()
        self.proxy = TcpProxy(node.port)
        self.disk = SmallDisk(root / "disk")
        self.store = root / "disk" / "store"
        self.spool = os.fsencode(self.store / "spool")
        self.config = self._configure()
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(MACHINE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "FAULT_CONTROL": str(self.control),
        }
        self.own = (self.control / "own.journal").open("w", buffering=1)
        self.polled = 0
        recorder.prepare(self.spool, "everyone")
        command = [sys.executable, "-m", "pulseshim", "run", "--config", str(self.config)]
        self.service = Service(command, self.environ, root / "log")
        self.hooks = [self._user(number, uid) for number, uid in enumerate(self.uids)]

    @property
    def uids(self) -> tuple[int, ...]:
        """Give the users whose hooks record."""
        return UIDS if os.geteuid() == 0 else (os.geteuid(),) * len(UIDS)

    @property
    def quota(self) -> int:
        """Give how many events each hook user has; the poll feed has as many."""
        return self.events // (len(self.uids) + 1)

    def _prepare_broker(self) -> str:
        """Make the exchange, one for what it routes to nobody, and a queue that nacks when it is full."""
        self.node.add_user(USER, PASSWORD)
        self.node.permit(self.vhost.name, USER)
        limits = {"x-overflow": "reject-publish", "x-max-length": 10_000_000}
        queue = self.vhost.bind_queue(EXCHANGE, arguments=limits)
        with self.node.connect(self.vhost.name) as connection:
            channel = connection.channel()
            channel.exchange_declare(SPARE, "fanout", durable=True, auto_delete=False)
            channel.queue_bind(queue, SPARE)
        spare = {
            "pattern": f"^{EXCHANGE}",
            "apply-to": "exchanges",
            "definition": {"alternate-exchange": SPARE},
        }
        self.node.api("PUT", f"policies/{self.vhost.name}/spare", spare)
        return queue

    def _configure(self) -> Path:
        password = self.root / "password"
        password.write_text(PASSWORD)
        password.chmod(0o600)
        config = self.root / "pulseshim.toml"
        config.write_text(
            CONFIG.format(
                store=self.store,
                port=self.proxy.port,
                vhost=self.vhost.name,
                user=USER,
                password_file=password,
                window=WINDOW,
            )
        )
        return config

    def _user(self, number: int, uid: int) -> subprocess.Popen[bytes]:
        words = (self.spool, self.control, f"user{number}", uid, self.keys, self.quota)
        command = [sys.executable, hook.__file__, *map(_word, words)]
        return subprocess.Popen(command, env=self.environ, cwd="/")

    def progress(self, part: float) -> None:
        """Let that part of all events be recorded, and have as many lines in the file of the poll feed."""
        new = self.control / "progress.new"
        new.write_text(f"{part:.6f}")
        new.rename(self.control / "progress")
        with (self.control / "polled").open("a") as file:
            while self.polled < int(part * self.quota):
                file.write(f"polled.{self.polled % self.keys} {self.polled // self.keys}\n")
                self.polled += 1

    def record(self, key: str, number: int, kind: str = "plain") -> None:
        """Record an event of one's own, until it is recorded."""
        while True:
            line = hook.record(self.spool, key, number, kind)
            self.own.write(line)
            if line.startswith("ok"):
                return

    def tries(self) -> list[list[str]]:
        """Give what the journals say: of each try ok or failed, id, key and number."""
        texts = [journal.read_text() for journal in sorted(self.control.glob("*.journal"))]
        # What follows the last end of a line is being written.
        return [line.split() for text in texts for line in text.split("\n")[:-1]]

    def hooks_are_quiet(self) -> bool:
        """Say whether the hooks have recorded all that they may."""
        done = sum(words[0] == "ok" and words[2].startswith("user") for words in self.tries())
        return done >= len(self.uids) * hook.allowed(self.control, self.quota)

    def verb(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a verb to its end."""
        command = [sys.executable, "-m", "pulseshim", *words, "--config", str(self.config)]
        return subprocess.run(
            command, env=self.environ, cwd=self.root, capture_output=True, text=True, timeout=180, check=False
        )

    def status(self) -> dict[str, Any]:
        """Give what `status` says."""
        done = self.verb("status", "--json")
        assert done.returncode == 0, done.stderr
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def parked(self) -> list[dict[str, Any]]:
        """Give what is parked."""
        return [json.loads(line) for line in self.verb("parked", "list", "--json").stdout.splitlines()]

    def logged(self) -> list[dict[str, Any]]:
        """Give what the service has logged; a line that a kill cut short is left out."""
        lines = []
        for line in (self.root / "log").read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        return [line for line in lines if isinstance(line, dict)]

    def deaths(self) -> list[str]:
        """Give the moments that processes were killed at."""
        return (self.control / "deaths").read_text().splitlines()

    def close(self) -> None:
        """End all that still runs."""
        self.service.stop()
        for process in self.hooks:
            process.kill()
            process.wait()
        self.own.close()
        self.proxy.close()
        self.disk.close()


def _word(value: object) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)
