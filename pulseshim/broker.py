"""Connections to the broker. No other module knows Kombu or py-amqp, their connections or their errors.

Kombu's own retries and its `Producer` are not used: the first sleep inside calls that must be bounded, the
second takes a round trip for each confirm.
"""

import contextlib
import math
import select
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from typing import Any

import amqp
from amqp import spec
from amqp.method_framing import frame_handler
from kombu.connection import Connection as Client
from kombu.transport import pyamqp

from pulseshim import refusal
from pulseshim.account import Account, Endpoint, endpoint
from pulseshim.envelope import Envelope
from pulseshim.errors import BrokerUnreachable
from pulseshim.frames import publish_frames
from pulseshim.memory import MemoryConnection, Receiving, Settling

_CHUNK = 64 * 1024
"""What is published goes out when this many bytes of it have come together, or by `flush`."""
_PREFETCH = 200
_FAREWELL = 1.0
_TORN = (OSError, amqp.AMQPError, AttributeError, KeyError, TypeError, ValueError, struct.error)
"""What py-amqp raises of a connection that is torn, or that speaks something else, knowing it or not."""
_ADDRESS = ("delivery_tag", "exchange", "routing_key")
_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
"""Where the system has it: how long TCP waits for an acknowledgment, in ms. py-amqp makes it a second."""


def open_connection(account: Account, url: str) -> "Connection":
    """Give an open connection to one of an account's URLs. Raises `BrokerDenied` or `BrokerUnreachable`."""
    if account.in_memory:
        return MemoryConnection(Client(url))  # type: ignore[no-untyped-call]  # Kombu has no types
    return AmqpConnection(account, url)


class _RawConnection(pyamqp.Connection):
    def connect(self, callback: Callable[[], None] | None = None) -> Any:
        try:
            return super().connect(callback)
        except BaseException:
            # py-amqp itself leaves the socket open when anything but an OSError ends the handshake.
            self.collect()
            raise


class _Transport(pyamqp.Transport):
    Connection = _RawConnection


def _client(account: Account, at: Endpoint, frames: Callable[..., Any]) -> Any:
    """Give Kombu's idea of an address of an account; nothing is connected yet."""
    tls = {
        "server_hostname": at.host,
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": account.ca_file or None,
        "certfile": account.client_certificate or None,
        "keyfile": account.client_key or None,
    }
    return Client(  # type: ignore[no-untyped-call]  # Kombu has no types
        hostname=f"[{at.host}]" if ":" in at.host else at.host,
        port=at.port,
        virtual_host=at.vhost,
        userid=account.user,
        password=account.password,
        login_method="PLAIN" if account.user else "EXTERNAL",
        ssl=tls if at.tls else False,
        connect_timeout=account.connect_timeout,
        heartbeat=math.ceil(account.heartbeat),
        transport=_Transport,
        transport_options={
            "frame_handler": frames,
            "client_properties": {"connection_name": f"pulseshim {account.name}".rstrip()},
            "socket_settings": {_USER_TIMEOUT: int(account.confirm_timeout * 1000)} if _USER_TIMEOUT else {},
        },
    )


class AmqpConnection:
    """An open connection to a broker with one channel. Not thread-safe.

    `blocked` is the broker's reason for taking no messages at present, or None. A method that raises
    `BrokerUnreachable` has closed it; after `PublishRefused`, the channel is a new one.
    """

    def __init__(self, account: Account, url: str) -> None:
        self.url = url
        self.blocked: str | None = None
        self._account = account
        self._endpoint = endpoint(url)
        self.address = str(self._endpoint)
        self._unsent = bytearray()
        self._raw: Any = None
        try:
            self._raw = _client(account, self._endpoint, self._frame_handler).transport.establish_connection()
            self._socket: socket.socket = self._raw.sock
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLIN)
            self._socket.settimeout(account.connect_timeout)
            self._channel = self._raw.channel()
            self._channel.auto_decode = False
            self._socket.settimeout(account.confirm_timeout)
        except _TORN as error:
            self.drop()
            raise refusal.of_connection(error, account, self._endpoint) from error
        self._largest = self._raw.frame_max
        self._beat = max(self._raw.heartbeat / 4, 0.1) if self._raw.heartbeat else math.inf

    def _frame_handler(self, raw: Any, dispatch: Callable[..., None]) -> Any:
        """Give py-amqp's handler of frames, having read the reason for blocking, which it leaves out."""

        def noting(channel: int, method: tuple[int, int], payload: bytes, content: Any) -> None:
            if method == spec.Connection.Blocked:
                self.blocked = payload[5 : 5 + payload[4]].decode(errors="replace") or "no reason given"
            elif method == spec.Connection.Unblocked:
                self.blocked = None
            dispatch(channel, method, payload, content)

        return frame_handler(raw, noting)

    def start_confirms(self, acked: Settling, nacked: Settling, returned: Callable[[], None]) -> None:
        """Have what is published from now on confirmed, and hear of it; delivery tags count from 1."""
        self._unsent.clear()
        with self._calling():
            events = self._channel.events
            events["basic_ack"] = {acked}
            events["basic_nack"] = {nacked}
            events["basic_return"] = {lambda *_message: returned()}
            self._channel.confirm_select()

    def declare(self, exchange: str) -> None:
        """Make sure that there is a durable topic exchange, or raise `ExchangeRefused`."""
        with self._channel_of_its_own() as channel:
            try:
                channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)
            except amqp.ChannelError as error:
                if error.method_sig != spec.Exchange.Declare:
                    raise  # the other channel was closed while we waited
                if not isinstance(error, amqp.AccessRefused):
                    raise refusal.of_exchange(error, exchange, self._account.user) from error
                self._look_for(channel, exchange)

    def _look_for(self, channel: Any, exchange: str) -> None:
        """Say by an error that an exchange is not there: this we may ask without any permission."""
        try:
            channel.exchange_declare(exchange, "topic", passive=True)
        except amqp.ChannelError as error:
            if error.method_sig != spec.Exchange.Declare:
                raise
            raise refusal.of_exchange(error, exchange, self._account.user) from error

    def check_write(self, exchange: str) -> None:
        """Say by `ExchangeRefused` that we may not write to an exchange. No message gets there."""
        # A message in another user's name is refused (406), but first it is asked whether we may write (403).
        message = amqp.Message(b"", user_id="nobody@pulseshim")
        with self._channel_of_its_own() as channel:
            try:
                channel.basic_publish(message, exchange, "pulseshim")
                channel.exchange_declare(exchange, "topic", passive=True)
            except amqp.ChannelError as error:
                if not isinstance(error, amqp.PreconditionFailed):
                    raise refusal.of_writing(error, exchange, self._account.user) from error

    def publish(self, envelope: Envelope) -> None:
        """Publish an envelope: it goes out by `flush`, or with others as soon as there are enough of them."""
        self._unsent += publish_frames(self._channel.channel_id, envelope, self._largest)
        if len(self._unsent) >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        """Write what was published, unless the broker blocks: then it is kept for the next `flush`."""
        if not self._unsent:
            return
        with self._translated():
            # The word that the broker blocks may be there already; once writing, it is not heard.
            self._dispatch(0)
            if self.blocked is None:
                unsent, self._unsent = memoryview(self._unsent), bytearray()
                # The socket's time-out is for each writing as a whole: a slow line has it for each piece.
                for start in range(0, len(unsent), _CHUNK):
                    self._raw.transport.write(unsent[start : start + _CHUNK])
                self._raw.bytes_sent += 1

    def consume(self, exchange: str, binding_key: str, queue: str, received: Receiving) -> None:
        """Bind a queue of one's own (named by the broker if ""), whose messages `read` hands to `received`.

        Raises `ExchangeRefused` where the exchange is not there or may not be read.
        """

        def hand_over(message: Any) -> None:
            tag, exchange, key = (message.delivery_info[part] for part in _ADDRESS)
            received(tag, exchange, key, message.body, message.properties)

        with self._channel_of_its_own() as channel:
            try:
                channel.exchange_declare(exchange, "topic", passive=True)
            except amqp.ChannelError as error:
                raise refusal.of_missing(exchange) from error
        with self._calling():
            try:
                queue = self._channel.queue_declare(queue, exclusive=True, auto_delete=True).queue
                self._channel.queue_bind(queue, exchange, binding_key)
                self._channel.basic_qos(0, _PREFETCH, False)
                self._channel.basic_consume(queue, callback=hand_over)
            except amqp.ChannelError as error:
                raise refusal.of_reading(error, exchange, self._account.user) from error

    def ack(self, tag: int) -> None:
        """Acknowledge a message that was received."""
        with self._translated():
            self._channel.basic_ack(tag)

    def read(self, timeout: float) -> None:
        """Dispatch what the broker has said; wait at most `timeout` seconds for the first word.

        Heartbeats are sent and missed here: call it a few times within `Account.heartbeat`.
        """
        with self._translated():
            while not self._dispatch(min(timeout, self._beat)) and timeout > self._beat:
                self._raw.heartbeat_tick()
                timeout -= self._beat
            self._raw.heartbeat_tick()

    def _dispatch(self, timeout: float) -> bool:
        """Dispatch the frames that are there or come within `timeout` seconds; say whether there were any."""
        if not self._is_readable(timeout):
            return False
        self._raw.blocking_read()
        while self._is_readable(0):
            self._raw.blocking_read()
        return True

    def _is_readable(self, timeout: float) -> bool:
        held_by_tls = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0
        return held_by_tls or bool(self._poll.poll(math.ceil(timeout * 1000)))

    def close(self) -> None:
        """Close the connection in good order, within two seconds or without it."""
        if self._raw is not None:
            with contextlib.suppress(*_TORN):
                self._socket.settimeout(_FAREWELL)
                self._raw.close()
        self.drop()

    def drop(self) -> None:
        """Close the socket without a word to the broker."""
        raw, self._raw = self._raw, None
        if raw is not None:
            with contextlib.suppress(*_TORN):
                self._socket.settimeout(0)  # TLS would say goodbye, and wait for an answer
                raw.collect()
            self._socket.close()

    @contextlib.contextmanager
    def _channel_of_its_own(self) -> Iterator[Any]:
        """Give a channel whose end by an error leaves what is in flight unharmed."""
        with self._calling():
            channel = self._raw.channel()
            try:
                yield channel
            finally:
                channel.close()

    @contextlib.contextmanager
    def _calling(self) -> Iterator[None]:
        """Wait for an answer no longer than for a connection."""
        with self._translated():
            self._socket.settimeout(self._account.connect_timeout)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    self._socket.settimeout(self._account.confirm_timeout)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        if self._raw is None:
            raise BrokerUnreachable(f"the connection to {self.address} is closed", "open it again")
        try:
            yield
        except amqp.ChannelError as error:
            self._unsent.clear()
            raise refusal.of_message(error) from error
        except _TORN as error:
            self.drop()
            raise refusal.of_lost(error, self.address) from error


Connection = AmqpConnection | MemoryConnection
"""An open connection to a broker, or to the one inside this process."""
