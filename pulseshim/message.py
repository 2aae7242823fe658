"""The canonical, typed message: what a shim makes of an event."""

import hashlib
import re
import uuid
from functools import cache
from typing import Any, ClassVar

import msgspec

ROUTING_KEY_BYTES = 255
"""AMQP 0-9-1 carries a routing key as a short string: one length byte, so at most 255 bytes."""

_NAMESPACE = uuid.UUID("0c7b0a9f-6a52-5d0e-9a5c-2f6f2b6d8f11")
_DIGEST_DIGITS = 16
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message of one type. A subclass names its `type` and `version` and adds the payload's fields.

    `routing_key` and `event_id` address and identify the message and are no part of the payload:

        class ChangeMerged(Message, frozen=True, kw_only=True):
            type: ClassVar[str] = "gerrit.change-merged"
            project: str
            change: int

    `event_id` says which event of the source this is: the same event must give the same text for ever,
    two events must never give the same.
    """

    type: ClassVar[str]
    version: ClassVar[int] = 1
    in_meta: ClassVar[frozenset[str]] = frozenset()
    """Fields of a subclass that go into `_meta`, beside what always stands there, not into the payload."""

    routing_key: str
    event_id: str

    @property
    def message_id(self) -> str:
        """Give the UUID of type, version and event: the same event has the same one for ever."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.type}\n{self.version}\n{self.event_id}"))

    def meta(self) -> dict[str, Any]:
        """Give what the type of the message puts into `_meta`."""
        return {name: getattr(self, name) for name in sorted(self.in_meta)}

    def payload(self) -> dict[str, Any]:
        """Give the payload: the fields of the subclass that are set, under the names that go on the wire."""
        fields = {name: getattr(self, attribute) for attribute, name in payload_fields(type(self))}
        return {name: value for name, value in fields.items() if value is not msgspec.UNSET}


@cache  # msgspec resolves the annotations of all fields anew each time, which takes longer than encoding
def payload_fields(message_type: type[Message]) -> tuple[tuple[str, str], ...]:
    """Give attribute and wire name of each payload field of a message type."""
    return tuple(
        (field.name, field.encode_name)
        for field in msgspec.structs.fields(message_type)
        if field.name not in _unpublished(message_type)
    )


def _unpublished(message_type: type[Message]) -> frozenset[str]:
    return message_type.in_meta | {"routing_key", "event_id"}


def payload_schema(message_type: type[Message]) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of a message type's payload."""
    (schema,), definitions = msgspec.json.schema_components([message_type], ref_template="#/$defs/{name}")
    schema = definitions.pop(message_type.__name__) if "$ref" in schema else schema
    always = {
        field.encode_name
        for field in msgspec.structs.fields(message_type)
        if field.default is not msgspec.UNSET
    } - _unpublished(message_type)
    schema = {
        **schema,
        "properties": {k: v for k, v in schema["properties"].items() if k not in _unpublished(message_type)},
        "required": [name for name in schema["properties"] if name in always],
    }
    return {**schema, "$defs": definitions} if definitions else schema


def bounded_routing_key(text: str) -> str:
    """Give `text` as a routing key: itself, or its beginning and a digest where it is over 255 bytes.

    The digest (`~` and 16 hexadecimal digits of the SHA-256 of the whole) keeps two long keys apart.
    Bytes that are not UTF-8 (surrogates of `os.fsdecode`) become `\\xNN`.
    """
    encoded = readable(text).encode()
    if len(encoded) <= ROUTING_KEY_BYTES:
        return encoded.decode()
    digest = "~" + hashlib.sha256(encoded).hexdigest()[:_DIGEST_DIGITS]
    return encoded[: ROUTING_KEY_BYTES - len(digest)].decode(errors="ignore") + digest


def readable(text: str) -> str:
    """Give `text` without surrogates: each byte that was not UTF-8 is shown as `\\xNN`.

    Other surrogates, which JSON may carry as halves of a pair, become U+FFFD.
    """
    return _HALVES.sub("\ufffd", text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
