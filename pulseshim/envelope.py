"""The envelope: a message sealed into the bytes that go out, with its address."""

from datetime import UTC, datetime

import msgspec

from pulseshim.errors import InvalidDeclaration
from pulseshim.exchange import Exchange
from pulseshim.message import ROUTING_KEY_BYTES, Message


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed message: address, identity and the encoded body, the same at each publishing.

    `sent` is when it was sealed, in milliseconds since 1970 (UTC). `sequence` grows by one per exchange
    and routing key.
    """

    message_id: str
    exchange: str
    routing_key: str
    sequence: int
    type: str
    version: int
    sent: int
    body: bytes


def seal(message: Message, exchange: Exchange, *, sequence: int, sent: int) -> Envelope:
    """Give the envelope of a message: UTF-8 JSON `{"payload": {…}, "_meta": {…}}`.

    Raises `InvalidDeclaration` where the routing key is not 1 to 255 bytes long or the payload is not
    representable in JSON (a text with a lone surrogate among others).
    """
    key_bytes = len(message.routing_key.encode("utf-8", "surrogatepass"))
    if not 1 <= key_bytes <= ROUTING_KEY_BYTES:
        raise InvalidDeclaration(
            f"the routing key of a {message.type} message is {key_bytes} bytes long",
            "a shim must give 1 to 255 bytes; bounded_routing_key() shortens a long text",
        )
    meta = {
        **message.meta(),
        "exchange": exchange.name,
        "routing_key": message.routing_key,
        "serializer": "json",
        "sent": rfc3339(sent),
        "message_id": message.message_id,
        "sequence": sequence,
        "type": message.type,
        "version": message.version,
    }
    try:
        body = msgspec.json.encode({"payload": message.payload(), "_meta": meta})
    except (TypeError, UnicodeError, OverflowError) as error:
        raise InvalidDeclaration(
            f"the payload of a {message.type} message cannot be written as JSON ({error})",
            "a shim must give texts, numbers, booleans, null, lists, objects and structs of them",
        ) from error
    return Envelope(
        message_id=message.message_id,
        exchange=exchange.name,
        routing_key=message.routing_key,
        sequence=sequence,
        type=message.type,
        version=message.version,
        sent=sent,
        body=body,
    )


def rfc3339(milliseconds: int) -> str:
    """Give a time in milliseconds since 1970 as RFC 3339 in UTC: `2026-11-23T23:22:39.481Z`."""
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
