"""A plugin with one feed, installed beside the others for a run that is to be disturbed."""

from pathlib import Path

import pytest

PLUGIN = '''\
"""A feed of numbers: each invocation is one, under the routing key it names."""

from typing import ClassVar

from pulseshim import Exchange, Feed, HookSource, Message, hookimpl


class Number(Message, frozen=True, kw_only=True):
    type: ClassVar[str] = "fault.number"
    number: int


def read(invocation, state):
    last = int(state.get("last").get("number", "0"))
    state.set("last", {"number": str(last + 1)})
    yield invocation.id, invocation.arguments[0], int(invocation.arguments[1])


def messages(event):
    identity, key, number = event
    yield Number(routing_key=key, event_id=identity, number=number)


@hookimpl
def pulseshim_feeds():
    exchange = Exchange("exchange/fault/", "Numbers", "Numbers.", (Number,))
    return [Feed("fault", HookSource(read), messages, exchange)]
'''


@pytest.fixture
def plugin_path(tmp_path: Path) -> Path:
    """Give a directory for PYTHONPATH that holds the plugin `fault` with its distribution."""
    directory = tmp_path / "plugins"
    information = directory / "pulseshim_fault-1.dist-info"
    information.mkdir(parents=True)
    (directory / "pulseshim_fault.py").write_text(PLUGIN)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: pulseshim-fault\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[pulseshim]\nfault = pulseshim_fault\n")
    return directory
