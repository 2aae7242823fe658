"""The terminal: what is written there is text, whoever it comes from, never markup and never an escape."""

import re
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from pulseshim.message import readable

_NOT_ASCII = re.compile(r"[^\x20-\x7e]")


class PlainConsole(Console):
    """A console that shows each string as it is, in a cell of a table, too: one line, and printable."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Give a string as text."""
        return super().render_str(printable(text), **options | {"markup": False, "emoji": False})


def console(**options: Any) -> PlainConsole:
    """Give a console for texts of any origin; `options` are those of rich's `Console`."""
    return PlainConsole(highlight=False, markup=False, emoji=False, **options)


def say(*lines: str, err: bool = False) -> None:
    """Write lines, to standard error with `err`, without what a terminal would act on."""
    click.echo("\n".join(map(printable, lines)), err=err)


def printable(text: str) -> str:
    """Give a text in one line, without what a terminal would act on."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in readable(text))


def printable_json(encoded: bytes) -> str:
    """Give encoded JSON, of one line, as the same JSON without what a terminal would act on."""
    return _NOT_ASCII.sub(
        lambda match: match[0] if match[0].isprintable() else _units(match[0]), encoded.decode()
    )


def _units(character: str) -> str:
    return re.sub("(....)", r"\\u\1", character.encode("utf-16-be").hex())
