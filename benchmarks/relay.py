"""The relay, from a full outbox to a durable queue, against other ways to publish to it."""

import secrets
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar

from benchmarks.measure import Row, in_turn, quantity_row, ratio_row
from benchmarks.node import node
from benchmarks.peers import MESSAGES, Peers
from pulseshim.account import Account
from pulseshim.database import Database
from pulseshim.exchange import Exchange
from pulseshim.message import Message
from pulseshim.outbox import Outbox, Outgoing
from pulseshim.parked import ParkedItems
from pulseshim.publisher import Publisher
from pulseshim.relay import Relay
from pulseshim.store import milliseconds

_ROUNDS = 5
_WINDOW, _LARGEST_WINDOW = 1_000, 10_000
"""What the setting is where nobody sets it, and the most that it can be."""


class Filler(Message, frozen=True, kw_only=True):
    """A message of about 500 bytes in its envelope."""

    type: ClassVar[str] = "bench.filler"

    text: str


EXCHANGE = Exchange("exchange/bench/", "Benchmark", "Filler.", (Filler,))


def relayed(account: Account, directory: Path, window: int) -> tuple[float, float]:
    """Relay from a full outbox, every confirm written to it; give seconds: all, and of the processor."""
    database = Database(directory / f"{secrets.token_hex(8)}.sqlite3")
    outbox = Outbox(database, milliseconds)
    outbox.store(
        Outgoing(Filler(routing_key="bench", event_id=str(n), text="x" * 180), EXCHANGE, "bench", "")
        for n in range(MESSAGES)
    )
    relay = Relay(
        "", outbox, ParkedItems(database, milliseconds), Publisher(account, [EXCHANGE.name]),
        window=window, clock=time.monotonic, random=lambda: 0.0,
    )  # fmt: skip
    stop = threading.Event()
    begin, busy = time.perf_counter(), time.process_time()
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    while relay.counts.confirmed < MESSAGES:
        time.sleep(0.001)
    taken, worked = time.perf_counter() - begin, time.process_time() - busy
    stop.set()
    relay.wake()
    thread.join()
    database.close()
    return taken, worked


def measure() -> list[Row]:
    """Give the rows of the relay."""
    worked: list[float] = []
    with node() as broker, tempfile.TemporaryDirectory() as directory:
        host = socket.gethostbyname("localhost")
        peers = Peers(host, broker.port, EXCHANGE.name)
        account = Account(name="", urls=(f"amqp://{host}:{broker.port}/",), user="guest", password="guest")

        def ours() -> float:
            taken, busy = relayed(account, Path(directory), _WINDOW)
            worked.append(MESSAGES / busy)
            return peers.rate(MESSAGES, taken)

        def ours_with_more() -> float:
            return peers.rate(MESSAGES, relayed(account, Path(directory), _LARGEST_WINDOW)[0])

        others = (
            ("Kombu, confirm_publish", 8.0, peers.kombu_confirmed),
            ("py-amqp, unconfirmed", 0.5, peers.amqp_unconfirmed),
            ("pika, confirms", 1.0, peers.pika_confirmed),
            ("fedora-messaging, publish", 1.0, peers.fedora_messaging),
            ("aio-pika, 500 at a time", 1.0, peers.aio_pika_gathered),
            ("FastStream, 500 at a time", 1.0, peers.faststream_gathered),
        )
        rates, more, *theirs = in_turn(_ROUNDS, ours, ours_with_more, *(publish for _, _, publish in others))
    rows = [
        ratio_row(f"relay / {name}", rates, measured, "at least", target)
        for (name, target, _), measured in zip(others, theirs, strict=True)
    ]
    return [
        *rows,
        quantity_row("relay, messages a second", rates),
        quantity_row(f"relay with a window of {_LARGEST_WINDOW:,}, messages a second", more),
        quantity_row("relay, messages a second of its own processor time", worked[1:]),
    ]
