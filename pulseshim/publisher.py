"""The publisher: many envelopes on their way at once over one channel, each confirmed by the broker."""

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pulseshim.account import Account
from pulseshim.broker import Connection
from pulseshim.envelope import Envelope
from pulseshim.errors import BrokerError, BrokerUnreachable, ExchangeRefused, PublishRefused
from pulseshim.failover import connect

_BETWEEN_DECLARATIONS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the broker said: the tags it confirmed and nacked, and how many messages nobody was bound to.

    A message that is returned is confirmed as well.
    """

    confirmed: tuple[int, ...] = ()
    nacked: tuple[int, ...] = ()
    returned: int = 0


class Publisher:
    """The way of one account's envelopes to the broker: one connection, one channel, for one thread.

    `publish` puts envelopes in flight under the caller's numbers, `settle` gives the numbers that the broker
    has confirmed or nacked. After any error but `ExchangeRefused`, what is in flight is forgotten, for
    nobody knows what became of it, and `open` starts anew; what was confirmed before the error is given by
    the next `settle`, before or after `open`. The caller looks at `blocked` before it publishes: what is
    published while the broker blocks waits here.
    """

    def __init__(
        self, account: Account, exchanges: Iterable[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._account = account
        self._exchanges = tuple(exchanges)
        self._clock = clock
        self._connection: Connection | None = None
        self._url = ""
        self._is_open = False
        self._declared: set[str] = set()
        self._refused: dict[str, tuple[float, ExchangeRefused]] = {}
        self._published = 0
        self._first = 1
        self._in_flight: dict[int, int] = {}
        self._confirmed: list[int] = []
        self._nacked: list[int] = []
        self._returned = 0
        self._silent_since: float | None = None

    @property
    def in_flight(self) -> int:
        """Give how many messages await the broker's word."""
        return len(self._in_flight)

    @property
    def blocked(self) -> str | None:
        """Give the broker's reason for taking no messages at present, or None."""
        connection = self._connection
        return connection.blocked if connection else None

    @property
    def address(self) -> str:
        """Give the `host:port` it is connected to; empty while it is not."""
        connection = self._connection
        return connection.address if connection else ""

    @property
    def connected(self) -> bool:
        """Say whether it can publish: whether `open` succeeded and nothing has failed since."""
        return self._is_open

    def open(self) -> None:
        """Connect, or open the channel again where the connection still stands, and declare the exchanges.

        An exchange that cannot be declared is no error here: `publish` tries it again. After a loss, the
        URLs behind the lost one are tried first. Raises `BrokerUnreachable` or `BrokerDenied`.
        """
        self._forget()
        if self._connection is None:
            self._connection = connect(self._account, after=self._url)
            self._url = self._connection.url
        try:
            self._connection.start_confirms(self._on_ack, self._on_nack, self._on_return)
            for exchange in self._exchanges:
                with contextlib.suppress(ExchangeRefused):
                    self._declare(self._connection, exchange)
        except BrokerError as error:
            self._fail(error)
            raise
        self._is_open = True

    def publish(self, tag: int, envelope: Envelope) -> None:
        """Put an envelope in flight, `tag` being the caller's number for it; `settle` sends off the rest.

        Raises `ExchangeRefused` when its exchange cannot be declared: nothing was sent, and nothing else
        happened. Raises `BrokerUnreachable` or `PublishRefused` because of what was published before.
        """
        connection = self._standing()
        try:
            if envelope.exchange not in self._declared:
                self._declare(connection, envelope.exchange)
            connection.publish(envelope)
            self._published += 1
            self._in_flight[self._published] = tag
        except ExchangeRefused:
            raise
        except BrokerError as error:
            self._fail(error)
            raise

    def settle(self, timeout: float) -> Settled:
        """Give what the broker has said; wait at most `timeout` seconds for the first word.

        With nothing in flight it does not wait, but sends and checks heartbeats: call it a few times within
        `Account.heartbeat`. Raises `PublishRefused`, or `BrokerUnreachable` when the connection is lost or
        the broker, without blocking, has said nothing about what is in flight for `confirm_timeout`.
        """
        if not self._is_open and self._confirmed:
            return self._take()
        connection = self._standing()
        try:
            connection.flush()
            self._listen(connection, timeout)
            self._check_silence(connection)
        except BrokerError as error:
            self._fail(error)
            raise
        return self._take()

    def close(self) -> None:
        """Close the connection, in two seconds at most; what is in flight is forgotten."""
        self._forget()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _standing(self) -> Connection:
        if self._connection is None or not self._is_open:
            raise BrokerUnreachable("there is no connection to the broker", "open it first")
        return self._connection

    def _declare(self, connection: Connection, exchange: str) -> None:
        """Declare an exchange, but one that was refused no oftener than once a second."""
        now = self._clock()
        at, error = self._refused.get(exchange, (now - _BETWEEN_DECLARATIONS, None))
        if error is not None and now - at < _BETWEEN_DECLARATIONS:
            raise ExchangeRefused(error.problem, error.remedy)
        try:
            connection.declare(exchange)
        except ExchangeRefused as refused:
            self._refused[exchange] = (now, refused)
            raise
        self._refused.pop(exchange, None)
        self._declared.add(exchange)

    def _listen(self, connection: Connection, timeout: float) -> None:
        """Read until the broker has said something of what is in flight, or blocks, or blocks no longer."""
        blocked = connection.blocked
        until = self._clock() + timeout
        left = timeout if self._in_flight else 0.0
        while True:
            connection.read(left)
            left = until - self._clock()
            said = self._confirmed or self._nacked or connection.blocked != blocked
            if said or left <= 0 or not self._in_flight:
                return

    def _check_silence(self, connection: Connection) -> None:
        """Hold a broker for dead that says nothing though it has something to say."""
        if self._confirmed or self._nacked or not self._in_flight or connection.blocked is not None:
            self._silent_since = None
            return
        if self._silent_since is None:
            self._silent_since = self._clock()
        silence = self._clock() - self._silent_since
        if silence > self._account.confirm_timeout:
            raise BrokerUnreachable(
                f"the broker at {connection.address} has confirmed nothing for {silence:.0f} s",
                "see its log for what it waits for",
            )

    def _take(self) -> Settled:
        settled = Settled(
            confirmed=tuple(self._confirmed), nacked=tuple(self._nacked), returned=self._returned
        )
        self._confirmed.clear()
        self._nacked.clear()
        self._returned = 0
        return settled

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:
        self._settle_tags(delivery_tag, multiple, self._confirmed)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:
        self._settle_tags(delivery_tag, multiple, self._nacked)

    def _on_return(self) -> None:
        self._returned += 1

    def _settle_tags(self, delivery_tag: int, multiple: bool, settled: list[int]) -> None:
        """Take what a confirm speaks of out of flight; tag 0 with `multiple` speaks of everything."""
        if not multiple:
            settled.append(self._in_flight.pop(delivery_tag))
            return
        last = delivery_tag or self._published
        numbers = range(self._first, last + 1)
        settled += [self._in_flight.pop(number) for number in numbers if number in self._in_flight]
        self._first = last + 1

    def _forget(self) -> None:
        """Forget the channel's state. What was confirmed stays: it is as true as before."""
        self._is_open = False
        self._in_flight.clear()
        self._nacked.clear()
        self._declared.clear()
        self._refused.clear()
        self._published = 0
        self._first = 1
        self._silent_since = None

    def _fail(self, error: BrokerError) -> None:
        self._forget()
        if self._connection is not None and not isinstance(error, PublishRefused):
            self._connection.drop()
            self._connection = None
