"""A machine with pulseshim and nothing but the settings for one Bugzilla."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bugzilla_server import KEY, BugzillaServer
from tests.verb import run_verb

if TYPE_CHECKING:
    from tests.conftest import VirtualHost

SIMPLE = "exchange/bugzilla/simple"
CHANGES = "exchange/bugzilla/"
NOWHERE = "amqp://127.0.0.1:1/"


class BugSite:
    """A machine with pulseshim and nothing but the settings for one Bugzilla."""

    def __init__(self, root: Path, server: BugzillaServer, broker: str) -> None:
        self.root = root
        self.server = server
        self._broker = broker
        self._processes: list[subprocess.Popen[str]] = []
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("PULSESHIM_")}
        self.configure()

    def configure(self, extra: str = "", url: str = "", shared: str = "", broker: str = "") -> None:
        """Write the settings; `extra` belongs to the server, `shared` to all of the plugin's."""
        (self.root / "key").write_text(KEY)
        (self.root / "pulseshim.toml").write_text(
            f'[store]\ndirectory = "{self.root / "store"}"\n[broker]\nurl = "{broker or self._broker}"\n'
            f"[plugins.bugzilla]\n{shared}\n"
            f'[plugins.bugzilla.servers.main]\nurl = "{url or self.server.url}"\n{extra}\n'
        )

    def pulseshim(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end."""
        return run_verb(arguments, cwd=self.root, environ=self.environ)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a verb and go on; what it logs goes to a file `log`."""
        with (self.root / "log").open("a") as log:
            command = [sys.executable, "-m", "pulseshim", *arguments]
            process = subprocess.Popen(command, cwd=self.root, env=self.environ, stderr=log, text=True)
        self._processes.append(process)
        return process

    def status(self) -> dict[str, Any]:
        """Give what `status --json` says."""
        status: dict[str, Any] = json.loads(self.pulseshim("status", "--json").stdout)
        return status

    def is_polled(self) -> bool:
        """Say whether the last poll went well and was one of the server's present time."""
        said = self.pulseshim("status", "--json").stdout
        if not said:  # there is no store yet
            return False
        status = json.loads(said)
        conditions = {c["subject"]: c["condition"] for c in status["conditions"]}
        cursors = {(c["feed"], c["field"]): c["value"] for c in status["cursors"]}
        reached = cursors.get(("bugzilla.main", "time"))
        is_done = conditions.get("poll bugzilla.main") == "done"
        return is_done and reached == self.server.now.strftime("%Y-%m-%dT%H:%M:%S")

    def stored(self) -> bytes:
        """Give all that stands in the files of the store."""
        return b"".join(path.read_bytes() for path in (self.root / "store").rglob("*") if path.is_file())

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + 60
        while not condition():
            log = self.root / "log"
            assert time.monotonic() < deadline, f"not {what}\n{log.read_text() if log.exists() else ''}"
            time.sleep(0.05)

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._processes:
            process.kill()
            process.wait()


def changes(vhost: "VirtualHost", queue: str) -> list[tuple[str, int, str]]:
    """Give routing key, id and time of the messages in a queue."""
    found = [(m.delivery_info["routing_key"], json.loads(m.body)["payload"]) for m in vhost.take(queue)]
    return [(key, payload["id"], payload["delta_ts"]) for key, payload in found]
