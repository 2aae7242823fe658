"""The broker inside this process: what `memory://` connects to. Nothing leaves the process or outlives it."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pulseshim.envelope import Envelope

Settling: TypeAlias = Callable[[int, bool], None]
"""Gets a delivery tag that was confirmed or nacked, and whether all before it are meant as well."""
Receiving: TypeAlias = Callable[[int, str, str, bytes, Mapping[str, object]], None]
"""Gets a message: delivery tag, exchange, routing key, body and properties."""

_GLANCE = 0.01
_ITS_OWN = frozenset({"delivery_info", "delivery_tag", "body_encoding", "priority"})
"""Properties that the memory transport adds for itself."""


class MemoryConnection:
    """A connection to Kombu's memory transport, with the methods of `pulseshim.broker.AmqpConnection`.

    All connections of a process meet there. It confirms what it took the next time it is read.
    """

    url = "memory://"
    address = "memory"
    blocked: str | None = None

    def __init__(self, client: Any) -> None:
        self._transport = client.transport
        self._link = self._transport.establish_connection()
        self._channel = self._transport.create_channel(self._link)
        self._published = self._confirmed = 0
        self._acked: Settling = lambda _tag, _multiple: None
        self._exchange = self._queue = ""
        self._received: Receiving | None = None

    def start_confirms(
        self,
        acked: Settling,
        nacked: Settling,  # noqa: ARG002 - it takes everything
        returned: Callable[[], None],  # noqa: ARG002 - it does not tell what nobody was bound to
    ) -> None:
        """Say from now on what was taken; delivery tags count from 1."""
        self._acked = acked
        self._published = self._confirmed = 0

    def declare(self, exchange: str) -> None:
        """Declare a topic exchange."""
        self._channel.exchange_declare(exchange, "topic", durable=True)

    def check_write(self, exchange: str) -> None:
        """Say nothing: everybody may write here."""

    def publish(self, envelope: "Envelope") -> None:
        """Hand an envelope to whoever is bound to its exchange."""
        properties = {
            "message_id": envelope.message_id,
            "timestamp": envelope.sent // 1000,
            "type": envelope.type,
            "app_id": "pulseshim",
            "delivery_mode": 2,
        }
        message = self._channel.prepare_message(
            envelope.body, content_type="application/json", content_encoding="utf-8", properties=properties
        )
        self._channel.basic_publish(message, envelope.exchange, envelope.routing_key)
        self._published += 1

    def flush(self) -> None:
        """Do nothing: what is published has arrived."""

    def consume(self, exchange: str, binding_key: str, queue: str, received: Receiving) -> None:
        """Bind a queue of one's own, whose messages `read` hands to `received`."""
        self.declare(exchange)
        self._exchange = exchange
        self._queue = self._channel.queue_declare(queue, exclusive=True, auto_delete=True).queue
        self._channel.queue_bind(self._queue, exchange, binding_key)
        self._received = received

    def ack(self, tag: int) -> None:
        """Do nothing: what was received is out of the queue."""

    def read(self, timeout: float) -> None:
        """Confirm what was published, or receive; wait at most `timeout` seconds for a message."""
        if self._confirmed < self._published:
            self._confirmed = self._published
            self._acked(self._published, True)
            return
        until = time.monotonic() + timeout
        while not self._receive() and (left := until - time.monotonic()) > 0:
            time.sleep(min(_GLANCE, left))

    def _receive(self) -> bool:
        """Receive one message, and say whether there was one."""
        if self._received is None:
            return False
        message = self._channel.basic_get(self._queue, no_ack=True)
        if message is None:
            return False
        info = message.delivery_info
        properties = {
            "content_type": message.content_type,
            "content_encoding": message.content_encoding,
            **{k: v for k, v in message.properties.items() if k not in _ITS_OWN},
        }
        self._received(0, info["exchange"], info["routing_key"], message.body, properties)
        return True

    def close(self) -> None:
        """Remove the queue and close."""
        if self._queue:
            self._unbind()
            self._channel.queue_delete(self._queue)
            self._queue = ""
            self._received = None
        self._transport.close_connection(self._link)

    def _unbind(self) -> None:
        """Have no message routed to the queue any longer.

        Kombu leaves a deleted queue in the exchange's table, and would fill it for nobody. A binding without
        a queue is passed over; taking it out of the list would let a thread that publishes skip the next.
        """
        table = self._channel.get_table(self._exchange)
        for index, (binding_key, pattern, queue) in enumerate(table):
            if queue == self._queue:
                table[index] = (binding_key, pattern, "")

    def drop(self) -> None:
        """Close."""
        self.close()
