"""The consumer, and the memory broker beside the real one: what is published is seen."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from kombu.transport import memory

from pulseshim.account import Account
from pulseshim.consumer import Consumer
from pulseshim.envelope import Envelope
from pulseshim.errors import BrokerUnreachable, ExchangeRefused
from pulseshim.publisher import Publisher, Settled

if TYPE_CHECKING:
    from tests.conftest import TcpProxy, VirtualHost

EXCHANGE = "exchange/guest/test"


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.broker)])
def account(request: pytest.FixtureRequest) -> Account:
    """Give an account of the embedded broker, then one of a real broker."""
    if request.param == "memory":
        return Account(name="", urls=("memory://",))
    return request.getfixturevalue("rabbitmq_account")  # type: ignore[no-any-return]  # pytest does not say


@pytest.fixture
def rabbitmq_account(vhost: "VirtualHost") -> Account:
    """Give an account of the test's virtual host."""
    return Account(name="", urls=(vhost.url,), user="guest", password="guest", connect_timeout=60)


@pytest.fixture
def publisher(account: Account) -> Iterator[Publisher]:
    """Give an open publisher."""
    with closing(Publisher(account, [EXCHANGE])) as publisher:
        publisher.open()
        yield publisher


@pytest.fixture
def publisher_in_memory() -> Iterator[Publisher]:
    """Give an open publisher to the embedded broker."""
    with closing(Publisher(Account(name="", urls=("memory://",)), [EXCHANGE])) as publisher:
        publisher.open()
        yield publisher


def envelope(number: int, routing_key: str = "group/project", exchange: str = EXCHANGE) -> Envelope:
    """Give the envelope of a test message."""
    return Envelope(
        message_id=f"id-{number}",
        exchange=exchange,
        routing_key=routing_key,
        sequence=number,
        type="git.push",
        version=1,
        sent=1764025361482,
        body=f'"{number} é"'.encode(),
    )


def publish_one(publisher: Publisher) -> None:
    """Publish a message and wait for its confirm."""
    publisher.publish(1, envelope(1))
    settle_all(publisher)


def settle_all(publisher: Publisher) -> Settled:
    """Settle until nothing is in flight, within a minute."""
    confirmed: list[int] = []
    deadline = time.monotonic() + 60
    while publisher.in_flight and time.monotonic() < deadline:
        confirmed += publisher.settle(1).confirmed
    return Settled(confirmed=tuple(sorted(confirmed)))


def test_a_consumer_sees_what_is_published_with_its_address_and_properties(
    account: Account, publisher: Publisher
) -> None:
    """Exchange, routing key, the body's bytes and the properties arrive as they were published."""
    with Consumer(account, EXCHANGE) as consumer:
        publisher.publish(1, envelope(1))
        settled = settle_all(publisher)

        delivery = consumer.receive(60)

    assert settled.confirmed == (1,)
    assert delivery is not None
    assert (delivery.exchange, delivery.routing_key) == (EXCHANGE, "group/project")
    assert delivery.body == '"1 é"'.encode()
    assert delivery.properties == {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "message_id": "id-1",
        "timestamp": 1764025361,
        "type": "git.push",
        "app_id": "pulseshim",
    }


def test_messages_come_in_order_and_none_twice(account: Account, publisher: Publisher) -> None:
    """Acknowledging as they are handed out neither loses nor repeats any of more than one prefetch."""
    with Consumer(account, EXCHANGE) as consumer:
        for number in range(500):
            publisher.publish(number, envelope(number))
        settle_all(publisher)

        deliveries = [consumer.receive(60) for _ in range(500)]
        more = consumer.receive(0.1)

    ids = [delivery.properties["message_id"] for delivery in deliveries if delivery]
    assert (ids, more) == ([f"id-{number}" for number in range(500)], None)


def test_a_binding_key_chooses_among_routing_keys(account: Account, publisher: Publisher) -> None:
    """`*` is one word and `#` any number of them, on both brokers."""
    with Consumer(account, EXCHANGE, "build.*.finished") as consumer:
        for number, key in enumerate(["build.a.finished", "build.a.b.finished", "build.a.started"]):
            publisher.publish(number, envelope(number, key))
        settle_all(publisher)

        first, second = consumer.receive(60), consumer.receive(0.2)

    assert first is not None
    assert (first.routing_key, second) == ("build.a.finished", None)


def test_two_consumers_see_the_same_messages(account: Account, publisher: Publisher) -> None:
    """Each has a queue of its own: nobody takes anything away from anybody."""
    with Consumer(account, EXCHANGE) as one, Consumer(account, EXCHANGE) as other:
        publisher.publish(1, envelope(1))
        settle_all(publisher)

        deliveries = one.receive(60), other.receive(60)

    assert [delivery and delivery.properties["message_id"] for delivery in deliveries] == ["id-1", "id-1"]


def test_waiting_ends_when_a_message_comes(account: Account, publisher: Publisher) -> None:
    """A consumer that waits long is woken by the message, not by its time-out."""
    with Consumer(account, EXCHANGE) as consumer:
        publishing = threading.Timer(0.2, publish_one, (publisher,))
        publishing.start()
        start = time.monotonic()

        delivery = consumer.receive(60)
        waited = time.monotonic() - start
        publishing.join()

    assert delivery is not None
    assert waited < 30


@pytest.mark.broker
def test_waiting_does_not_end_with_a_heartbeat(vhost: "VirtualHost", rabbitmq_account: Account) -> None:
    """Whatever else the broker says meanwhile, a consumer waits for as long as it was told to."""
    vhost.bind_queue(EXCHANGE)
    beating = replace(rabbitmq_account, heartbeat=4)  # it beats every two seconds
    start = time.monotonic()
    with Consumer(beating, EXCHANGE) as consumer:
        delivery = consumer.receive(2.5)
        waited = time.monotonic() - start

    assert delivery is None
    assert waited >= 2.5


def test_nothing_published_is_none_after_the_timeout(account: Account, publisher: Publisher) -> None:
    """Waiting is bounded; what was published before the consumer came is not seen."""
    publisher.publish(1, envelope(1))
    settle_all(publisher)
    with Consumer(account, EXCHANGE) as consumer:
        assert consumer.receive(0.2) is None


@pytest.mark.broker
def test_an_exchange_that_does_not_exist_is_refused_with_the_command_that_declares_it(
    rabbitmq_account: Account,
) -> None:
    """A typo does not wait for ever on an exchange of its own making."""
    with (
        pytest.raises(ExchangeRefused, match="exchange/guest/typo does not exist: pulseshim declare"),
        Consumer(rabbitmq_account, "exchange/guest/typo"),
    ):
        pass


@pytest.mark.broker
def test_a_user_who_may_not_read_is_refused_with_the_permissions_to_give(
    rabbitmq_account: Account, vhost: "VirtualHost"
) -> None:
    """The remedy names the queue's permissions too."""
    vhost.bind_queue(EXCHANGE)
    vhost.node.add_user("writer", "writer")
    vhost.node.permit(vhost.name, "writer", configure="", read="")
    writer = replace(rabbitmq_account, user="writer", password="writer")

    with (
        pytest.raises(ExchangeRefused, match=r"writer may not read .*queue/writer/"),
        Consumer(writer, EXCHANGE),
    ):
        pass


@pytest.mark.broker
def test_a_consumer_whose_connection_is_cut_says_so(
    rabbitmq_account: Account, vhost: "VirtualHost", tcp_proxy: Callable[..., "TcpProxy"]
) -> None:
    """It does not wait for messages that cannot come."""
    vhost.bind_queue(EXCHANGE)
    proxy = tcp_proxy(vhost.node.port)
    through = replace(rabbitmq_account, urls=(f"amqp://127.0.0.1:{proxy.port}/{vhost.name}",))
    with Consumer(through, EXCHANGE) as consumer:
        proxy.cut()

        with pytest.raises(BrokerUnreachable, match="was lost"):
            consumer.receive(30)


@pytest.mark.broker
def test_heartbeats_keep_a_consumer_that_waits(rabbitmq_account: Account, vhost: "VirtualHost") -> None:
    """Waiting for four heartbeats, and the next message still comes over the same connection."""
    vhost.bind_queue(EXCHANGE)
    with (
        Consumer(replace(rabbitmq_account, heartbeat=2), EXCHANGE) as consumer,
        closing(Publisher(rabbitmq_account, [EXCHANGE])) as publisher,
    ):
        nothing = consumer.receive(8)
        publisher.open()
        publisher.publish(1, envelope(1))
        settle_all(publisher)

        delivery = consumer.receive(60)

    assert nothing is None
    assert delivery is not None


def test_in_memory_an_exchange_that_nobody_declared_is_declared_by_publishing() -> None:
    """Envelopes of an exchange that no feed names any longer are published all the same."""
    account = Account(name="", urls=("memory://",))
    with closing(Publisher(account, [])) as publisher, Consumer(account, "exchange/guest/old") as consumer:
        publisher.open()
        publisher.publish(1, envelope(1, exchange="exchange/guest/old"))
        settled = publisher.settle(0)

        delivery = consumer.receive(60)

    assert settled.confirmed == (1,)
    assert delivery is not None


def test_in_memory_nothing_of_a_closed_consumer_is_left(publisher_in_memory: Publisher) -> None:
    """Neither do its bindings choose for the next consumer, nor are messages kept for it."""
    account = Account(name="", urls=("memory://",))
    for _ in range(50):
        with Consumer(account, EXCHANGE):
            pass
    with Consumer(account, EXCHANGE, "build.a") as consumer:
        before = dict(memory.Channel.queues)
        for number, key in enumerate(["build.b", "build.a"]):
            publisher_in_memory.publish(number, envelope(number, key))
        settle_all(publisher_in_memory)

        first, second = consumer.receive(60), consumer.receive(0.1)

    assert first is not None
    assert (first.routing_key, second) == ("build.a", None)
    assert memory.Channel.queues.keys() <= before.keys()
