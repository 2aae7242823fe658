"""What pulseshim.testing promises to the authors of plugins."""

import random
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from pulseshim import Message
from pulseshim.testing import MemoryState, check_shim, invocation
from tests.unit.landings import EXCHANGE, Landed, Landing, landed


class Lifted(Message, frozen=True, kw_only=True):
    """A message that the exchange of the tests does not declare."""

    type: ClassVar[str] = "tests.lifted"


class Nameless(Message, frozen=True, kw_only=True):
    """A message whose author forgot its type."""


EVENTS = [Landing("main", 1, ["a"]), Landing("main", 2)]


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
