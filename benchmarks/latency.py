"""From the moment `git push` returns to the moment a consumer has the message."""

import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from benchmarks.measure import Row, run, seconds_of
from benchmarks.node import node
from benchmarks.service import service
from pulseshim.account import Account
from pulseshim.consumer import Consumer

_PUSHES = 40
_TARGET = 0.1
_STARTS = 4
"""How often git is started to read a push of one commit."""


def measure() -> list[Row]:
    """Give the rows of the latency."""
    with tempfile.TemporaryDirectory() as directory, node() as broker:
        root = Path(directory).resolve()
        with service(root, broker.port) as running:
            account = Account(
                name="", urls=(f"amqp://127.0.0.1:{broker.port}/",), user="guest", password="guest"
            )
            with Consumer(account, "exchange/gitpushes/v1") as consumer:
                waits, starts = [], []
                for number in range(_PUSHES):
                    (running.clone / "file").write_text(str(number))
                    run(["git", "add", "file"], running.clone, environ=running.environ)
                    run(["git", "commit", "-qm", str(number)], running.clone, environ=running.environ)
                    run(["git", "push", "-q", "origin", "HEAD:main"], running.clone, environ=running.environ)
                    begin = time.perf_counter()
                    if consumer.receive(10) is None:
                        raise RuntimeError("no message came")
                    waits.append(time.perf_counter() - begin)
                    starts.append(_STARTS * seconds_of(lambda: run(["git", "--version"], root)))
    return [
        _row("push returned to message consumed", "under 100 ms", waits, met=median(waits) < _TARGET),
        _row(f"git, started {_STARTS} times for nothing", "", starts, met=True),
    ]


def _row(what: str, target: str, seconds: list[float], *, met: bool) -> Row:
    low, middle, high = (value * 1000 for value in quantiles(seconds, n=4))
    return Row(what, target, f"{middle:.0f} ms", f"{low:.0f} to {high:.0f} ms", met)
