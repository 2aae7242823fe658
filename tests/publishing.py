"""What tests do with publishers: accounts and envelopes to give them, and waiting for what comes of it."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from pulseshim.account import Account
from pulseshim.envelope import Envelope
from pulseshim.errors import BrokerDenied, BrokerError
from pulseshim.publisher import Publisher, Settled
from tests.proxy import TcpProxy

Making = Callable[[Account], Publisher]
Proxies = Callable[..., TcpProxy]
EXCHANGE = "exchange/guest/test"


def at(account: Account, *ports: int, host: str = "127.0.0.1", tls: bool = False) -> Account:
    """Give the account with the same virtual host on other ports of the loopback interface."""
    scheme = "amqps" if tls else "amqp"
    path = account.urls[0].rpartition("/")[2]
    return replace(account, urls=tuple(f"{scheme}://{host}:{port}/{path}" for port in ports))


def envelope(number: int, *, exchange: str = EXCHANGE, body: bytes | None = None) -> Envelope:
    """Give the envelope of a test message."""
    return Envelope(
        message_id=f"id-{number}",
        exchange=exchange,
        routing_key="group/project",
        sequence=number,
        type="git.push",
        version=1,
        sent=1764025361482,
        body=json.dumps(number).encode() if body is None else body,
    )


def settle_all(publisher: Publisher) -> Settled:
    """Settle until nothing is in flight, within a minute."""
    confirmed: list[int] = []
    nacked: list[int] = []
    returned = 0
    deadline = time.monotonic() + 60
    while publisher.in_flight and time.monotonic() < deadline:
        settled = publisher.settle(1)
        confirmed += settled.confirmed
        nacked += settled.nacked
        returned += settled.returned
    return Settled(confirmed=tuple(sorted(confirmed)), nacked=tuple(sorted(nacked)), returned=returned)


def failing(publisher: Publisher, kind: type[BrokerError]) -> str:
    """Settle until it fails as expected, within a minute, and give what the error says."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            publisher.settle(0.1)
        except kind as error:
            return str(error)
        time.sleep(0.01)
    pytest.fail(f"no {kind.__name__} came")


def denial(publisher: Publisher) -> str:
    """Open and give what the denial says."""
    with pytest.raises(BrokerDenied) as raised:
        publisher.open()
    assert not publisher.connected
    return str(raised.value)
