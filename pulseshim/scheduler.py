"""The scheduler: says when each poll feed is polled."""

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from pulseshim.errors import SettingsError

_FIELDS = 5
_DAY = 2
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
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


class Scheduler:
    """Runs polls in threads: of a feed one at a time, a late one late and once, none skipped."""

    def __init__(self) -> None:
        # Left to itself APScheduler skips what is more than a second late, and what is due while it runs.
        defaults = {"misfire_grace_time": None, "coalesce": True, "max_instances": 2}
        self._due: dict[str, _Due] = {}
        self._scheduler = BackgroundScheduler(job_defaults=defaults, timezone=UTC)

    def add(
        self, name: str, every: timedelta | str, poll: Callable[[], object], *, jitter: float = 0.0
    ) -> None:
        """Poll each time `every` has passed, the first time at once; or at the times of a cron expression.

        `poll` must not raise. `jitter` is in seconds. Raises `SettingsError` for a cron expression that is
        none.
        """
        first = {"next_run_time": datetime.now(UTC)} if isinstance(every, timedelta) else {}
        due = self._due[name] = _Due(poll)
        self._scheduler.add_job(due, trigger(name, every, jitter), id=name, name=name, **first)

    def again(self, name: str, seconds: float) -> None:
        """Poll once more when some seconds have passed, beside the schedule."""
        at = datetime.now(UTC) + timedelta(seconds=seconds)
        self._scheduler.add_job(
            self._due[name], DateTrigger(at), id=f"{name} again", name=name, replace_existing=True
        )

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def stop(self) -> None:
        """Begin no more polls. What is being polled goes on in its thread and may be abandoned."""
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
