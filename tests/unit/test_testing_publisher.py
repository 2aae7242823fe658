"""The publisher in memory of pulseshim.testing: it does what a broker does."""

import pytest

from pulseshim import Envelope
from pulseshim.envelope import seal
from pulseshim.errors import BrokerDenied, BrokerUnreachable, ExchangeRefused, PublishRefused
from pulseshim.testing import MemoryPublisher
from tests.unit.landings import EXCHANGE, Landing, landed


def envelope(number: int) -> Envelope:
    return seal(landed(Landing("main", number)), EXCHANGE, sequence=number, sent=0)


ONE, TWO, THREE = envelope(1), envelope(2), envelope(3)


@pytest.fixture
def publisher() -> MemoryPublisher:
    opened = MemoryPublisher()
    opened.open()
    return opened


def test_what_is_published_is_held_and_confirmed_by_the_next_settle(publisher: MemoryPublisher) -> None:
    """As of a broker: published is in flight, settled is confirmed."""
    publisher.publish(1, ONE)
    publisher.publish(2, TWO)

    in_flight = publisher.in_flight
    settled = publisher.settle(0)

    assert in_flight == 2
    assert (settled.confirmed, settled.nacked, settled.returned) == ((1, 2), (), 0)
    assert (publisher.held, publisher.in_flight) == ([ONE, TWO], 0)


def test_a_message_is_nacked_as_often_as_was_asked(publisher: MemoryPublisher) -> None:
    """A nacked message is not held; published again it may be."""
    publisher.nack[ONE.message_id] = 1
    publisher.publish(1, ONE)
    first = publisher.settle(0)
    publisher.publish(1, ONE)

    second = publisher.settle(0)

    assert (first.nacked, first.confirmed) == ((1,), ())
    assert (second.nacked, second.confirmed) == ((), (1,))


@pytest.mark.parametrize("reopened", [True, False])
def test_a_refused_message_closes_the_channel_and_those_before_it_stay_confirmed(
    publisher: MemoryPublisher, *, reopened: bool
) -> None:
    """What the broker had confirmed is handed out by the next settle; the rest is forgotten."""
    publisher.refuse.add(TWO.message_id)
    for tag, sealed in enumerate((ONE, TWO, THREE), start=1):
        publisher.publish(tag, sealed)

    with pytest.raises(PublishRefused):
        publisher.settle(0)
    if reopened:
        publisher.open()

    assert publisher.settle(0).confirmed == (1,)
    assert publisher.held == [ONE]


@pytest.mark.parametrize(("taken", "held"), [(True, [ONE]), (False, [])])
def test_a_lost_connection_leaves_open_whether_the_broker_had_the_message(
    publisher: MemoryPublisher, held: list[Envelope], *, taken: bool
) -> None:
    """The publisher sees the same either way, which is why it publishes again."""
    publisher.lose_connection(after=1, taken=taken)
    publisher.publish(1, ONE)

    with pytest.raises(BrokerUnreachable):
        publisher.settle(0)
    connected = publisher.connected
    publisher.open()

    assert not connected
    assert publisher.settle(0).confirmed == ()
    assert publisher.held == held


def test_nothing_is_published_without_a_connection() -> None:
    """A publisher must be opened first."""
    publisher = MemoryPublisher()

    with pytest.raises(BrokerUnreachable):
        publisher.publish(1, ONE)

    assert (publisher.connected, publisher.address) == (False, "")


def test_a_blocked_broker_confirms_once_it_is_unblocked(publisher: MemoryPublisher) -> None:
    """While blocked, what is in flight stays in flight."""
    publisher.block("low on memory")
    publisher.publish(1, ONE)
    while_blocked = publisher.settle(0)
    reason = publisher.blocked
    publisher.unblock()

    settled = publisher.settle(0)

    assert (reason, while_blocked.confirmed, settled.confirmed) == ("low on memory", (), (1,))


def test_a_fault_keeps_it_from_opening_until_it_is_mended() -> None:
    """As a wrong password does."""
    publisher = MemoryPublisher()
    publisher.fault = BrokerDenied("wrong password")
    with pytest.raises(BrokerDenied):
        publisher.open()
    publisher.fault = None

    publisher.open()

    assert publisher.connected


def test_a_refused_exchange_harms_no_other(publisher: MemoryPublisher) -> None:
    """The message for it is not put in flight; the connection stands."""
    publisher.publish(1, ONE)
    publisher.refuse_exchanges.add(EXCHANGE.name)

    with pytest.raises(ExchangeRefused, match=EXCHANGE.name):
        publisher.publish(2, TWO)

    assert publisher.settle(0).confirmed == (1,)


def test_a_message_that_nobody_is_bound_to_is_returned_and_confirmed(publisher: MemoryPublisher) -> None:
    """In publish and subscribe that is normal: it is counted, and it is done."""
    publisher.unbound.add(EXCHANGE.name)
    publisher.publish(1, ONE)

    settled = publisher.settle(0)

    assert (settled.confirmed, settled.returned) == ((1,), 1)


def test_a_closed_publisher_forgets_what_is_in_flight(publisher: MemoryPublisher) -> None:
    """Whoever closes it publishes again what had no confirm."""
    publisher.publish(1, ONE)

    publisher.close()

    assert (publisher.in_flight, publisher.connected) == (0, False)
