"""The publisher on a real broker: confirms, returns, refusals, exchanges."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pulseshim.account import Account
from pulseshim.errors import BrokerUnreachable, ExchangeRefused, PublishRefused
from pulseshim.publisher import Publisher, Settled
from tests.publishing import EXCHANGE, envelope, failing, settle_all

if TYPE_CHECKING:
    from tests.conftest import VirtualHost

pytestmark = pytest.mark.broker

Opened = Callable[..., Publisher]


@pytest.fixture
def opened(vhost: "VirtualHost") -> Iterator[Opened]:
    """Give a maker of open publishers on the test's virtual host."""
    publishers: list[Publisher] = []

    def make(*exchanges: str, user: str = "guest", password: str = "guest") -> Publisher:
        account = Account(name="", urls=(vhost.url,), user=user, password=password)
        publishers.append(Publisher(account, exchanges or (EXCHANGE,)))
        publishers[-1].open()
        return publishers[-1]

    yield make
    for publisher in publishers:
        publisher.close()


def test_a_window_of_messages_is_confirmed_by_the_numbers_of_the_caller(
    vhost: "VirtualHost", opened: Opened
) -> None:
    """All 2000 on their way at once are confirmed, and stand in the queue in order."""
    queue = vhost.bind_queue(EXCHANGE)
    publisher = opened()

    for number in range(2000):
        publisher.publish(7000 + number, envelope(number))
    settled = settle_all(publisher)

    assert settled == Settled(confirmed=tuple(range(7000, 9000)))
    assert [int(message.body) for message in vhost.take(queue)] == list(range(2000))


def test_a_message_carries_the_properties_of_the_contract(vhost: "VirtualHost", opened: Opened) -> None:
    """Consumers find identity, type and time in the properties, and the broker keeps it on disk."""
    queue = vhost.bind_queue(EXCHANGE)
    publisher = opened()

    publisher.publish(1, envelope(1))
    settle_all(publisher)

    (message,) = vhost.take(queue)
    assert message.properties == {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "message_id": "id-1",
        "timestamp": 1764025361,
        "type": "git.push",
        "app_id": "pulseshim",
    }
    assert message.delivery_info["routing_key"] == "group/project"


@pytest.mark.parametrize("size", [0, 1, 131072 - 8, 131072 - 7, 1_000_000])
def test_a_body_of_any_size_arrives_as_it_is(vhost: "VirtualHost", opened: Opened, size: int) -> None:
    """Bodies larger than a frame are divided, and put together again."""
    queue = vhost.bind_queue(EXCHANGE)
    publisher = opened()
    body = bytes(number % 251 for number in range(size))

    publisher.publish(1, envelope(1, body=body))
    publisher.publish(2, envelope(2, body=b"next"))
    settle_all(publisher)

    assert [message.body or b"" for message in vhost.take(queue)] == [body, b"next"]


def test_a_message_that_nobody_is_bound_to_is_confirmed_and_counted(opened: Opened) -> None:
    """In publish/subscribe it is normal that nobody has bound yet."""
    publisher = opened()

    publisher.publish(1, envelope(1))
    publisher.publish(2, envelope(2))

    assert settle_all(publisher) == Settled(confirmed=(1, 2), returned=2)


def test_a_nacked_message_is_told_from_a_confirmed_one(vhost: "VirtualHost", opened: Opened) -> None:
    """A full queue that rejects makes the broker nack: the caller sends it again later."""
    vhost.bind_queue(EXCHANGE, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    publisher = opened()

    publisher.publish(1, envelope(1))
    first = settle_all(publisher)
    publisher.publish(2, envelope(2))
    second = settle_all(publisher)

    assert (first, second) == (Settled(confirmed=(1,)), Settled(nacked=(2,)))


def test_settling_with_nothing_in_flight_returns_at_once(opened: Opened) -> None:
    """An idle caller is not held up."""
    publisher = opened()
    start = time.monotonic()

    settled = publisher.settle(30)

    assert settled == Settled()
    assert time.monotonic() - start < 25


def test_an_exchange_that_was_deleted_is_declared_again_by_open(vhost: "VirtualHost", opened: Opened) -> None:
    """The channel is closed because of it; it opens again on the same connection, and nothing is stuck."""
    publisher = opened()
    with vhost.node.connect(vhost.name) as connection:
        connection.channel().exchange_delete(EXCHANGE)

    publisher.publish(1, envelope(1))
    refusal = failing(publisher, PublishRefused)
    was_connected = publisher.connected
    publisher.open()
    publisher.publish(1, envelope(1))

    assert "404" in refusal or "NOT_FOUND" in refusal
    assert (was_connected, settle_all(publisher).confirmed) == (False, (1,))


def test_after_a_refused_message_only_what_is_published_again_is_confirmed(
    vhost: "VirtualHost", opened: Opened
) -> None:
    """Delivery tags start anew with the channel: old ones are never mistaken for new ones."""
    publisher = opened(EXCHANGE, "exchange/guest/other")
    with vhost.node.connect(vhost.name) as connection:
        connection.channel().exchange_delete("exchange/guest/other")

    for number in range(10):
        publisher.publish(
            number, envelope(number, exchange=EXCHANGE if number < 5 else "exchange/guest/other")
        )
    failing(publisher, PublishRefused)
    publisher.open()
    before = publisher.settle(0).confirmed
    publisher.publish(42, envelope(42))

    assert publisher.in_flight == 1
    assert set(before) <= {0, 1, 2, 3, 4}
    assert settle_all(publisher).confirmed == (42,)


def test_an_exchange_of_another_type_is_refused_and_the_others_go_on(
    vhost: "VirtualHost", opened: Opened
) -> None:
    """One exchange in the way is named with its remedy; what is in flight is unharmed."""
    with vhost.node.connect(vhost.name) as connection:
        connection.channel().exchange_declare(
            "exchange/guest/fanout", "fanout", durable=True, auto_delete=False
        )
    publisher = opened(EXCHANGE, "exchange/guest/fanout")

    publisher.publish(1, envelope(1))
    with pytest.raises(ExchangeRefused, match=r"exchange/guest/fanout cannot be declared .* delete the one"):
        publisher.publish(2, envelope(2, exchange="exchange/guest/fanout"))

    assert settle_all(publisher) == Settled(confirmed=(1,), returned=1)


def test_a_refused_exchange_is_taken_as_soon_as_it_can_be_declared(
    vhost: "VirtualHost", opened: Opened
) -> None:
    """It is tried again at later publishes, without anything being opened again."""
    with vhost.node.connect(vhost.name) as connection:
        connection.channel().exchange_declare(EXCHANGE, "fanout", durable=True, auto_delete=False)
        publisher = opened()
        with pytest.raises(ExchangeRefused):
            publisher.publish(1, envelope(1))
        connection.channel().exchange_delete(EXCHANGE)

    deadline = time.monotonic() + 60
    while not publisher.in_flight and time.monotonic() < deadline:
        try:
            publisher.publish(1, envelope(1))
        except ExchangeRefused:
            time.sleep(0.1)

    assert settle_all(publisher).confirmed == (1,)


@pytest.fixture
def user(vhost: "VirtualHost") -> Iterator[str]:
    """Give a user whose password is his name, without any permission yet."""
    name = f"user-{vhost.name}"
    vhost.node.add_user(name, name)
    yield name
    vhost.node.api("DELETE", f"users/{name}")


def test_a_user_who_may_not_declare_publishes_to_what_exists(
    vhost: "VirtualHost", opened: Opened, user: str
) -> None:
    """On a broker where administrators declare, the permission to write is enough."""
    vhost.bind_queue(EXCHANGE)
    vhost.node.permit(vhost.name, user, configure="", read="")
    publisher = opened(user=user, password=user)

    publisher.publish(1, envelope(1))

    assert settle_all(publisher) == Settled(confirmed=(1,))


def test_a_user_who_may_not_declare_is_told_that_the_exchange_is_missing(
    vhost: "VirtualHost", opened: Opened, user: str
) -> None:
    """The remedy names both ways: declare it, or give the permission."""
    vhost.node.permit(vhost.name, user, configure="", read="")
    publisher = opened(user=user, password=user)

    with pytest.raises(ExchangeRefused, match=rf"{EXCHANGE} does not exist, and {user} may not create it"):
        publisher.publish(1, envelope(1))


def test_a_user_who_may_not_write_is_refused_with_the_words_of_the_broker(
    vhost: "VirtualHost", opened: Opened, user: str
) -> None:
    """What the broker replied is in the error."""
    vhost.bind_queue(EXCHANGE)
    vhost.node.permit(vhost.name, user, configure=".*", write="nothing", read="")
    publisher = opened(user=user, password=user)

    publisher.publish(1, envelope(1))
    refusal = failing(publisher, PublishRefused)

    assert "ACCESS_REFUSED" in refusal
    assert EXCHANGE in refusal


def test_a_message_too_large_for_the_broker_is_refused_with_its_limit(
    vhost: "VirtualHost", opened: Opened
) -> None:
    """RabbitMQ 4 takes 16 MiB by default, and so does the test's node: sending it again is no help."""
    vhost.bind_queue(EXCHANGE)
    publisher = opened()

    publisher.publish(1, envelope(1, body=b"x" * (16 * 1024 * 1024 + 1)))
    refusal = failing(publisher, PublishRefused)
    publisher.open()
    publisher.publish(2, envelope(2))

    assert "max size" in refusal or "limit" in refusal
    assert settle_all(publisher).confirmed == (2,)


def test_a_publisher_that_is_not_open_says_so(vhost: "VirtualHost") -> None:
    """Publishing before `open` and after `close` is an error, never silence."""
    account = Account(name="", urls=(vhost.url,), user="guest", password="guest")
    with closing(Publisher(account, [EXCHANGE])) as publisher:
        with pytest.raises(BrokerUnreachable, match="open it first"):
            publisher.publish(1, envelope(1))

        publisher.open()

    with pytest.raises(BrokerUnreachable, match="open it first"):
        publisher.settle(0)


def test_heartbeats_keep_an_idle_connection(vhost: "VirtualHost") -> None:
    """Nothing published for four heartbeats, and the connection is still the same one."""
    account = Account(name="", urls=(vhost.url,), user="guest", password="guest", heartbeat=2)
    with closing(Publisher(account, [EXCHANGE])) as publisher:
        publisher.open()

        end = time.monotonic() + 8
        while time.monotonic() < end:
            publisher.settle(0)
            time.sleep(0.1)
        publisher.publish(1, envelope(1))

        assert settle_all(publisher).confirmed == (1,)
