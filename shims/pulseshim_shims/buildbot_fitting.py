"""How a message is made to fit into a limited size: all its texts and lists are cut alike, until it does."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from pulseshim import Message
from pulseshim_shims.buildbot_words import beginning

M = TypeVar("M", bound=Message)

CUTS = ((65536, 1000), (8192, 300), (1024, 100), (256, 30), (64, 3))
"""Tried in turn: the bytes (of JSON) that each text keeps, the entries that each list and object keeps."""

_META_BYTES = 1024
_DEPTH = 8
_OWN_TIMES = 2

_encode = msgspec.json.Encoder().encode


def fitted(message: M, max_bytes: int) -> M:
    """Give a message whose envelope has at most `max_bytes`: itself, or cut and marked `truncated`."""
    room = max_bytes - _META_BYTES - _OWN_TIMES * len(_encode([message.routing_key, message.meta()]))
    if len(_encode(message.payload())) <= room:
        return message
    for text_bytes, entries in CUTS:
        parts = {
            name: shortened(part, text_bytes, entries)
            for name in message.__struct_fields__
            if name not in ("routing_key", "event_id", *message.in_meta)
            and (part := getattr(message, name)) is not msgspec.UNSET
        }
        message = msgspec.structs.replace(message, **{**parts, "truncated": True})
        if len(_encode(message.payload())) <= room:
            break
    return message


def shortened(value: Any, text_bytes: int, entries: int, depth: int = _DEPTH) -> Any:
    """Give a value with its texts cut to a number of bytes, its lists and objects to a number of entries.

    Lists and objects keep their first entries; what is nested deeper than eight levels becomes null. The
    fields of a struct all stay.
    """
    if isinstance(value, str):
        return beginning(value, text_bytes)
    if isinstance(value, msgspec.Struct):
        parts = {name: getattr(value, name) for name in value.__struct_fields__}
        cut = {
            name: shortened(part, text_bytes, entries, depth - 1)
            for name, part in parts.items()
            if part is not msgspec.UNSET
        }
        return msgspec.structs.replace(value, **cut)
    if isinstance(value, Mapping | list | tuple) and depth <= 0:
        return None
    if isinstance(value, Mapping):
        first = list(value.items())[:entries]
        return {
            beginning(key, text_bytes): shortened(part, text_bytes, entries, depth - 1) for key, part in first
        }
    if isinstance(value, list | tuple):
        return type(value)(shortened(part, text_bytes, entries, depth - 1) for part in value[:entries])
    return value
