"""The reporter inside a master: it never disturbs a build, and tells what the listener tells."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulseshim import Checkpoint, Message
from pulseshim.spool import Spool
from pulseshim.testing import MemoryState
from pulseshim_plugins.buildbot_listen import catch_up
from pulseshim_plugins.buildbot_options import MasterOptions
from pulseshim_plugins.buildbot_recorded import read_build
from pulseshim_shims.buildbot import buildbot_messages
from tests.buildbot_master import BuildbotMaster

REPORTING = """
from pulseshim_plugins.buildbot_reporter import PulseshimReporter
SERVICES = [PulseshimReporter("ci", spool={spool!r})]
"""


@pytest.fixture
def reporting(tmp_path: Path) -> Iterator[BuildbotMaster]:
    """Give a master with the reporter, whose spool is not there."""
    (tmp_path / "master").mkdir()
    found = BuildbotMaster(tmp_path / "master", REPORTING.format(spool=str(tmp_path / "spool")))
    try:
        found.start()
        found.start_worker()
        yield found
    finally:
        found.end()


def recorded(spool: Path, options: MasterOptions) -> list[Message]:
    """Give the messages of what was recorded, in the order of recording."""
    opened = Spool(spool, largest=10**8)
    return [
        message
        for name in opened.names()
        for event in read_build(opened.read(name, time.time_ns())[0], MemoryState(), options)
        for message in buildbot_messages(event)
    ]


def test_a_spool_that_cannot_be_written_holds_up_no_build(reporting: BuildbotMaster, tmp_path: Path) -> None:
    """Builds go on and the log says why nothing is recorded; what waited is recorded once it can be.

    Its messages have the ids that the listener's have, and the same payload.
    """
    options, spool = MasterOptions(url=reporting.url, heartbeat="0s"), tmp_path / "spool"
    state = MemoryState()
    list(catch_up(state, options))

    results = [reporting.build(builder)["results"] for builder in ("good", "bad")]
    log = (reporting.directory / "master.out").read_text()
    for name in ("tmp", "new"):
        os.makedirs(spool / name)
    reporting.wait_until(lambda: len(os.listdir(spool / "new")) == 4, "recorded")

    heard = [
        message
        for event in catch_up(state, options)
        if not isinstance(event, Checkpoint)
        for message in buildbot_messages(event)
        if message.routing_key.startswith("build.")
    ]
    told = {message.message_id: message for message in recorded(spool, options)}
    assert results == [0, 2]
    assert f"pulseshim: {spool} cannot be written" in log
    assert set(told) == {message.message_id for message in heard}
    for message in heard:
        if not message.routing_key.endswith("started"):  # the properties of a start are those at its reading
            assert told[message.message_id].payload() == message.payload()
