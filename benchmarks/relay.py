"""The relay, from a full outbox to a durable queue, against other ways to publish to it."""

import asyncio
import secrets
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar

import aio_pika
import amqp
import kombu.connection
import pika

from benchmarks.measure import Row, in_turn, ratio_row
from benchmarks.node import node
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
_MESSAGES = 20_000
_SLOW_MESSAGES = 4_000
_AT_ONCE = 500
_BODY = b"x" * 500
_KEY = "bench"


class Filler(Message, frozen=True, kw_only=True):
    """A message of about 500 bytes in its envelope."""

    type: ClassVar[str] = "bench.filler"

    text: str


EXCHANGE = Exchange("exchange/bench/", "Benchmark", "Filler.", (Filler,))


class Peers:
    """Each way to publish: gives messages a second, once all are where that way can promise them to be."""

    def __init__(self, host: str, port: int, directory: Path) -> None:
        self._host = host
        self._port = port
        self._directory = directory
        self._url = f"amqp://guest:guest@{host}:{port}//"
        self._control = amqp.Connection(f"{host}:{port}")
        self._control.connect()
        self._channel = self._control.channel()
        self._channel.exchange_declare(EXCHANGE.name, "topic", durable=True, auto_delete=False)
        self._channel.queue_declare("bench", durable=True, auto_delete=False)
        self._channel.queue_bind("bench", EXCHANGE.name, "#")

    def _rate(self, count: int, begin: float) -> float:
        """Give the rate, once the queue holds all, and empty it."""
        taken = time.perf_counter() - begin
        deadline = time.monotonic() + 60
        while self._channel.queue_declare("bench", passive=True).message_count < count:
            if time.monotonic() > deadline:
                raise RuntimeError("messages were lost")
            time.sleep(0.01)
        self._channel.queue_purge("bench")
        return count / taken

    def pulseshim(self) -> float:
        """Relay from a full outbox: every confirm is written to it."""
        path = self._directory / f"{secrets.token_hex(8)}.sqlite3"
        database = Database(path)
        outbox = Outbox(database, milliseconds)
        outbox.store(
            Outgoing(Filler(routing_key=_KEY, event_id=str(n), text="x" * 180), EXCHANGE, "bench", "")
            for n in range(_MESSAGES)
        )
        account = Account(
            name="", urls=(f"amqp://{self._host}:{self._port}/",), user="guest", password="guest"
        )
        relay = Relay(
            "", outbox, ParkedItems(database, milliseconds), Publisher(account, [EXCHANGE.name]),
            window=1000, clock=time.monotonic, random=lambda: 0.0,
        )  # fmt: skip
        stop = threading.Event()
        begin = time.perf_counter()
        thread = threading.Thread(target=relay.run, args=(stop,))
        thread.start()
        while relay.counts.confirmed < _MESSAGES:
            time.sleep(0.001)
        rate = self._rate(_MESSAGES, begin)
        stop.set()
        relay.wake()
        thread.join()
        database.close()
        return rate

    def kombu_confirmed(self) -> float:
        """Publish with Kombu, a confirm for each message."""
        options = {"confirm_publish": True}
        client = kombu.connection.Connection(  # type: ignore[no-untyped-call] # Kombu has no types
            self._url, transport_options=options
        )
        with client as connection:
            producer = connection.Producer()
            begin = time.perf_counter()
            for _ in range(_SLOW_MESSAGES):
                producer.publish(
                    _BODY, exchange=EXCHANGE.name, routing_key=_KEY, delivery_mode=2, mandatory=False
                )
            return self._rate(_SLOW_MESSAGES, begin)

    def amqp_unconfirmed(self) -> float:
        """Publish with py-amqp and hope: the rate is that of handing over to the kernel."""
        with amqp.Connection(f"{self._host}:{self._port}") as connection:
            channel = connection.channel()
            message = amqp.Message(_BODY, delivery_mode=2)
            begin = time.perf_counter()
            for _ in range(_MESSAGES):
                channel.basic_publish(message, EXCHANGE.name, _KEY)
            return self._rate(_MESSAGES, begin)

    def pika_confirmed(self) -> float:
        """Publish with pika's BlockingConnection and confirms."""
        connection = pika.BlockingConnection(pika.ConnectionParameters(self._host, self._port))
        channel = connection.channel()
        channel.confirm_delivery()
        begin = time.perf_counter()
        for _ in range(_SLOW_MESSAGES):
            channel.basic_publish(EXCHANGE.name, _KEY, _BODY, pika.BasicProperties(delivery_mode=2))
        rate = self._rate(_SLOW_MESSAGES, begin)
        connection.close()
        return rate

    def aio_pika_gathered(self) -> float:
        """Publish with aio-pika, confirms on, 500 at a time."""
        return asyncio.run(self._aio_pika())

    async def _aio_pika(self) -> float:
        connection = await aio_pika.connect(self._url)
        async with connection:
            channel = await connection.channel(publisher_confirms=True)
            exchange = await channel.get_exchange(EXCHANGE.name)
            message = aio_pika.Message(_BODY, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            begin = time.perf_counter()
            for _ in range(_SLOW_MESSAGES // _AT_ONCE):
                await asyncio.gather(
                    *(exchange.publish(message, _KEY, mandatory=False) for _ in range(_AT_ONCE))
                )
            return self._rate(_SLOW_MESSAGES, begin)


def measure() -> list[Row]:
    """Give the rows of the relay."""
    with node() as broker, tempfile.TemporaryDirectory() as directory:
        peers = Peers(socket.gethostbyname("localhost"), broker.port, Path(directory))
        ours, *theirs = in_turn(
            _ROUNDS,
            peers.pulseshim,
            peers.kombu_confirmed,
            peers.amqp_unconfirmed,
            peers.pika_confirmed,
            peers.aio_pika_gathered,
        )
    names = (("Kombu, confirm_publish", 8.0), ("py-amqp, unconfirmed", 0.5), ("pika, confirms", 1.0))
    rows = [
        ratio_row(f"relay / {name}", ours, rates, "at least", target)
        for (name, target), rates in zip((*names, ("aio-pika, 500 at a time", 1.0)), theirs, strict=True)
    ]
    rate = sorted(ours)[len(ours) // 2]
    return [*rows, Row("relay, messages a second", "", f"{rate:,.0f}", "", met=True)]
