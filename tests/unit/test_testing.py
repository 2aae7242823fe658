"""What pulseshim.testing promises to the authors of plugins."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from pulseshim import Envelope, Exchange, Message
from pulseshim.envelope import seal
from pulseshim.errors import BrokerDenied, BrokerUnreachable, ExchangeRefused, PublishRefused
from pulseshim.testing import MemoryPublisher, MemoryState, check_shim, invocation


@dataclass
class Landing:
    """An event, changeable as an author's may be."""

    branch: str
    number: int
    labels: list[str] = field(default_factory=list)


class Landed(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.landed"
    number: int
    labels: tuple[str, ...] = ()
    detail: Any = None


class Lifted(Message, frozen=True, kw_only=True):
    """A message that the exchange of the tests does not declare."""

    type: ClassVar[str] = "tests.lifted"


class Nameless(Message, frozen=True, kw_only=True):
    """A message whose author forgot its type."""


EXCHANGE = Exchange("exchange/tests/v1", "Tests", "Of the tests.", (Landed,))
EVENTS = [Landing("main", 1, ["a"]), Landing("main", 2)]


def landed(event: Landing, **changes: Any) -> Landed:
    fields = {"routing_key": event.branch, "event_id": str(event.number), "number": event.number, **changes}
    return Landed(**fields)


def good(event: Landing) -> Iterator[Landed]:
    yield landed(event, labels=tuple(event.labels))


def gives(**changes: Any) -> Callable[[Landing], list[Message]]:
    """Give a shim whose messages have these fields."""
    return lambda event: [landed(event, **changes)]


def broken_rule(shim: Callable[[Any], Any], *events: Any) -> str:
    """Give what check_shim says of a shim that breaks a rule."""
    with pytest.raises(AssertionError) as caught:
        check_shim(shim, events or EVENTS, EXCHANGE)
    return str(caught.value)


def test_a_shim_that_keeps_the_rules_gives_its_messages() -> None:
    """What is given is what the shim made, in order, so that a test goes on with it."""
    messages = check_shim(good, EVENTS, EXCHANGE)

    assert messages == [landed(EVENTS[0], labels=("a",)), landed(EVENTS[1])]


def test_a_shim_that_remembers_is_not_pure() -> None:
    """A shim that gives something else the second time is told so, with the message."""
    seen: list[Landing] = []

    def remembers(event: Landing) -> Iterator[Landed]:
        seen.append(event)
        yield landed(event, detail=len(seen))

    said = broken_rule(remembers)

    assert "tests.landed (event_id '1') is another the second time" in said


def test_an_event_id_that_is_drawn_by_lot_is_found() -> None:
    """An id must be the same for ever: consumers drop what they have seen by it."""
    lot = random.Random(1)

    said = broken_rule(lambda event: [landed(event, event_id=str(lot.random()))])

    assert "the same for ever" in said


def test_an_id_made_of_where_an_object_lies_is_found() -> None:
    """An equal event gives an equal message, wherever it lies in memory."""
    said = broken_rule(lambda event: [landed(event, event_id=hex(id(event)))])

    assert "the same for ever" in said


def test_a_shim_that_gives_fewer_messages_the_second_time_is_found() -> None:
    """The number of messages belongs to what must not change."""
    seen: list[int] = []

    def once(event: Landing) -> list[Landed]:
        seen.append(event.number)
        return [landed(event)] if seen.count(event.number) == 1 else []

    said = broken_rule(once)

    assert "gave 1 messages" in said
    assert "then 0" in said


def test_a_shim_that_changes_its_event_is_found() -> None:
    """Several shims read one event: none may spoil it for the next."""

    def spoils(event: Landing) -> list[Landed]:
        event.labels.append("seen")
        return [landed(event)]

    said = broken_rule(spoils, Landing("main", 1))

    assert "the shim changed an event" in said


def test_an_event_that_has_no_equality_is_named() -> None:
    """Whether an event was changed can be seen of values alone."""
    said = broken_rule(lambda _event: [], object())

    assert "is not equal to its own copy" in said


def test_two_events_with_one_id_are_named() -> None:
    """Two messages with one message_id would be one for who drops duplicates."""
    said = broken_rule(gives(event_id="same"))

    assert said.count("tests.landed (event_id 'same')") == 2
    assert "an event_id of its own" in said


@pytest.mark.parametrize(("key", "length"), [("", "0 bytes"), ("ä" * 128, "256 bytes")])
def test_a_routing_key_that_amqp_cannot_carry_is_measured_in_bytes(key: str, length: str) -> None:
    """A routing key is 1 to 255 bytes of UTF-8, whatever its number of characters."""
    said = broken_rule(gives(routing_key=key))

    assert "the routing key of tests.landed" in said
    assert length in said


@pytest.mark.parametrize("detail", ["\udcff", object()])
def test_a_payload_that_is_no_json_is_named(detail: Any) -> None:
    """What cannot be written as JSON would park the invocation; the author hears of it first."""
    said = broken_rule(gives(detail=detail))

    assert "tests.landed (event_id '1') cannot be sealed" in said


def test_a_payload_that_does_not_fit_its_type_is_named_with_the_field() -> None:
    """Types of messages are not checked when they are made; consumers go by their schema."""
    said = broken_rule(gives(number="seven"))

    assert "does not fit its type" in said
    assert "$.number" in said


def test_a_number_that_json_does_not_know_is_found_by_the_schema() -> None:
    """Not-a-number is written as null, and null is no number."""

    class Measured(Message, frozen=True, kw_only=True):
        type: ClassVar[str] = "tests.measured"
        seconds: float

    infinite = Measured(routing_key="a", event_id="1", seconds=float("inf"))

    with pytest.raises(AssertionError, match="does not fit its type"):
        check_shim(lambda _event: [infinite], [1])


def test_a_message_that_the_exchange_does_not_declare_is_named_beside_those_it_does() -> None:
    """An exchange says what may be found there; the reference is made of it."""
    said = broken_rule(lambda event: [Lifted(routing_key="a", event_id=str(event.number))])

    assert "tests.lifted (event_id '1') is not declared by exchange/tests/v1" in said
    assert said.endswith("tests.landed")


def test_a_message_without_a_type_is_named_by_its_class() -> None:
    """The type is part of a message's identity and of its envelope."""
    with pytest.raises(AssertionError, match="Nameless has no type"):
        check_shim(lambda _event: [Nameless(routing_key="a", event_id="1")], [1])


def test_what_is_no_message_is_named() -> None:
    """A shim gives messages; a dictionary is none."""
    said = broken_rule(lambda event: [{"number": event.number}])

    assert "{'number': 1} is no Message" in said


def test_an_error_of_the_shim_is_its_own() -> None:
    """A shim that raises shows its own traceback, not ours."""
    with pytest.raises(ZeroDivisionError):
        check_shim(lambda event: [landed(event, number=1 // 0)], EVENTS)


def test_an_invocation_has_a_fixed_time_and_id() -> None:
    """A test says what it is about; the rest is the same in each run."""
    one = invocation("gerrit", "a", "b", stdin=b"c", environ={"USER": "d"})

    assert one == invocation("gerrit", "a", "b", stdin=b"c", environ={"USER": "d"})
    assert (one.feed, one.arguments, one.stdin, dict(one.environ)) == (
        "gerrit",
        ("a", "b"),
        b"c",
        {"USER": "d"},
    )
    assert one.recorded_at.utcoffset() is not None


def test_a_state_in_memory_gives_copies_and_counts() -> None:
    """What a source does with what it got changes nothing that is stored."""
    state = MemoryState({"refs": {"main": "1"}})

    state.get("refs")["main"] = "changed"
    state.set("other", {"a": "b"})
    state.count("private")
    state.count("private")

    assert state.get("refs") == {"main": "1"}
    assert state.get("other") == {"a": "b"}
    assert state.get("nothing") == {}
    assert state.counts == {"private": 2}


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
