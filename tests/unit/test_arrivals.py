"""What watches the spool: it wakes the reader, may fail, and takes of the system no more than it needs."""

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pulseshim.arrivals import Arrivals

PATIENCE = 60.0


def watches() -> int:
    """Give how many inotify instances this process has: a user may have 128 by default."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            continue
    return sum("inotify" in link for link in links)


def test_what_is_moved_in_wakes_the_reader(tmp_path: Path) -> None:
    """Recorders write beside the directory and rename into it."""
    (tmp_path / "new").mkdir()
    (tmp_path / "beside").touch()
    woken = threading.Event()
    arrivals = Arrivals(tmp_path / "new", woken.set)
    arrivals.start()

    (tmp_path / "beside").rename(tmp_path / "new" / "1")

    assert woken.wait(PATIENCE)
    arrivals.stop()


def test_nothing_of_the_system_is_taken_before_it_starts_or_kept_when_it_has_stopped(tmp_path: Path) -> None:
    """Neither by a runtime that is never started, as a drain's, nor by a stop after a stop."""
    before = watches()
    never = Arrivals(tmp_path, lambda: None)
    made = watches()
    arrivals = Arrivals(tmp_path, lambda: None)
    arrivals.start()
    running = watches()

    for each in (never, arrivals, arrivals):
        each.stop()

    until = time.monotonic() + PATIENCE
    while watches() > before:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert (made, running) == (before, before + 1)


def test_what_cannot_be_watched_is_said_and_kept_by_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The reader looks every few seconds all the same."""
    before = watches()
    arrivals = Arrivals(tmp_path / "gone", lambda: None)

    with caplog.at_level(logging.WARNING):
        arrivals.start()
    arrivals.stop()

    until = time.monotonic() + PATIENCE
    while watches() > before:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert "spool not watched" in caplog.text


EXHAUSTED = """
import os, resource, sys
from pathlib import Path
from pulseshim.arrivals import Arrivals
arrivals = Arrivals(Path(sys.argv[1]), lambda: None)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
while len(held) < 64:
    try:
        held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        break
arrivals.start()
arrivals.stop()
"""


def test_a_system_that_gives_no_more_watches_does_not_stop_the_service(tmp_path: Path) -> None:
    """A user's 128 may be taken by others: that is said, and no reason to end."""
    command = [sys.executable, "-c", EXHAUSTED, str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert (done.returncode, done.stderr.count("spool not watched")) == (0, 1), done.stderr
