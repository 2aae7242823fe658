"""The reporter's writer whose spool is on a disk that is really full, or can only be read."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from pulseshim.recorder import prepare
from pulseshim.spool import Spool
from tests.faults.disk import SmallDisk

SIZE = 4 << 20
FILLING = 100_000
"""Bytes of a build: more than a process may write where no disk can be mounted."""
PROGRAM = """
import os
import sys
from twisted.python import log
from pulseshim_plugins.buildbot_reporter import Writer, put

def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # in one piece: two threads tell

def put_and_tell(*build):
    tell("tries")
    put(sys.argv[1], "buildbot.ci", *build)
    tell("put")

log.addObserver(lambda event: tell("log", *event["message"]))
writer = Writer(put_and_tell, pause=0.05)
for line in sys.stdin:
    writer.write({"number": int(line), "filling": "x" * int(sys.argv[2])}, "new")
    tell("took", int(line))
writer.stop()
"""


class Master:
    """A process that has builds written to a spool on a small disk, and says what it logs."""

    def __init__(self, disk: SmallDisk) -> None:
        self.disk = disk
        self.spool = disk.directory / "spool"
        prepare(os.fsencode(self.spool), "everyone")
        command = [sys.executable, "-c", PROGRAM, str(self.spool), str(FILLING)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.heard: list[str] = []
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self._said.put(line.strip())

    def build(self, *numbers: int) -> None:
        """Have builds begun."""
        assert self.process.stdin
        self.process.stdin.writelines(f"{number}\n" for number in numbers)
        self.process.stdin.flush()

    def hear(self, *lines: str) -> None:
        """Wait until it has said these lines, in any order, and as often as they stand there."""
        wanted = Counter(lines)
        while wanted - Counter(self.heard):
            self.heard.append(self._said.get(timeout=30))

    def recorded(self) -> list[int]:
        """Give the numbers of the builds in the spool, in order; all of them must be whole."""
        spool = Spool(self.spool, largest=1 << 30)
        found = [json.loads(spool.read(name, time.time_ns())[0].stdin) for name in spool.names()]
        assert all(len(build["filling"]) == FILLING for build in found)
        return [build["number"] for build in found]

    def close(self) -> None:
        """End it."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)
        self._listener.join(30)


@pytest.fixture
def master() -> Iterator[Master]:
    """Give a process that records on a disk of its own."""
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(SmallDisk(Path(directory) / "disk", SIZE)) as disk,
        closing(Master(disk)) as found,
    ):
        yield found


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (SmallDisk.filled, "[Errno 28] No space left on device"),
        (SmallDisk.sealed, "[Errno 30] Read-only file system"),
    ],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_nothing_holds_up_no_build_and_loses_none(
    master: Master, spoil: Callable[[SmallDisk, int], AbstractContextManager[None]], reason: str
) -> None:
    """It is logged once, nothing half-written stays, and with room all are recorded, in their order."""
    master.build(1)
    master.hear("put")  # the file has been closed, too
    before = _until(master.recorded, [1])
    with spoil(master.disk, master.process.pid):
        master.build(2, 3, 4)
        master.hear("took 2", "took 3", "took 4", *["tries"] * 5)
        during = master.recorded()
    master.hear("log pulseshim: builds are recorded again")
    recorded = _until(master.recorded, [1, 2, 3, 4])

    complaint, over = [line for line in master.heard if line.startswith("log")]
    assert before == during == [1]
    assert complaint.startswith(f"log pulseshim: {master.spool} cannot be written (")
    assert (reason in complaint) is master.disk.is_mounted
    assert complaint.endswith("correct it, it is tried again")
    assert over == "log pulseshim: builds are recorded again"
    assert recorded == [1, 2, 3, 4]
    assert os.listdir(master.spool / "tmp") == []


def _until(look: Callable[[], list[int]], expected: list[int]) -> list[int]:
    """Look until what is expected is seen, for some seconds, and give what was seen last."""
    deadline = time.monotonic() + 60
    while (seen := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.02)
    return seen
