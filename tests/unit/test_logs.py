"""Logs: one line an event, as text or as JSON, whatever it is about."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseshim.logs import JsonFormatter, TextFormatter, configure, fields

TIME = 1795476159.481
ANYTHING = st.text(alphabet=st.characters(categories=["Cc", "Cs", "Cf", "Zl", "Zp", "Zs", "Lu", "Po"]))

FILE_NAMES = st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))


def event(message: str, /, *arguments: object, **extra: object) -> logging.LogRecord:
    """Give an event as a logger makes it; a value `error` is the exception it is about."""
    error = extra.pop("error", None)
    exc_info = (type(error), error, None) if isinstance(error, Exception) else None
    logger = logging.getLogger("pulseshim.tests")
    record = logger.makeRecord(
        logger.name, logging.WARNING, "file", 1, message, arguments, exc_info, extra=extra
    )
    record.created = TIME
    return record


def text(message: str, /, **extra: object) -> str:
    return TextFormatter().format(event(message, **extra))


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """Give the root logger, and put it back as it was."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_a_line_says_when_how_bad_what_and_about_what() -> None:
    """In the order in which one reads it; ids can be searched for as they are."""
    line = text("message nacked", message_id="3af1-bbb3", account="", count=3, tries=None)

    assert line == (
        '2026-11-23T23:22:39.481Z warning message nacked message_id=3af1-bbb3 account="" count=3 tries=None'
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("a\nb", '"a\\nb"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("\u202eright to left", '"\\u202eright to left"'),
        ("caf\udce9", "caf\\xe9"),
        ("\ud800", "\ufffd"),
        ("größe", "größe"),
        (["a", "b c"], '[a,"b c"]'),
        (("a", 1), "[a,1]"),
        ([], "[]"),
        (b"\xff", "b'\\xff'"),
    ],
)
def test_a_value_is_one_word_or_quoted(value: object, shown: str) -> None:
    """A hostile file name cannot begin a line of its own nor colour a terminal."""
    line = text("file set aside", path=value)

    assert line.partition("path=")[2] == shown


@settings(deadline=None)  # the machine may be busy
@given(ANYTHING, ANYTHING)
def test_an_event_is_one_printable_line(value: str, other: str) -> None:
    """Whatever control characters, halves of surrogates or separators its values hold."""
    line = text("file set aside", path=value, others=[other])

    assert line.isprintable()
    assert line.encode()


@settings(deadline=None)  # the machine may be busy
@given(FILE_NAMES, FILE_NAMES)
def test_json_is_one_object_a_line_with_every_value_as_it_was(value: str, other: str) -> None:
    """A program reads back what was said."""
    line = JsonFormatter().format(event("file set aside", path=value, others=[other], count=3))

    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-11-23T23:22:39.481Z",
        "level": "warning",
        "logger": "pulseshim.tests",
        "event": "file set aside",
        "path": value,
        "others": [other],
        "count": 3,
    }


def test_json_holds_values_that_it_does_not_know_as_text() -> None:
    """A path or an error is no reason to lose the line."""
    line = JsonFormatter().format(event("failed", cause=ValueError("no")))

    assert json.loads(line)["cause"] == "no"


def test_a_traceback_follows_its_line_as_text_and_is_part_of_it_as_json() -> None:
    """A program gets one object still."""
    record = event("observer failed", error=ValueError("broken\x1b[31m"), plugin="tests")

    as_text, as_json = TextFormatter().format(record), json.loads(JsonFormatter().format(record))

    first, *_, last = as_text.splitlines()
    assert first.endswith("warning observer failed plugin=tests")
    assert last == "ValueError: broken\\u001b[31m"
    assert as_json["traceback"].endswith("ValueError: broken\x1b[31m")


def test_what_logging_itself_notes_is_no_value_of_the_event() -> None:
    """Only what was passed as `extra` is shown."""
    record = event("done", feed="git")
    logging.Formatter().format(record)

    assert fields(record) == {"feed": "git"}


@settings(deadline=None)  # the machine may be busy
@given(ANYTHING)
def test_a_message_of_a_library_is_one_line_too(argument: str) -> None:
    """Libraries put values into their messages; those may be hostile as well."""
    record = event("cannot open %s", argument)

    assert TextFormatter().format(record).isprintable()


@pytest.mark.parametrize(("style", "begin"), [("json", "{"), ("text", "20")])
def test_the_log_of_a_process_goes_to_one_stream_in_one_style(
    root: logging.Logger, style: str, begin: str
) -> None:
    """Configured twice, it still says everything once."""
    stream = io.StringIO()
    configure("info", style, io.StringIO())
    configure("info", style, stream)

    logging.getLogger("pulseshim.tests").info("one", extra={"feed": "git"})
    logging.getLogger("pulseshim.tests").debug("two")

    (line,) = stream.getvalue().splitlines()
    assert line.startswith(begin)
    assert (len(root.handlers), "one" in line) == (1, True)


def test_libraries_are_heard_only_when_something_is_wrong(root: logging.Logger) -> None:
    """Their chatter is no event of ours, at whatever level ours are shown."""
    stream = io.StringIO()
    configure("debug", "text", stream)

    chatty = ("apscheduler.scheduler", "amqp", "kombu.connection", "git.cmd")
    for library in (*chatty, "websockets.client"):
        logging.getLogger(library).info("chatter")
        logging.getLogger(library).warning("trouble")

    assert root.level == logging.DEBUG
    assert [line.split()[1:] for line in stream.getvalue().splitlines()] == [["warning", "trouble"]] * 5
