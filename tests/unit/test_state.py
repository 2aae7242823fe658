"""What a source remembers between two readings."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulseshim.database import Database
from pulseshim.outbox import Outbox


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Give the database of an empty outbox."""
    opened = Database(tmp_path / "outbox.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database, lambda: 1000)


def remember(outbox: Outbox, feed: str, key: str, value: dict[str, str]) -> None:
    """Store one key of a feed's state, as a reading does."""
    state = outbox.state(feed)
    state.set(key, value)
    outbox.store([], state=state)


def test_what_was_never_set_is_empty(outbox: Outbox) -> None:
    """A source needs no special case for its first reading."""
    state = outbox.state("git")

    assert state.get("refs") == {}
    assert state.keys() == []


def test_what_was_set_is_seen_at_once_by_the_one_who_set_it(outbox: Outbox) -> None:
    """A reading that sets and asks again is told its own word."""
    state = outbox.state("git")
    state.set("refs", {"main": "1"})

    assert state.get("refs") == {"main": "1"}
    assert outbox.state("git").get("refs") == {}


def test_what_was_stored_is_seen_by_the_next_reading(outbox: Outbox, database: Database) -> None:
    """And by the next process, which knows no more than the file."""
    remember(outbox, "git", "refs", {"main": "1", "topic": "2"})

    with_another = Database(database.path)

    assert Outbox(with_another, lambda: 0).state("git").get("refs") == {"main": "1", "topic": "2"}
    with_another.close()


def test_set_replaces_the_whole_value(outbox: Outbox) -> None:
    """Entries that are not named any more are gone, those that are new or changed are written."""
    remember(outbox, "git", "refs", {"gone": "1", "kept": "2", "changed": "3"})

    remember(outbox, "git", "refs", {"kept": "2", "changed": "4", "new": "5"})

    assert outbox.state("git").get("refs") == {"kept": "2", "changed": "4", "new": "5"}


def test_only_the_entries_that_differ_are_written(outbox: Outbox, database: Database) -> None:
    """One ref changed of twenty thousand is one row written, not twenty thousand."""
    refs = {f"refs/heads/{number}": "0" for number in range(2000)}
    remember(outbox, "git", "refs", refs)
    state = outbox.state("git")
    state.set("refs", {**refs, "refs/heads/7": "1"})
    with database.step() as connection:
        before = connection.total_changes
        state.write(connection)

        written = connection.total_changes - before

    assert written == 1


def test_a_value_that_was_given_is_a_copy(outbox: Outbox) -> None:
    """What a source does with what it got changes nothing until it sets it."""
    remember(outbox, "git", "refs", {"main": "1"})
    state = outbox.state("git")

    state.get("refs")["main"] = "changed"

    assert state.get("refs") == {"main": "1"}


def test_feeds_do_not_see_each_others_state(outbox: Outbox) -> None:
    """Two servers of one plugin may use the same key."""
    remember(outbox, "bugzilla.main", "cursor", {"at": "1"})

    remember(outbox, "bugzilla.other", "cursor", {"at": "2"})

    assert outbox.state("bugzilla.main").get("cursor") == {"at": "1"}


def test_keys_names_what_holds_something(outbox: Outbox) -> None:
    """An emptied key is none, before it is stored and afterwards."""
    for key in ("b", "a", "c"):
        remember(outbox, "git", key, {"x": "1"})
    state = outbox.state("git")
    state.set("c", {})
    state.set("d", {"x": "1"})

    before = state.keys()
    outbox.store([], state=state)

    assert before == ["a", "b", "d"]
    assert outbox.state("git").keys() == ["a", "b", "d"]


def test_bytes_that_are_not_utf_8_come_back_as_they_were(outbox: Outbox) -> None:
    """A ref or a path is bytes: its surrogates are kept in keys, fields and values."""
    odd = "caf\udce9"

    remember(outbox, "git", f"/srv/{odd}", {f"refs/{odd}": odd, "": ""})

    assert outbox.state("git").get(f"/srv/{odd}") == {f"refs/{odd}": odd, "": ""}


def test_a_step_that_fails_changes_nothing_and_can_be_made_again(outbox: Outbox, database: Database) -> None:
    """State and counters wait in the reading until a step takes them whole."""
    state = outbox.state("git")
    state.set("refs", {"main": "1"})
    state.count("private")

    def write_and_fail() -> None:
        with database.step() as connection:
            state.write(connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    after_failure = outbox.state("git").get("refs")

    outbox.store([], state=state)

    assert after_failure == {}
    assert outbox.state("git").get("refs") == {"main": "1"}
    assert database.query("SELECT feed, name, count FROM counters") == [("git", "private", 1)]


def test_a_state_may_be_stored_step_by_step(outbox: Outbox, database: Database) -> None:
    """A poll with checkpoints stores one state several times: each step writes what changed since."""
    state = outbox.state("git")
    for number in ("1", "2", "3"):
        state.set("cursor", {"at": number, f"seen {number}": ""})
        state.count("left out")
        outbox.store([], state=state)

    assert outbox.state("git").get("cursor") == {"at": "3", "seen 3": ""}
    assert database.query("SELECT count FROM counters") == [(3,)]


def test_counters_of_feeds_grow_apart(outbox: Outbox, database: Database) -> None:
    """What a source leaves out is counted for ever, by feed and name."""
    for feed, name in (("git", "private"), ("git", "private"), ("git", "empty"), ("hg", "private")):
        state = outbox.state(feed)
        state.count(name)
        outbox.store([], state=state)

    rows = database.query("SELECT feed, name, count FROM counters ORDER BY 1, 2")

    assert rows == [("git", "empty", 1), ("git", "private", 2), ("hg", "private", 1)]


def test_the_state_is_written_inside_the_callers_step_alone(outbox: Outbox, database: Database) -> None:
    """Another connection sees nothing of it before the step has ended."""
    state = outbox.state("git")
    state.set("refs", {"main": "1"})
    other = sqlite3.connect(database.path)
    with database.step() as connection:
        state.write(connection)

        seen = other.execute("SELECT count(*) FROM states").fetchone()

    assert seen == (0,)
    assert other.execute("SELECT count(*) FROM states").fetchone() == (1,)
    other.close()
