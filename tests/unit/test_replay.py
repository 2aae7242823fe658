"""Times as `replay` and `poll` take them."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseshim.commands.replay import moment
from pulseshim.errors import CommandFailed

NOW = datetime(2026, 11, 23, 22, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text", ["2h", "120m", "2026-11-23T20:00:00Z", "2026-11-23T20:00", "2026-11-23T22:00+02:00"]
)
def test_a_time_is_a_date_or_how_long_ago(text: str) -> None:
    """A date without a zone is in UTC."""
    assert moment(text, NOW) == (NOW - 7200) * 1000


@pytest.mark.parametrize(
    "text",
    ["99999999w", "999999999999w", "9" * 400 + "w", "0001-01-01T00:00+14:00", "9999-12-31T23:00-14:00"],
)
def test_a_time_of_no_calendar_is_said(text: str) -> None:
    """In one sentence: neither a date nor the store could hold it."""
    with pytest.raises(CommandFailed, match="lies outside of the years 1 to 9999"):
        moment(text, NOW)


@given(st.from_regex(r"[0-9]{1,30}(\.[0-9]{1,3})?(ms|s|m|h|d|w)", fullmatch=True) | st.text(max_size=30))
def test_a_time_that_is_taken_can_be_asked_for(text: str) -> None:
    """As a date of a source, and in the store."""
    try:
        at = moment(text, NOW)
    except CommandFailed:
        return

    assert 1 <= datetime.fromtimestamp(at / 1000, UTC).year <= 9999
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute("SELECT ?", (at,)).fetchone() == (at,)
