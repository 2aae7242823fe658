"""Envelopes: the exact bytes that go out, and what cannot be sealed."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseshim import Envelope, Exchange, Message
from pulseshim.envelope import rfc3339, seal
from pulseshim.errors import InvalidDeclaration


class Landed(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.landed"
    version: ClassVar[int] = 3
    number: int = 1
    detail: Any = None
    link: str | msgspec.UnsetType = msgspec.UNSET


EXCHANGE = Exchange("exchange/tests/v1", "Tests", "Of the tests.", (Landed,))
SENT = 1795476159481


def sealed(*, routing_key: str = "main", detail: Any = None) -> Envelope:
    message = Landed(routing_key=routing_key, event_id="1", detail=detail)
    return seal(message, EXCHANGE, sequence=42, sent=SENT)


def test_the_bytes_of_an_envelope_are_fixed() -> None:
    """Payload first, then `_meta`, each in a fixed order; no space, UTF-8 as it is, unset fields left out."""
    envelope = sealed(routing_key="größe", detail={"b": [1, 2.5, None, True], "a": "\u20ac\n"})

    assert (
        envelope.body
        == (
            '{"payload":{"number":1,"detail":{"b":[1,2.5,null,true],"a":"€\\n"}},'
            '"_meta":{"exchange":"exchange/tests/v1","routing_key":"größe","serializer":"json",'
            '"sent":"2026-11-23T23:22:39.481Z","message_id":"6ef17fe6-1005-5d4c-8ebc-0bd84f8ae613",'
            '"sequence":42,"type":"tests.landed","version":3}}'
        ).encode()
    )


def test_an_envelope_carries_its_address_and_identity_beside_the_bytes() -> None:
    """What AMQP's own fields are filled with is what `_meta` says."""
    envelope = sealed()
    meta = msgspec.json.decode(envelope.body)["_meta"]

    beside = {name: getattr(envelope, name) for name in meta if name not in ("serializer", "sent")}

    assert beside == {name: value for name, value in meta.items() if name not in ("serializer", "sent")}
    assert meta["sent"] == rfc3339(envelope.sent)


def test_sealing_again_gives_the_same_envelope() -> None:
    """Nothing in it is drawn by lot or taken from a clock."""
    first, second = sealed(detail=[1]), sealed(detail=[1])

    assert first == second


def test_a_payload_of_tables_is_written_field_by_field() -> None:
    """Structs within a payload become objects."""

    class Person(msgspec.Struct, frozen=True):
        name: str
        email: str | msgspec.UnsetType = msgspec.UNSET

    payload = msgspec.json.decode(sealed(detail=[Person(name="a")]).body)["payload"]

    assert payload["detail"] == [{"name": "a"}]


@pytest.mark.parametrize("key", ["a", "a" * 255, "ä" * 127, "group/project", "a b.#*"])
def test_a_routing_key_of_1_to_255_bytes_is_taken_as_it_is(key: str) -> None:
    """AMQP asks for no more; what its words mean is the feed's to say."""
    envelope = sealed(routing_key=key)

    assert envelope.routing_key == key


@pytest.mark.parametrize(
    ("key", "length"), [("", "0 bytes"), ("a" * 256, "256 bytes"), ("ä" * 128, "256 bytes")]
)
def test_a_routing_key_that_amqp_cannot_carry_is_refused(key: str, length: str) -> None:
    """It would close the channel, and with it what else is in flight."""
    with pytest.raises(
        InvalidDeclaration, match=f"tests.landed message is {length} long: .*bounded_routing_key"
    ):
        sealed(routing_key=key)


@pytest.mark.parametrize(
    "detail", [object(), "\udcff", {"\udcff": 1}, {1.5j: 1}], ids=lambda detail: type(detail).__name__
)
def test_a_payload_that_is_no_json_is_refused_by_its_type(detail: Any) -> None:
    """The message's type is named, so that its author is found."""
    with pytest.raises(InvalidDeclaration, match=r"payload of a tests\.landed message cannot be written"):
        sealed(detail=detail)


def test_a_routing_key_with_a_lone_surrogate_is_refused() -> None:
    """It stands in `_meta`, too."""
    with pytest.raises(InvalidDeclaration, match="cannot be written as JSON"):
        sealed(routing_key="\udcff")


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (SENT, "2026-11-23T23:22:39.481Z"),
    ],
)
def test_a_time_is_written_with_milliseconds_in_utc(milliseconds: int, text: str) -> None:
    """The same length at any time, so that it sorts as text."""
    assert rfc3339(milliseconds) == text


@settings(deadline=None)  # the machine may be busy
@given(st.integers(min_value=0, max_value=2**33 * 1000))
def test_no_millisecond_is_lost_in_writing_a_time(milliseconds: int) -> None:
    """Who reads it back has the time that is in the envelope, until the year 2242."""
    read = datetime.fromisoformat(rfc3339(milliseconds))

    assert (read - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1) == milliseconds
