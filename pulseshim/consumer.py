"""A consumer: sees what is published on an exchange, for `tail`, the demo and tests."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import uuid4

from pulseshim.account import Account
from pulseshim.broker import Connection
from pulseshim.errors import BrokerUnreachable
from pulseshim.failover import connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message as it came; `properties` are those of AMQP (`message_id`, `type`, `timestamp` and others)."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Mapping[str, object]


class Consumer:
    """A queue of its own, bound to an exchange from `open` to `close`: it sees what is published meanwhile.

    A message is acknowledged when the next one is asked for. The queue is `queue/<user>/<new id>`, where the
    user may have queues; one who logs in with a certificate leaves its name to the broker. Not thread-safe.
    A context manager.
    """

    def __init__(
        self,
        account: Account,
        exchange: str,
        binding_key: str = "#",
        *,
        new_id: Callable[[], str] = lambda: uuid4().hex,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._account = account
        self._exchange = exchange
        self._binding_key = binding_key
        self._new_id = new_id
        self._clock = clock
        self._connection: Connection | None = None
        self._received: deque[tuple[int, Delivery]] = deque()
        self._handed_out: int | None = None

    def open(self) -> Self:
        """Connect and bind the queue.

        Raises `ExchangeRefused` when the exchange does not exist (in memory, it is declared) or may not be
        read, `BrokerUnreachable` or `BrokerDenied`.
        """
        self.close()
        self._connection = connect(self._account)
        try:
            user = self._account.user
            queue = f"queue/{user}/{self._new_id()}" if user else ""
            self._connection.consume(self._exchange, self._binding_key, queue, self._on_message)
        except BaseException:
            self.close()
            raise
        return self

    def receive(self, timeout: float) -> Delivery | None:
        """Give the next message, or None when none comes within `timeout` seconds.

        Heartbeats are kept here: call it a few times within `Account.heartbeat`. Raises `BrokerUnreachable`.
        """
        if self._connection is None:
            raise BrokerUnreachable("there is no connection to the broker", "open it first")
        if self._handed_out is not None:
            self._connection.ack(self._handed_out)
            self._handed_out = None
        until = self._clock() + timeout
        while not self._received:
            # A word of the broker ends a reading, be it a heartbeat: then there is time left.
            self._connection.read(max(until - self._clock(), 0))
            if not self._received and self._clock() >= until:
                return None
        self._handed_out, delivery = self._received.popleft()
        return delivery

    def close(self) -> None:
        """Remove the queue and close, in two seconds at most."""
        connection, self._connection = self._connection, None
        self._received.clear()
        self._handed_out = None
        if connection is not None:
            connection.close()

    def _on_message(
        self, tag: int, exchange: str, routing_key: str, body: bytes, properties: Mapping[str, object]
    ) -> None:
        delivery = Delivery(exchange=exchange, routing_key=routing_key, body=body, properties=properties)
        self._received.append((tag, delivery))

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
