"""The scheduler: no poll is skipped, none runs twice at once, and those that failed are tried again."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pulseshim.scheduler import Scheduler, _Due

PATIENCE = 60.0
HOUR = timedelta(hours=1)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, and fail when it does not come true."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    scheduler = Scheduler()
    yield scheduler
    scheduler.stop()


class Poll:
    """A poll that counts, and ends when it may."""

    def __init__(self) -> None:
        self.begun = 0
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self.may_end = threading.Event()

    def __call__(self) -> None:
        """Count, and wait until it may end."""
        with self._lock:
            self.begun += 1
            self._now += 1
            self.most = max(self.most, self._now)
        assert self.may_end.wait(PATIENCE)
        with self._lock:
            self._now -= 1


def test_the_first_poll_is_at_once(scheduler: Scheduler) -> None:
    """A service that starts asks for what it missed, though the next poll is due in an hour."""
    polled = threading.Event()
    scheduler.add("tests", HOUR, polled.set)

    scheduler.start()

    assert polled.wait(PATIENCE)


def test_a_poll_that_is_hours_late_runs_late_and_once(scheduler: Scheduler) -> None:
    """After a suspended night it is neither skipped nor run for each hour of it."""
    poll = Poll()
    poll.may_end.set()
    scheduler.add("tests", HOUR, poll)
    scheduler._scheduler.modify_job("tests", next_run_time=datetime.now(UTC) - timedelta(hours=9, minutes=1))

    scheduler.start()
    wait_until(lambda: scheduler._scheduler.get_job("tests").next_run_time > datetime.now(UTC))
    wait_until(lambda: poll.begun > 0)
    scheduler.stop()

    assert poll.begun == 1


def test_what_is_due_again_and_again_while_it_runs_runs_once_more() -> None:
    """A slow poll is followed by one that sees what came meanwhile, not by one for each tick."""
    poll = Poll()
    due = _Due(poll)
    worker = threading.Thread(target=due, daemon=True)
    worker.start()
    wait_until(lambda: poll.begun == 1)

    for _ in range(5):
        due()
    while_running = poll.begun
    poll.may_end.set()
    worker.join(PATIENCE)

    assert (while_running, poll.begun, poll.most) == (1, 2, 1)


def test_a_slow_poll_of_the_scheduler_is_never_run_beside_itself(scheduler: Scheduler) -> None:
    """However often it is due."""
    poll, other = Poll(), threading.Event()
    scheduler.add("slow", timedelta(milliseconds=5), poll)
    scheduler.add("other", HOUR, other.set)
    scheduler.start()
    wait_until(lambda: poll.begun == 1)
    assert other.wait(PATIENCE)

    poll.may_end.set()
    wait_until(lambda: poll.begun >= 3)

    assert poll.most == 1


def test_a_poll_that_raises_all_the_same_is_polled_again() -> None:
    """It must not; but a feed that is never asked again, and says nothing, would be worse."""
    begun: list[int] = []

    def raises() -> None:
        begun.append(1)
        raise SystemExit

    due = _Due(raises)
    for _ in range(2):
        with pytest.raises(SystemExit):
            due()

    assert len(begun) == 2


def test_a_stopped_scheduler_begins_nothing(scheduler: Scheduler) -> None:
    """What is being polled may be abandoned; a second stop does no harm."""
    poll = Poll()
    scheduler.add("tests", timedelta(milliseconds=5), poll)
    scheduler.start()
    wait_until(lambda: poll.begun == 1)

    scheduler.stop()
    scheduler.stop()

    assert not scheduler._scheduler.running
    poll.may_end.set()


def test_a_poll_that_is_to_be_tried_again_does_not_wait_for_its_schedule() -> None:
    """With an hour between polls, a second one comes when it was asked for."""
    scheduler = Scheduler()
    polled: list[int] = []
    twice = threading.Event()

    def poll() -> None:
        polled.append(1)
        if len(polled) == 1:
            scheduler.again("bell", 60)
            scheduler.again("bell", 0.1)
        else:
            twice.set()

    scheduler.add("bell", timedelta(hours=1), poll)
    scheduler.start()
    came = twice.wait(30)
    scheduler.stop()

    assert came
    assert len(polled) == 2


def test_a_scheduler_that_is_stopped_by_a_poll_that_is_tried_again_ends_in_silence() -> None:
    """APScheduler's own jobs that are due once end with a traceback when it is stopped as they begin."""
    scheduler = Scheduler()
    polled: list[int] = []
    stopped = threading.Event()

    def poll() -> None:
        polled.append(1)
        if len(polled) == 1:
            scheduler.again("bell", 0)
        else:
            scheduler.stop()
            scheduler.again("bell", 0)
            stopped.set()

    scheduler.add("bell", HOUR, poll)
    scheduler.start()

    assert stopped.wait(PATIENCE)
    assert len(polled) == 2


def test_a_poll_that_waits_to_be_tried_again_is_forgotten_by_who_stops(scheduler: Scheduler) -> None:
    """What waits ends at once, and polls nothing on its way."""
    polled = threading.Event()
    scheduler.add("later", "0 0 1 1 *", polled.set)
    scheduler.again("later", 3600)
    (waiting,) = [thread for thread in threading.enumerate() if thread.name == "poll later"]

    scheduler.stop()
    waiting.join(PATIENCE)

    assert not waiting.is_alive()
    assert not polled.is_set()


def test_a_poll_that_is_tried_again_and_raises_is_in_the_log(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    """As it is when its schedule had it polled."""

    def poll() -> None:
        raise ZeroDivisionError("a defect")

    scheduler.add("bell", "0 0 1 1 *", poll)
    scheduler.start()

    scheduler.again("bell", 0)
    wait_until(lambda: "a defect" in caplog.text)

    assert "poll raised" in caplog.text


def test_a_server_that_never_wants_to_be_asked_again_is_waited_for(scheduler: Scheduler) -> None:
    """Longer than the system can wait at once, and without an error in a thread."""
    scheduler.add("never", "0 0 1 1 *", lambda: None)

    scheduler.again("never", 1e12)

    waiting = [thread for thread in threading.enumerate() if thread.name == "poll never"]
    assert len(waiting) == 1
    waiting[0].join(0.2)
    assert waiting[0].is_alive()


def test_a_clock_that_is_set_back_lets_no_poll_wait() -> None:
    """Nor one that is set forward: a feed that is due every hour is polled at once, and then every hour."""
    ahead = [0.0]
    scheduler = Scheduler(now=lambda: time.time() + ahead[0])
    poll = Poll()
    poll.may_end.set()
    scheduler.add("tests", HOUR, poll)
    scheduler.add("cron", "0 0 1 1 *", poll)
    scheduler.start()
    wait_until(lambda: poll.begun == 1)

    ahead[0] = -7200.0

    try:
        wait_until(lambda: poll.begun == 2)
    finally:
        scheduler.stop()


HANGING = """
import threading, time
from datetime import timedelta
from pulseshim.scheduler import Scheduler
begun = threading.Event()
scheduler = Scheduler()
scheduler.add("tests", timedelta(hours=1), lambda: begun.set() or time.sleep(600))
scheduler.start()
assert begun.wait(60)
scheduler.stop()
"""


def test_a_poll_that_hangs_keeps_no_process_from_ending() -> None:
    """It is stopped with it: what it had not stored is asked for again."""
    done = subprocess.run([sys.executable, "-c", HANGING], timeout=120, check=False)

    assert done.returncode == 0


def test_a_poll_that_raises_is_due_again(scheduler: Scheduler, caplog: pytest.LogCaptureFixture) -> None:
    """It should not, and if it does, that is in the log and the feed goes on."""
    polled: list[int] = []

    def poll() -> None:
        polled.append(1)
        raise ZeroDivisionError("a defect")

    scheduler.add("tests", timedelta(seconds=0.05), poll)

    scheduler.start()
    wait_until(lambda: len(polled) > 2)

    assert "a defect" in caplog.text
