"""The publisher while its broker runs short of memory, stops, starts and is killed."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from pulseshim.account import Account
from pulseshim.errors import BrokerUnreachable
from pulseshim.publisher import Publisher
from tests.publishing import EXCHANGE, envelope

if TYPE_CHECKING:
    from tests.conftest import RabbitMQ, VirtualHost

pytestmark = pytest.mark.broker


@pytest.fixture
def own_vhost(own_rabbitmq: "RabbitMQ") -> "VirtualHost":
    """Give a fresh virtual host on the module's own node."""
    return own_rabbitmq.add_vhost()


@pytest.fixture
def publisher(own_vhost: "VirtualHost") -> Iterator[Publisher]:
    """Give an open publisher with patience for a broker that has just started."""
    account = Account(
        name="", urls=(own_vhost.url,), user="guest", password="guest", connect_timeout=60, confirm_timeout=60
    )
    publisher = Publisher(account, [EXCHANGE])
    publisher.open()
    yield publisher
    publisher.close()


def wait_until(publisher: Publisher, is_so: Callable[[], bool]) -> set[int]:
    """Settle until something is so, within a minute, and give what was confirmed."""
    confirmed: set[int] = set()
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, "it did not come"
        confirmed |= set(publisher.settle(0.1).confirmed)
        time.sleep(0.01)
    return confirmed


def reopen(publisher: Publisher) -> None:
    """Open again until it succeeds, within a minute."""
    deadline = time.monotonic() + 60
    while not publisher.connected and time.monotonic() < deadline:
        try:
            publisher.open()
        except BrokerUnreachable:
            time.sleep(0.1)


def test_a_broker_short_of_memory_is_blocked_and_not_dead(
    own_rabbitmq: "RabbitMQ", own_vhost: "VirtualHost", publisher: Publisher
) -> None:
    """Its reason is shown, the time-out for confirms stands still, and everything goes out afterwards."""
    queue = own_vhost.bind_queue(EXCHANGE)

    own_rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1")
    try:
        # RabbitMQ tells a connection only when it publishes.
        publisher.publish(0, envelope(0))
        early = wait_until(publisher, lambda: publisher.blocked is not None)
        reason = publisher.blocked
        for number in range(1, 99):
            publisher.publish(number, envelope(number))
        # More than the buffers between us hold: to write it now would be to wait for the broker.
        publisher.publish(99, structs.replace(envelope(99), body=b"99".zfill(12_000_000)))
        end = time.monotonic() + 3
        while time.monotonic() < end:
            early |= set(publisher.settle(0.5).confirmed)
        kept = publisher.in_flight
    finally:
        own_rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    late = wait_until(publisher, lambda: publisher.in_flight == 0)

    assert "memory" in (reason or "")
    assert kept >= 99
    assert (early | late, publisher.blocked) == (set(range(100)), None)
    ids = [message.properties["message_id"] for message in own_vhost.take(queue)]
    assert ids == [f"id-{number}" for number in range(100)]


def test_a_broker_that_stops_is_unreachable_until_it_has_started(
    own_rabbitmq: "RabbitMQ", own_vhost: "VirtualHost", publisher: Publisher
) -> None:
    """The loss is noticed, and the same publisher goes on when the broker is there again."""
    queue = own_vhost.bind_queue(EXCHANGE)
    publisher.publish(1, envelope(1))
    wait_until(publisher, lambda: publisher.in_flight == 0)

    own_rabbitmq.stop()
    try:
        with pytest.raises(BrokerUnreachable, match="lost"):
            wait_until(publisher, lambda: False)
        with pytest.raises(BrokerUnreachable, match="connection refused"):
            publisher.open()
    finally:
        own_rabbitmq.start()
    reopen(publisher)
    publisher.publish(2, envelope(2))
    wait_until(publisher, lambda: publisher.in_flight == 0)

    assert [int(message.body) for message in own_vhost.take(queue)] == [1, 2]


def test_what_was_confirmed_outlives_a_broker_that_is_killed(
    own_rabbitmq: "RabbitMQ", own_vhost: "VirtualHost", publisher: Publisher
) -> None:
    """A confirm means that the broker has it on disk; the rest is published again."""
    queue = own_vhost.bind_queue(EXCHANGE)
    for number in range(1000):
        publisher.publish(number, envelope(number))
    confirmed = set(publisher.settle(60).confirmed)

    own_rabbitmq.kill()
    own_rabbitmq.start()
    with pytest.raises(BrokerUnreachable):
        wait_until(publisher, lambda: False)
    if not publisher.connected and publisher.in_flight == 0:
        reopen(publisher)
    for number in set(range(1000)) - confirmed:
        publisher.publish(number, envelope(number))
    wait_until(publisher, lambda: publisher.in_flight == 0)

    assert confirmed
    assert {int(message.body) for message in own_vhost.take(queue)} == set(range(1000))
