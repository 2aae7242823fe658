"""How names become words of a routing key, and texts fit into a space.

A word of AMQP ends at a dot. Pulse's builders were named in keys with `.` and space written as `_`, and so
are names here: builders, workers and steps alike.
"""

import hashlib

import msgspec

from pulseshim_shims.buildbot_secrets import without_logins

WORD_BYTES = 90
"""The limit for one word: two of them, the numbers and the rest of a key stay under 255 bytes."""

_DIGEST_DIGITS = 16

_encode = msgspec.json.Encoder().encode


def word(name: str) -> str:
    """Give a name as a word of a routing key: `.` and space become `_`, all else stays as it is.

    So a name without these three is its own word; `a.b`, `a b` and `a_b` share one. A name over 90 bytes is
    cut, and `~` with 16 hexadecimal digits of the SHA-256 of the whole keeps it apart from others. Of a URL
    in a name, user and password are left out.
    """
    name = without_logins(name)
    text = name.replace(".", "_").replace(" ", "_") or "_"
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= WORD_BYTES:
        return encoded.decode()
    digest = "~" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_DIGEST_DIGITS]
    return encoded[: WORD_BYTES - len(digest)].decode(errors="ignore") + digest


def beginning(text: str, limit: int) -> str:
    """Give as much of the beginning of a text as takes at most `limit` bytes of JSON, its quotes included."""
    length = min(len(text), limit)
    while True:
        size = len(_encode(text[:length]))
        if size <= limit or not length:
            return text[:length]
        length = length * limit // (size + 1)
