"""The lines that git writes to the standard input of `post-receive`, and those of a baseline."""

import re
from dataclasses import dataclass

from pulseshim import readable
from pulseshim.errors import PulseshimError

_ID = rb"(?:[0-9a-f]{40}|[0-9a-f]{64})"
_UPDATE = re.compile(rb"(%s) (%s) ([^\x00]+)" % (_ID, _ID))
_REF = re.compile(rb"(%s) ([^\x00]+)" % _ID)
_REF_BYTES = 65536


class NotAPush(PulseshimError):
    """What was recorded is not what git gives to `post-receive`: look where it came from, then discard it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A ref that was pushed, with its values before and after; None: it was or is not there."""

    ref: str
    old: str | None
    new: str | None


def parse_updates(stdin: bytes) -> list[Line]:
    """Give the updates of a push, in git's order. Raises `NotAPush`."""
    lines = []
    for text in _lines(stdin):
        match = _UPDATE.fullmatch(text)
        if match is None or len(match[1]) != len(match[2]) or len(text) > _REF_BYTES:
            raise _not_a_push(text, "<old> <new> <ref>")
        lines.append(Line(_text(match[3]), _value(match[1]), _value(match[2])))
    return lines


def parse_baseline(stdin: bytes) -> dict[str, str]:
    """Give the refs of a baseline and their values, names as `readable` gives them. Raises `NotAPush`."""
    refs = {}
    for text in _lines(stdin):
        match = _REF.fullmatch(text)
        if match is None or len(text) > _REF_BYTES:
            raise _not_a_push(text, "<value> <ref>")
        refs[readable(_text(match[2]))] = match[1].decode()
    return refs


def _lines(stdin: bytes) -> list[bytes]:
    return stdin.removesuffix(b"\n").split(b"\n") if stdin else []


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _value(object_id: bytes) -> str | None:
    return object_id.decode() if object_id.strip(b"0") else None


def _not_a_push(text: bytes, expected: str) -> NotAPush:
    shown = text[:100].decode(errors="backslashreplace")
    return NotAPush(
        f"a line of a push is {shown!r} and not {expected}", "look at what recorded it, then discard it"
    )
