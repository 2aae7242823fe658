"""Other ways to publish to a durable queue: each gives the messages a second that it had confirmed."""

import asyncio
import subprocess
import sys
import time

import aio_pika
import amqp
import kombu.connection
import pika
from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange

MESSAGES = 10_000
"""How many each publishes: the longer the queue, the more the broker has to do for it."""
_FEW = 500
_AT_ONCE = 500
_BODY = b"x" * 500
_KEY = "bench"


class Peers:
    """Ways to publish persistent messages of 500 bytes to one exchange, with a durable queue bound to it."""

    def __init__(self, host: str, port: int, exchange: str) -> None:
        self._address = f"{host}:{port}"
        self._pika = pika.ConnectionParameters(host, port)
        self._url = f"amqp://guest:guest@{host}:{port}"
        self._exchange = exchange
        control = amqp.Connection(self._address)
        control.connect()
        self._control = control.channel()
        self._control.exchange_declare(exchange, "topic", durable=True, auto_delete=False)
        self._control.queue_declare("bench", durable=True, auto_delete=False)
        self._control.queue_bind("bench", exchange, "#")

    def rate(self, count: int, taken: float) -> float:
        """Give the rate, once the queue holds all, and empty it."""
        deadline = time.monotonic() + 60
        while self._control.queue_declare("bench", passive=True).message_count < count:
            if time.monotonic() > deadline:
                raise RuntimeError("messages were lost")
            time.sleep(0.01)
        self._control.queue_purge("bench")
        return count / taken

    def kombu_confirmed(self) -> float:
        """Publish with Kombu, a confirm for each message."""
        options = {"confirm_publish": True}
        client = kombu.connection.Connection(  # type: ignore[no-untyped-call] # Kombu has no types
            f"{self._url}//", transport_options=options
        )
        with client as connection:
            producer = connection.Producer()
            begin = time.perf_counter()
            for _ in range(MESSAGES):
                producer.publish(
                    _BODY, exchange=self._exchange, routing_key=_KEY, delivery_mode=2, mandatory=False
                )
            return self.rate(MESSAGES, time.perf_counter() - begin)

    def amqp_unconfirmed(self) -> float:
        """Publish with py-amqp and hope: the rate is that of handing over to the kernel."""
        with amqp.Connection(self._address) as connection:
            channel = connection.channel()
            message = amqp.Message(_BODY, delivery_mode=2)
            begin = time.perf_counter()
            for _ in range(MESSAGES):
                channel.basic_publish(message, self._exchange, _KEY)
            return self.rate(MESSAGES, time.perf_counter() - begin)

    def pika_confirmed(self) -> float:
        """Publish with pika's BlockingConnection, a confirm for each message."""
        connection = pika.BlockingConnection(self._pika)
        channel = connection.channel()
        channel.confirm_delivery()
        begin = time.perf_counter()
        for _ in range(MESSAGES):
            channel.basic_publish(self._exchange, _KEY, _BODY, pika.BasicProperties(delivery_mode=2))
        rate = self.rate(MESSAGES, time.perf_counter() - begin)
        connection.close()
        return rate

    def aio_pika_gathered(self) -> float:
        """Publish with aio-pika, confirms on, 500 at a time."""
        return asyncio.run(self._aio_pika())

    async def _aio_pika(self) -> float:
        connection = await aio_pika.connect(f"{self._url}//")
        async with connection:
            channel = await connection.channel(publisher_confirms=True)
            exchange = await channel.get_exchange(self._exchange)
            message = aio_pika.Message(_BODY, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            begin = time.perf_counter()
            for _ in range(MESSAGES // _AT_ONCE):
                await asyncio.gather(
                    *(exchange.publish(message, _KEY, mandatory=False) for _ in range(_AT_ONCE))
                )
            return self.rate(MESSAGES, time.perf_counter() - begin)

    def faststream_gathered(self) -> float:
        """Publish with FastStream, confirms on, 500 at a time."""
        return asyncio.run(self._faststream())

    async def _faststream(self) -> float:
        channel = Channel(publisher_confirms=True)
        exchange = RabbitExchange(self._exchange, type=ExchangeType.TOPIC, durable=True)
        async with RabbitBroker(f"{self._url}//", default_channel=channel, logger=None) as broker:
            await broker.publish(_BODY, exchange=exchange, routing_key=_KEY, persist=True, mandatory=False)
            begin = time.perf_counter()
            for _ in range(MESSAGES // _AT_ONCE):
                await asyncio.gather(
                    *(
                        broker.publish(
                            _BODY, exchange=exchange, routing_key=_KEY, persist=True, mandatory=False
                        )
                        for _ in range(_AT_ONCE)
                    )
                )
            return self.rate(MESSAGES, time.perf_counter() - begin)

    def fedora_messaging(self) -> float:
        """Publish with fedora-messaging's `api.publish`, which waits for the confirm."""
        command = [sys.executable, "-m", "benchmarks.fedora_publish"]
        arguments = [f"{self._url}/%2F", self._exchange, _KEY, str(_FEW)]
        done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
        # The first one connects, and is not counted.
        return self.rate(_FEW, float(done.stdout))
