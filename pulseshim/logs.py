"""Logs: one line an event on standard error, with its ids, as text or as JSON."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from pulseshim.message import readable

# urllib3 logs the query of each URL, in which a key may stand; websockets each header, the password's too.
_LIBRARIES = (
    "apscheduler",
    "amqp",
    "bugzilla",
    "kombu",
    "git",
    "requests",
    "urllib3",
    "websockets",
)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, style: str, stream: TextIO | None = None) -> None:
    """Send the log of this process to a stream; `style` is "text" or "json"."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    # It calls it an error to be stopped while something happens. What it misses, the reader's rescan finds.
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)


def fields(record: logging.LogRecord) -> dict[str, object]:
    """Give what a record says beside its message: the values passed as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class TextFormatter(logging.Formatter):
    """`2026-11-23T23:22:39.481Z info message nacked message_id=… account=…`: for people and for grep.

    Control characters, which may come from a hostile file name, are escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Give the line of a record."""
        words = [_time(record), record.levelname.lower(), _escaped(record.getMessage())]
        words += [f"{name}={_plain(value)}" for name, value in fields(record).items()]
        line = " ".join(words)
        trace = self.formatException(record.exc_info).split("\n") if record.exc_info else []
        return "\n".join([line, *map(_escaped, trace)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `event`, and what the event brings with it."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line of a record."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _escaped(text: str) -> str:
    text = readable(text)
    return text if text.isprintable() else json.dumps(text)[1:-1]


def _plain(value: object) -> str:
    """Give a value in one word, or quoted, without anything a terminal would act on."""
    if isinstance(value, list | tuple | set):
        return "[" + ",".join(map(_plain, value)) + "]"
    text = readable(str(value))
    return text if text.isprintable() and " " not in text and text else json.dumps(text)
