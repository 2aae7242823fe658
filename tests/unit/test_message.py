"""Messages: identities that never change, payloads, schemas and routing keys."""

from typing import ClassVar

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pulseshim import Message, bounded_routing_key, readable
from pulseshim.message import payload_schema


class Landed(Message, frozen=True, kw_only=True):
    """A change has landed."""

    type: ClassVar[str] = "tests.landed"
    number: int
    note: str | None = None
    link: str | msgspec.UnsetType = msgspec.UNSET


class LandedAgain(Message, frozen=True, kw_only=True):
    """The same in another version of its payload."""

    type: ClassVar[str] = "tests.landed"
    version: ClassVar[int] = 2
    number: int


class Renamed(Message, frozen=True, kw_only=True):
    """A message whose payload has names that Python does not allow as they are."""

    type: ClassVar[str] = "tests.renamed"
    kind: str = msgspec.field(name="type")
    old_value: str = msgspec.field(name="old-value")


class Person(msgspec.Struct, frozen=True):
    """Somebody."""

    name: str
    email: str | msgspec.UnsetType = msgspec.UNSET


class Signed(Message, frozen=True, kw_only=True):
    """A message that holds a table of its own."""

    type: ClassVar[str] = "tests.signed"
    by: Person


FILE_NAMES = st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))
LONG = st.text(min_size=256, max_size=400)


def landed(event_id: str = "1", *, note: str | None = None) -> Landed:
    return Landed(routing_key="main", event_id=event_id, number=1, note=note)


@pytest.mark.parametrize(
    ("message", "message_id"),
    [
        (landed("1"), "0426ac4c-b01f-5b6e-b319-e884a3b372b5"),
        (landed("a\u00e4 \U0001f600"), "6cc7a3ac-34f0-570f-826a-ae9866c89def"),
        (
            LandedAgain(routing_key="main", event_id="1", number=1),
            "3ebee275-5b10-5bcc-ad2c-a9119b91625c",
        ),
    ],
)
def test_a_message_id_is_the_same_for_ever(message: Message, message_id: str) -> None:
    """Consumers drop what they have seen by it: a release that changes one of these breaks them."""
    assert message.message_id == message_id


def test_a_message_id_depends_on_the_event_alone() -> None:
    """Where a message goes, and what is said of the event, does not make it another event."""
    first = Landed(routing_key="main", event_id="1", number=1)
    second = Landed(routing_key="other", event_id="1", number=2, note="corrected")

    assert first.message_id == second.message_id


def test_type_and_version_are_part_of_the_identity() -> None:
    """The same event told in two versions is two messages: a consumer may want either."""
    message_ids = {
        landed("1").message_id,
        LandedAgain(routing_key="main", event_id="1", number=1).message_id,
        Renamed(routing_key="main", event_id="1", kind="a", old_value="b").message_id,
    }

    assert len(message_ids) == 3


def test_address_and_identity_are_no_part_of_the_payload() -> None:
    """The payload is what the source has to say, frozen payloads have no room for more."""
    payload = landed(note="good").payload()

    assert payload == {"number": 1, "note": "good"}


def test_a_field_that_is_none_is_null_and_one_that_is_unset_is_left_out() -> None:
    """Null is a value; what a source does not know at all is not named."""
    unset = landed().payload()
    filled = Landed(routing_key="main", event_id="1", number=1, link="https://example.org").payload()

    assert unset == {"number": 1, "note": None}
    assert filled == {"number": 1, "note": None, "link": "https://example.org"}


def test_a_payload_has_the_names_that_go_on_the_wire() -> None:
    """Keys that are no Python names, or are taken, are given by `msgspec.field(name=…)`."""
    payload = Renamed(routing_key="main", event_id="1", kind="push", old_value="x").payload()

    assert payload == {"type": "push", "old-value": "x"}


def test_a_schema_describes_the_payload_alone_and_requires_what_is_always_there() -> None:
    """A field with a default is written all the same, so a consumer may count on it; an unset one is not."""
    schema = payload_schema(Landed)

    assert sorted(schema["properties"]) == ["link", "note", "number"]
    assert sorted(schema["required"]) == ["note", "number"]
    assert schema["description"] == "A change has landed."


def test_a_schema_has_the_names_that_go_on_the_wire() -> None:
    """It is what a consumer checks payloads with."""
    schema = payload_schema(Renamed)

    assert sorted(schema["properties"]) == sorted(schema["required"]) == ["old-value", "type"]


def test_a_schema_defines_the_tables_that_a_payload_holds() -> None:
    """Every reference in it can be followed."""
    schema = payload_schema(Signed)

    assert schema["properties"] == {"by": {"$ref": "#/$defs/Person"}}
    assert schema["$defs"]["Person"]["required"] == ["name"]


def test_a_message_cannot_be_changed() -> None:
    """It is a value, which observers and several exchanges may share."""
    message = landed()

    with pytest.raises(AttributeError):
        message.number = 2  # type: ignore[misc] # that is the point


@settings(deadline=None)  # the machine may be busy
@given(st.one_of(st.text(), LONG, FILE_NAMES))
def test_a_bounded_routing_key_is_always_one_that_amqp_carries(text: str) -> None:
    """At most 255 bytes of valid UTF-8, and bounding it again changes nothing."""
    key = bounded_routing_key(text)

    assert len(key.encode()) <= 255
    assert bounded_routing_key(key) == key


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=255, alphabet=st.characters(max_codepoint=127)))
def test_a_short_routing_key_is_left_as_it_is(text: str) -> None:
    """Only what is over 255 bytes is shortened."""
    key = bounded_routing_key(text)

    assert key == text


@settings(deadline=None)  # the machine may be busy
@given(LONG, LONG)
def test_two_long_routing_keys_stay_two(first: str, second: str) -> None:
    """Their order is kept per key: two long names with the same beginning must not fall together."""
    assume(first != second)

    assert bounded_routing_key(first) != bounded_routing_key(second)
    assert bounded_routing_key("x" * 300 + first) != bounded_routing_key("x" * 300 + second)


def test_a_long_routing_key_keeps_its_beginning_and_is_the_same_for_ever() -> None:
    """Bindings match on the first words, and consumers tell keys apart by the whole."""
    key = bounded_routing_key("group." + "x" * 300)

    assert key == "group." + "x" * 232 + "~199c4587d987aba0"


def test_a_character_is_not_cut_in_two() -> None:
    """A key is shortened between characters, not inside the bytes of one."""
    key = bounded_routing_key("a" + "€" * 100)

    assert key.startswith("a" + "€" * 79 + "~")
    assert len(key.encode()) == 255


def test_a_byte_that_is_no_utf_8_is_shown_by_its_number() -> None:
    """A file name may hold any byte; a routing key and a log line may not."""
    name = b"caf\xe9/\xff".decode("utf-8", "surrogateescape")

    assert readable(name) == bounded_routing_key(name) == "caf\\xe9/\\xff"


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_text_without_surrogates_is_readable_as_it_is(text: str) -> None:
    """Only what no encoding can carry is replaced."""
    assert readable(text) == text


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet=st.characters(categories=["Cs", "Lu"])))
def test_any_text_at_all_becomes_readable(text: str) -> None:
    """JSON may carry half of a surrogate pair, which no encoding does: it must not stop a log line."""
    shown = readable(text)

    assert shown.encode().decode() == shown
