"""The terminal: it shows the words of strangers, and does nothing of what they say."""

import io
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from pulseshim.commands.session import Session, progress
from pulseshim.commands.tail import show
from pulseshim.commands.terminal import console, printable_json, say
from pulseshim.consumer import Delivery

HOSTILE = "Template [/global/x.tmpl] [bold]failed :bug: \x1b[2J\x1b]0;title\x07 \x9b2J \udcff \u202e\n"
SHOWN = r"Template [/global/x.tmpl] [bold]failed :bug: \x1b[2J\x1b]0;title\x07 \x9b2J \xff \x202e\x0a"


def test_a_console_shows_words_as_they_are() -> None:
    """Alone and in a table: no markup, no names of emoji, no escape of a terminal."""
    file = io.StringIO()
    shown = console(file=file, width=200)
    table = Table(HOSTILE, box=None)
    table.add_row(HOSTILE)

    shown.print(HOSTILE)
    shown.print(table)

    assert [line.strip() for line in file.getvalue().splitlines()] == [SHOWN, SHOWN, SHOWN]


def test_how_far_a_long_work_is_is_shown_as_it_is() -> None:
    """On a terminal, at its begin and when it goes on."""
    file = io.StringIO()
    session = Session()
    session.console = console(file=file, width=200, force_terminal=True, color_system=None)

    with progress(session, f"polling {HOSTILE}"):
        pass
    with progress(session, "draining") as went_on:
        went_on(f"draining {HOSTILE}")

    assert f"polling {SHOWN}" in file.getvalue()
    assert f"draining {SHOWN}" in file.getvalue()
    assert "\x1b[2J" not in file.getvalue()


def test_lines_are_said_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """No text makes a line of its own."""
    say(HOSTILE, "  the remedy")

    assert capsys.readouterr().out == f"{SHOWN}\n  the remedy\n"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_stays_the_same_and_is_printable(text: str) -> None:
    """What a terminal would act on is escaped, other letters are not."""
    line = printable_json(msgspec.json.encode({text: [text, "ümläut"]}))

    assert json.loads(line) == {text: [text, "ümläut"]}
    assert line.isprintable()
    assert "ümläut" in line


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"_meta":{"sent":"2026","type":"t"},"payload":{"a":1}}', '2026  a.b  t  {"a":1}'),
        (b'{"_meta":null,"payload":{}}', "a.b  {}"),
        (b'{"_meta":{"sent":1,"type":["t"]}}', "1  a.b  ['t']  " + '{"_meta":{"sent":1,"type":["t"]}}'),
        (b'{"_meta":[],"payload":null}', "a.b  null"),
        (b'[{"_meta":{}}]', 'a.b  [{"_meta":{}}]'),
        (b"\xff[bold]", r'a.b  "\\xff[bold]"'),
        (b'{"_meta":{"sent":"\\u001b[2J"},"payload":"\xc2\x9b"}', r'\x1b[2J  a.b  "\x9b"'),
        (b"[" * 5000, f'a.b  "{"[" * 199}…'),
    ],
)
def test_tail_shows_any_body_in_a_line(body: bytes, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever published it, and whatever stands where the time and the type should."""
    delivery = Delivery(exchange="exchange/other/", routing_key="a.b", body=body, properties={})

    show(delivery, as_json=False)
    show(delivery, as_json=True)

    line, as_json = capsys.readouterr().out.splitlines()
    assert line == shown
    assert as_json.isprintable()
    assert json.loads(as_json)["routing_key"] == "a.b"


def test_tail_escapes_a_routing_key(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the publisher's, too."""
    key = "k\x1b]0;title\x07\x9b"

    for as_json in (False, True):
        show(Delivery(exchange="e", routing_key=key, body=b"1", properties={}), as_json=as_json)

    line, as_json_line = capsys.readouterr().out.splitlines()
    assert line == r"k\x1b]0;title\x07\x9b  1"
    assert as_json_line.isprintable()
    assert json.loads(as_json_line)["routing_key"] == key
