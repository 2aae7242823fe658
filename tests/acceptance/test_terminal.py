"""What a source, a broker or a plugin says may hold anything: each verb shows it as it is and goes on."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TEXT = r"Template [/global/x.tmpl] [bold]failed :bug: \x1b[2J \x9b2J"
"""As it is shown; what is said has an escape and a C1 control in it."""
PLUGIN = f'''
"""A plugin whose source and problems speak in brackets and escapes."""

from datetime import timedelta
from typing import ClassVar

from pulseshim import Exchange, Feed, Message, PollSource, Problem, hookimpl
from pulseshim.errors import SourceUnavailable

TEXT = "{TEXT}"


class Told(Message, frozen=True, kw_only=True):
    """A message."""

    type: ClassVar[str] = "hostile.told"


EXCHANGE = Exchange("exchange/hostile/", "Hostile", "Of the tests.", (Told,))


def fails(_asked):
    raise SourceUnavailable(TEXT)


def shim(text):
    yield Told(routing_key="a", event_id=text)


@hookimpl
def pulseshim_problems(settings):
    return [Problem(TEXT, TEXT, TEXT)]


@hookimpl
def pulseshim_feeds(settings):
    hour = timedelta(hours=1)
    return [
        Feed("hostile.fails", PollSource(fails, hour), shim, EXCHANGE),
        Feed("hostile.waits", PollSource(lambda _state: ["one"], hour), shim, EXCHANGE, None, fails),
    ]
'''

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Give what runs a verb beside the hostile plugin."""
    (tmp_path / "hostile.py").write_text(PLUGIN)
    distribution = tmp_path / "hostile-1.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1\n")
    (distribution / "entry_points.txt").write_text("[pulseshim]\nhostile = hostile\n")
    (tmp_path / "pulseshim.toml").write_text('[store]\ndirectory = "store"\n[plugins.hostile]\n')

    def verb(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "pulseshim", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return verb


def test_verbs_show_what_is_said_as_it_is(run: Run) -> None:
    """`poll`, `drain`, `status` and `check`: with brackets, without control characters, and no defect."""
    done = {
        "poll": run("poll", "--timeout", "0.5"),
        "drain": run("drain", "--timeout", "5"),
        "status": run("status"),
        "check": run("check"),
    }

    shown = {verb: each.stdout + each.stderr for verb, each in done.items()}
    assert {verb: each.returncode for verb, each in done.items()} == {
        "poll": 1,
        "drain": 1,
        "status": 0,
        "check": 1,
    }
    for verb, text in shown.items():
        assert TEXT in text, verb
        assert text.replace("\n", "").isprintable(), verb
    assert f"admission exchange/hostile/: held back: {TEXT}" in shown["drain"]
