"""A master whose database is another: what it tells is new, though its numbers were told before."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulseshim import Checkpoint, Message
from pulseshim.spool import Spool
from pulseshim.testing import MemoryState
from pulseshim_plugins.buildbot_history import HISTORIES
from pulseshim_plugins.buildbot_listen import catch_up
from pulseshim_plugins.buildbot_options import MasterOptions
from pulseshim_plugins.buildbot_recorded import read_build
from pulseshim_shims.buildbot import buildbot_messages
from tests.buildbot_master import BuildbotMaster, running_master
from tests.buildbot_rows import master_answer
from tests.web import Web

REPORTING = """
from pulseshim_plugins.buildbot_reporter import PulseshimReporter
SERVICES = [PulseshimReporter("ci", spool={spool!r})]
"""


@pytest.fixture
def reporting(tmp_path: Path) -> Iterator[BuildbotMaster]:
    """Give a master with the reporter, and its spool."""
    for name in ("tmp", "new"):
        os.makedirs(tmp_path / "spool" / name)
    with running_master(tmp_path / "master", REPORTING.format(spool=str(tmp_path / "spool"))) as found:
        yield found


@pytest.fixture
def web() -> Iterator[Web]:
    """Give a server that answers as the test says."""
    found = Web()
    yield found
    found.close()


def told(state: MemoryState, options: MasterOptions, now: float) -> dict[str, str]:
    """Give the routing keys of what one look tells of, by message id."""
    events = catch_up(state, options, lambda: now)
    messages = [m for event in events if not isinstance(event, Checkpoint) for m in buildbot_messages(event)]
    return {message.message_id: message.routing_key for message in messages}


def recorded(spool: Path, state: MemoryState, options: MasterOptions) -> dict[str, str]:
    """Give the routing keys of what was recorded, by message id, and leave nothing of it."""
    opened = Spool(spool, largest=10**8)
    found: list[Message] = []
    for name in list(opened.names()):
        invocation, _ = opened.read(name, time.time_ns())
        opened.remove(name)
        for event in read_build(invocation, state, options):
            found += buildbot_messages(event)
    return {message.message_id: message.routing_key for message in found}


def of_builds(keys: dict[str, str]) -> dict[str, str]:
    """Give those of builds alone."""
    return {message_id: key for message_id, key in keys.items() if key.startswith("build.")}


def test_a_master_whose_database_was_restored_is_told_of_under_ids_of_its_own(
    reporting: BuildbotMaster, tmp_path: Path
) -> None:
    """Builds, requests and changes have old numbers; listener and reporter agree on the new ids."""
    options, state, spool = (
        MasterOptions(url=reporting.url, heartbeat="0s"),
        MemoryState(),
        tmp_path / "spool",
    )
    database = reporting.directory / "master" / "state.sqlite"

    def work() -> None:
        reporting.send_change(author="ada", comments="x", revision="1")
        reporting.wait_until(lambda: reporting.rows("builds?complete=true"), "built")
        reporting.wait_until(lambda: not reporting.rows("buildrequests?complete=false"), "done")
        reporting.wait_until(lambda: len(os.listdir(spool / "new")) == 2, "recorded")

    nothing = told(state, options, 1000.0)
    reporting.stop()
    shutil.copyfile(database, tmp_path / "backup")
    reporting.start()
    reporting.wait_until(reporting.is_connected, "connected")
    work()
    first, first_recorded = told(state, options, 1010.0), recorded(spool, state, options)
    reporting.stop()
    shutil.copyfile(tmp_path / "backup", database)
    reporting.start()
    reporting.wait_until(reporting.is_connected, "connected")
    restored = told(state, options, 1020.0)
    work()
    second, second_recorded = told(state, options, 1030.0), recorded(spool, state, options)

    assert (nothing, restored) == ({}, {})
    assert sorted(first.values()) == sorted(second.values())
    assert {"change.1.added", "build.good.1.finished", "request.good.submitted"} <= set(first.values())
    assert not set(first) & set(second)
    assert (of_builds(first), of_builds(second)) == (first_recorded, second_recorded)


def test_each_time_that_a_master_begins_anew_its_ids_are_others(web: Web) -> None:
    """Also where the clock was set back in between, and the history is kept over a change of the address."""
    options, state = MasterOptions(url=web.url, heartbeat="0s"), MemoryState()
    elsewhere = MasterOptions(url=web.url.replace("127.0.0.1", "localhost"), heartbeat="0s")
    looks = []

    for now in (1000.0, 1000.0, 900.0):
        web.answer = lambda path, _number: master_answer(path, filled=False)
        looks.append(told(state, options, now))
        web.answer = lambda path, _number: master_answer(path, filled=True)
        looks.append(told(state, options, now))
    histories = state.get(HISTORIES)
    away = [told(state, elsewhere, 1100.0), told(state, options, 1100.0)]

    assert looks[::2] == away[:1] * 3 == [{}] * 3
    assert len({message_id for look in looks for message_id in look}) == 3 * len(looks[1]) > 0
    assert away[1] == {}
    assert state.get(HISTORIES) == histories == {web.url.split("/")[2]: "1001"}
