"""When a feed is due: cron expressions mean what cron means, and jitter moves a poll by what it says."""

from datetime import UTC, datetime, timedelta

import pytest

from pulseshim import SettingsError
from pulseshim.scheduler import Scheduler, trigger


def next_times(cron: str, number: int) -> list[str]:
    """Give the next times of a cron expression after Wednesday, 25 November 2026, noon."""
    at, times = datetime(2026, 11, 25, 12, 0, tzinfo=UTC), []
    due = trigger("tests", cron, 0.0)
    for _ in range(number):
        at = due.get_next_fire_time(None, at + timedelta(seconds=1))
        times.append(f"{at:%a %d %H:%M}")
    return times


@pytest.mark.parametrize(
    ("cron", "times"),
    [
        ("*/5 * * * *", ["Wed 25 12:05", "Wed 25 12:10"]),
        ("30 4 * * *", ["Thu 26 04:30", "Fri 27 04:30"]),
        ("0 0 1 * *", ["Tue 01 00:00", "Fri 01 00:00"]),
        ("0 4 * * 0", ["Sun 29 04:00", "Sun 06 04:00"]),
        ("0 4 * * 7", ["Sun 29 04:00", "Sun 06 04:00"]),
        ("0 4 * * 1-5", ["Thu 26 04:00", "Fri 27 04:00", "Mon 30 04:00"]),
        ("0 4 * * 5-7", ["Fri 27 04:00", "Sat 28 04:00", "Sun 29 04:00", "Fri 04 04:00"]),
        ("0 4 * * 0-1", ["Sun 29 04:00", "Mon 30 04:00", "Sun 06 04:00"]),
        ("0 4 * * 1,3", ["Mon 30 04:00", "Wed 02 04:00"]),
        ("0 4 * * */3", ["Sat 28 04:00", "Sun 29 04:00", "Wed 02 04:00"]),
        ("0 4 * * 1/3", ["Thu 26 04:00", "Mon 30 04:00", "Thu 03 04:00"]),
        ("0 4 13 * 5", ["Fri 27 04:00", "Fri 04 04:00", "Fri 11 04:00", "Sun 13 04:00", "Fri 18 04:00"]),
        ("0 4 4 * 5", ["Fri 27 04:00", "Fri 04 04:00", "Fri 11 04:00"]),
        ("0 4 */13 * 5", ["Fri 27 04:00", "Fri 01 04:00"]),
        ("0 4 * * mon-fri", ["Thu 26 04:00", "Fri 27 04:00", "Mon 30 04:00"]),
    ],
)
def test_a_cron_expression_means_what_cron_means(cron: str, times: list[str]) -> None:
    """Sunday is 0 and 7; a day of the month or a weekday is enough, where neither begins with *; in UTC."""
    assert next_times(cron, len(times)) == times


@pytest.mark.parametrize(
    "cron", ["", "often", "* * * *", "* * * * * *", "61 * * * *", "* * * * 8", "* * * * 5-1", "* * * * noday"]
)
def test_what_is_no_cron_expression_is_named_with_its_feed(cron: str) -> None:
    """The remedy shows one, and the other way to say it."""
    with pytest.raises(
        SettingsError, match=r"the schedule of bugzilla\.main is no cron expression \(.*every ="
    ):
        Scheduler().add("bugzilla.main", cron, lambda: None)


def test_jitter_moves_a_poll_by_so_many_seconds_at_most() -> None:
    """Many services that were started together do not ask one server at the same moment."""
    at = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    due = trigger("tests", "0 * * * *", 30.0)

    times = {due.get_next_fire_time(None, at + timedelta(minutes=30)) for _ in range(50)}

    assert len(times) > 1
    assert all(abs(time - (at + timedelta(hours=1))) <= timedelta(seconds=30) for time in times)
