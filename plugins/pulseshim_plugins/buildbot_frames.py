"""What a master says of its events, as bytes: SSE text, the JSON in it, and the hints that gives."""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pulseshim_shims.buildbot_payload import Row

_KEY_WORDS = 3
_LONGEST = 16 * 1024 * 1024
_NUMBER = re.compile(r"[0-9]{1,18}")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_MARK = "\ufeff".encode()


class Hint(NamedTuple):
    """Where something happened: a resource such as `builds`, the number in it, and its row at that time."""

    resource: str
    number: int
    row: Row


class EventStream:
    """The text of an SSE stream, taken in pieces that may be cut anywhere.

    As the WHATWG has it: a line ends in CR, LF or both, `data` may have several lines, a line that begins
    with a colon is a comment. https://html.spec.whatwg.org/multipage/server-sent-events.html
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._size = 0
        self._behind_cr = False
        self._begun = False
        self._name = ""
        self._data: list[str] = []

    def take(self, piece: bytes) -> list[tuple[str, str]]:
        """Give the events that end in a piece, each with its name and data.

        Raises ValueError once an event is over 16 MiB.
        """
        # A line that ended in CR may have had its LF cut off.
        rest = piece.removeprefix(b"\n") if self._behind_cr else piece
        if piece:
            self._behind_cr = piece.endswith(b"\r")
        first, *others = _LINE_END.split(rest)
        self._keep(first)
        events = []
        for other in others:
            events += self._end_line()
            self._keep(other)
        return events

    def _keep(self, part: bytes) -> None:
        self._line.append(part)
        self._size += len(part)
        if self._size > _LONGEST:
            raise ValueError("the SSE stream has an event that does not end")

    def _end_line(self) -> list[tuple[str, str]]:
        line = b"".join(self._line)
        self._line = []
        if not self._begun:
            self._begun, line = True, line.removeprefix(_MARK)
        if not line:
            event = (self._name, "\n".join(self._data))
            is_one = bool(self._data)
            self._name, self._data, self._size = "", [], 0
            return [event] if is_one else []
        field, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if field == b"event":
            self._name = text
        elif field == b"data":
            self._data.append(text)
        else:  # a comment, or what nobody here needs
            self._size -= len(line)
        return []


def decoded(content: str | bytes) -> Any:
    """Give what JSON says. Raises ValueError where it is none, or is nested too deep.

    Halves of surrogate pairs, which JSON may have and UTF-8 may not, become question marks.
    """
    text = content if isinstance(content, str) else content.decode("utf-8-sig")
    try:
        found = json.loads(text)
        if "\\ud" in text.lower():
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    return found


def decoded_object(content: str | bytes) -> dict[str, Any]:
    """Give the object that is JSON in a text. Raises ValueError where there is none."""
    found = decoded(content)
    if not isinstance(found, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - it is the text that is wrong
    return found


def hints(key: Any, row: Any) -> list[Hint]:
    """Give the hint of a key such as `builds`, `7`, `new` and a row; none where they are no such thing."""
    if not isinstance(key, Sequence) or len(key) != _KEY_WORDS or not isinstance(row, dict):
        return []
    resource, number, _ = key
    if not isinstance(resource, str) or "/" in resource or not _NUMBER.fullmatch(str(number)):
        return []
    return [Hint(resource, int(number), row)]
