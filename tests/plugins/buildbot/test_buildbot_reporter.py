"""The reporter inside a master: it never disturbs a build, and tells what the listener tells."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.python import log

from pulseshim import Checkpoint, Message
from pulseshim.spool import Spool
from pulseshim.testing import MemoryState
from pulseshim_plugins.buildbot_listen import catch_up
from pulseshim_plugins.buildbot_options import MasterOptions
from pulseshim_plugins.buildbot_recorded import read_build
from pulseshim_plugins.buildbot_reporter import LONGEST_QUEUE, Writer
from pulseshim_shims.buildbot import buildbot_messages
from tests.buildbot_master import BuildbotMaster, running_master

REPORTING = """
from pulseshim_plugins.buildbot_reporter import PulseshimReporter
SERVICES = [PulseshimReporter("ci", spool={spool!r})]
"""


@pytest.fixture
def reporting(tmp_path: Path) -> Iterator[BuildbotMaster]:
    """Give a master with the reporter, whose spool is not there."""
    with running_master(tmp_path / "master", REPORTING.format(spool=str(tmp_path / "spool"))) as found:
        yield found


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


class Disk:
    """Where a writer puts builds: it is full, or does not answer, while it is told so."""

    def __init__(self) -> None:
        self.is_full = True
        self.answers = threading.Event()
        self.answers.set()
        self.tries = 0
        self.held: list[int] = []

    def put(self, _state: bytes, content: bytes, _now: int) -> None:
        """Take a number, or not."""
        self.tries += 1
        self.answers.wait()
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.held.append(int(content))


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.answers.set()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Give the lines of ours in the master's log."""
    lines: list[str] = []

    def observe(event: dict[str, object]) -> None:
        lines.extend(str(line) for line in event["message"])  # type: ignore[attr-defined] # a tuple

    log.addObserver(observe)
    yield lines
    log.removeObserver(observe)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_of_more_builds_than_may_wait_the_newest_are_left_out(disk: Disk, logged: list[str]) -> None:
    """While the disk is full, nothing is raised and the log has two lines; then the oldest are written."""
    writer = Writer(disk.put, pause=0.01)
    for number in range(LONGEST_QUEUE + 50):
        writer.write(number, "new")  # type: ignore[arg-type] # any JSON
        if not number:
            wait_until(lambda: disk.tries > 2)
    before = list(logged)
    disk.is_full = False
    wait_until(lambda: len(logged) == 4)
    writer.stop()

    assert sorted(before) == [
        "pulseshim: 10000 wait to be recorded, what comes now is left out",
        "pulseshim: [Errno 28] No space left on device; correct it, it is tried again",
    ]
    assert disk.held == list(range(LONGEST_QUEUE + 1))
    assert logged[2:] == [
        "pulseshim: builds are recorded again",
        "pulseshim: 49 starts and ends were left out, a listener tells of them",
    ]


def test_a_disk_that_does_not_answer_keeps_no_master_from_stopping(disk: Disk) -> None:
    """With a queue that is full, and with one that is not, `stop` gives up when its time is over."""
    disk.answers.clear()
    writers = [Writer(disk.put, patience=0.1) for _ in range(2)]
    for number in range(LONGEST_QUEUE + 2):
        writers[0].write(number, "new")  # type: ignore[arg-type] # any JSON
    writers[1].write(0, "new")  # type: ignore[arg-type] # any JSON

    stopping = [threading.Thread(target=writer.stop) for writer in writers]
    for thread in stopping:
        thread.start()
    for thread in stopping:
        thread.join(20)

    assert [thread.is_alive() for thread in stopping] == [False, False]
