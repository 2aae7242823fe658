"""From the moment `git push` returns to the moment a consumer has the message."""

import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from benchmarks.measure import Row, run
from benchmarks.node import node
from benchmarks.service import service
from pulseshim.account import Account
from pulseshim.consumer import Consumer

_PUSHES = 40
_TARGET = 0.1


def measure() -> list[Row]:
    """Give the row of the latency."""
    with tempfile.TemporaryDirectory() as directory, node() as broker:
        root = Path(directory).resolve()
        with service(root, broker.port) as running:
            account = Account(
                name="", urls=(f"amqp://127.0.0.1:{broker.port}/",), user="guest", password="guest"
            )
            with Consumer(account, "exchange/gitpushes/v1") as consumer:
                waits = []
                for number in range(_PUSHES):
                    (running.clone / "file").write_text(str(number))
                    run(["git", "add", "file"], running.clone, environ=running.environ)
                    run(["git", "commit", "-qm", str(number)], running.clone, environ=running.environ)
                    run(["git", "push", "-q", "origin", "HEAD:main"], running.clone, environ=running.environ)
                    begin = time.perf_counter()
                    if consumer.receive(10) is None:
                        raise RuntimeError("no message came")
                    waits.append(time.perf_counter() - begin)
    low, _, high = quantiles(waits, n=4)
    middle = median(waits)
    spread = f"{low * 1000:.0f} to {high * 1000:.0f} ms"
    return [
        Row(
            "push returned to message consumed",
            "under 100 ms",
            f"{middle * 1000:.0f} ms",
            spread,
            middle < _TARGET,
        )
    ]
