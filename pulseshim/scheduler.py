"""The scheduler: says when each poll feed is polled."""

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from pulseshim.errors import SettingsError

log = logging.getLogger(__name__)

_FIELDS = 5
_DAY = 2
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LOOK = 1.0
_JUMP = 5.0
_NUMBERS = re.compile(r"(\*(?=/)|(?P<first>[0-7])(-(?P<last>[0-7]))?)(/(?P<step>[1-7]))?")


class _Due:
    """One poll that is due again and again. Due while it runs, it runs once more when it has ended."""

    def __init__(self, poll: Callable[[], object]) -> None:
        self._poll = poll
        self._lock = threading.Lock()
        self._running = False
        self._again = False

    def __call__(self) -> None:
        with self._lock:
            self._again = True
            if self._running:
                return
            self._running = True
        try:
            while self._begin():
                self._poll()
        except BaseException:
            with self._lock:
                self._running = False
            raise

    def _begin(self) -> bool:
        with self._lock:
            self._running = self._again
            self._again = False
            return self._running


class _Threads(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """A thread for each poll. Nobody waits for it when the process ends, as is done for APScheduler's own."""

    def _do_submit_job(self, job: Any, run_times: Sequence[datetime]) -> None:
        run = partial(self._run, job, run_times)
        threading.Thread(target=run, name=f"poll {job.name}", daemon=True).start()

    def _run(self, job: Any, run_times: Sequence[datetime]) -> None:
        try:
            events = run_job(job, "default", run_times, self._logger.name)
        except BaseException as error:  # noqa: BLE001 - APScheduler logs it, and must know that it has ended
            self._run_job_error(job.id, error, error.__traceback__)
        else:
            self._run_job_success(job.id, events)


def _logged(poll: Callable[[], object], name: str) -> None:
    """Poll, and say in the log what it raises, as APScheduler does for the polls of its schedule."""
    try:
        poll()
    except BaseException:
        log.exception("poll raised", extra={"feed": name})


class Scheduler:
    """Runs polls in threads: of a feed one at a time, a late one late and once, none skipped.

    APScheduler waits for times of day. When the clock is set, which is seen by the steady `clock`, all times
    are reckoned anew: else a clock that was set back by an hour would let every feed wait for an hour.
    """

    def __init__(
        self, *, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        # Left to itself APScheduler skips what is more than a second late, and what is due while it runs.
        defaults = {"misfire_grace_time": None, "coalesce": True, "max_instances": 2}
        self._due: dict[str, _Due] = {}
        self._timers: dict[str, threading.Timer] = {}
        self._lock = threading.Lock()
        self._scheduler = BackgroundScheduler(
            executors={"default": _Threads()}, job_defaults=defaults, timezone=UTC
        )
        self._now = now
        self._clock = clock
        self._stopped = threading.Event()

    def add(
        self, name: str, every: timedelta | str, poll: Callable[[], object], *, jitter: float = 0.0
    ) -> None:
        """Poll each time `every` has passed, the first time at once; or at the times of a cron expression.

        `poll` must not raise. `jitter` is in seconds. Raises `SettingsError` for a cron expression that is
        none.
        """
        first = {"next_run_time": self._at(0)} if isinstance(every, timedelta) else {}
        due = self._due[name] = _Due(poll)
        self._scheduler.add_job(due, trigger(name, every, jitter), id=name, name=name, **first)

    def again(self, name: str, seconds: float) -> None:
        """Poll once more when some seconds have passed, beside the schedule. Only the last call counts."""
        # Not a job of APScheduler's: when it is stopped while it begins a job that is due once, it raises.
        timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), _logged, (self._due[name], name))
        timer.name, timer.daemon = f"poll {name}", True
        with self._lock:
            if name in self._timers:
                self._timers[name].cancel()
            self._timers[name] = timer
            if not self._stopped.is_set():
                timer.start()

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()
        offset = self._now() - self._clock()
        threading.Thread(target=self._watch, args=(offset,), name="clock", daemon=True).start()

    def _watch(self, offset: float) -> None:
        """See whether the clock was set, until it is stopped."""
        while not self._stopped.wait(_LOOK):
            before, offset = offset, self._now() - self._clock()
            if abs(offset - before) > _JUMP:
                log.warning("clock set", extra={"seconds": round(offset - before)})
                self._reckon_anew()

    def _reckon_anew(self) -> None:
        """Poll at once what is due by an interval; let cron expressions find their next time from now."""
        for job in self._scheduler.get_jobs():
            with suppress(JobLookupError):  # it may have been stopped meanwhile
                if isinstance(job.trigger, OrTrigger):
                    self._scheduler.reschedule_job(job.id, trigger=job.trigger)
                else:
                    self._scheduler.modify_job(job.id, next_run_time=self._at(0))

    def _at(self, seconds: float) -> datetime:
        """Give the time that it will be in some seconds."""
        return datetime.fromtimestamp(self._now() + seconds, UTC)

    def stop(self) -> None:
        """Begin no more polls. What is being polled goes on in its thread and may be abandoned."""
        with self._lock:
            self._stopped.set()
            for timer in self._timers.values():
                timer.cancel()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)


def trigger(name: str, every: timedelta | str, jitter: float) -> IntervalTrigger | OrTrigger:
    """Give when a feed is due."""
    if isinstance(every, timedelta):
        return IntervalTrigger(seconds=every.total_seconds(), jitter=jitter or None, timezone=UTC)
    try:
        *fields, weekdays = every.split()
        crons = [
            CronTrigger.from_crontab(" ".join(each), timezone=UTC)
            for each in _either([*fields, _named(weekdays)])
        ]
    except ValueError as error:
        raise SettingsError(
            f"the schedule of {name} is no cron expression ({error})",
            'give five fields, such as "*/5 * * * *", or use every = "5m"',
        ) from error
    return OrTrigger(crons, jitter=jitter or None)


def _either(fields: list[str]) -> list[list[str]]:
    """Give the expressions of which one must fit: to cron, a day of the month or a weekday is enough."""
    if len(fields) != _FIELDS or any(field.startswith("*") for field in fields[_DAY::2]):
        return [fields]
    return [[*fields[:4], "*"], [*fields[:_DAY], "*", *fields[3:]]]


def _named(weekdays: str) -> str:
    """Give cron's field of weekdays by their names: to APScheduler, 0 is Monday."""
    parts: list[str] = []
    for part in weekdays.split(","):
        match = _NUMBERS.fullmatch(part)
        if match is None:
            parts.append(part)
            continue
        first = int(match["first"] or 0)
        last = int(match["last"] or (match["first"] if not match["step"] else 6))
        parts += [_DAYS[day] for day in range(first, last + 1, int(match["step"] or 1))]
    return ",".join(parts)
