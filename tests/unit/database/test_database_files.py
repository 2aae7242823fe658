"""The SQLite file of the outbox: versions, and every way in which it cannot be used."""

import os
import threading
from pathlib import Path

import pytest

from pulseshim.database import Database
from pulseshim.errors import StoreCorrupt, StoreUnavailable, StoreVersion
from pulseshim.schema import MIGRATIONS
from tests.unit.database.notes import FIRST, SECOND, made, note, notes


def test_an_older_file_is_brought_up_to_date(database: Database, path: Path) -> None:
    """Version by version, with what is in it."""
    note(database, "kept")
    database.close()

    upgraded = Database(path, migrations=[FIRST, SECOND])

    assert upgraded.query("SELECT text, kind FROM notes") == [("kept", "plain")]
    assert upgraded.query("PRAGMA user_version") == [(2,)]
    upgraded.close()


def test_an_upgrade_that_breaks_off_leaves_the_file_as_it_was(path: Path) -> None:
    """All versions are one step: no other process ever finds one in between, and the next goes on."""
    Database(path, migrations=[FIRST]).close()
    broken = ["CREATE TABLE half (a TEXT)", "INSERT INTO missing VALUES (1)"]

    with pytest.raises(StoreUnavailable, match="no such table: missing"):
        Database(path, migrations=[FIRST, *broken])

    before = Database(path, migrations=[FIRST])
    assert before.query("PRAGMA user_version") == [(1,)]
    assert before.query("SELECT name FROM sqlite_schema WHERE name = 'half'") == []
    before.close()


def test_several_may_begin_at_once(path: Path) -> None:
    """Who comes second finds the work done: the schema is made once."""
    errors: list[BaseException] = []

    def begin() -> None:
        try:
            Database(path, migrations=[FIRST, SECOND]).close()
        except BaseException as error:  # noqa: BLE001 - the test shows it
            errors.append(error)

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert notes(path) == []


def test_the_file_of_a_later_version_is_left_as_it_is(database: Database, path: Path) -> None:
    """Not a byte is changed: the version that wrote it will go on with it."""
    database.close()
    before = made(path, "PRAGMA user_version = 7")

    with pytest.raises(StoreVersion, match=r"has schema version 7, .* up to 1: install the version"):
        Database(path, migrations=[FIRST])

    assert path.read_bytes() == before


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TABLE theirs (a TEXT)",
        "CREATE TABLE envelopes (position INTEGER PRIMARY KEY); PRAGMA user_version = 1",
        "PRAGMA user_version = 1",
        "PRAGMA application_id = 7",
        f"PRAGMA application_id = 7; PRAGMA user_version = 1; {MIGRATIONS[0]}",
    ],
    ids=["no version", "our version", "nothing in it yet", "their mark", "their mark, our tables"],
)
def test_the_database_of_something_else_is_left_as_it_is(
    path: Path, statements: str, *, readonly: bool
) -> None:
    """store.directory names the wrong place: another program goes on using its file."""
    before = made(path, statements)

    with pytest.raises(StoreVersion, match=r"is a database of something else: name another directory"):
        Database(path, readonly=readonly)

    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_file_that_is_no_database_is_left_as_it_is(path: Path) -> None:
    """It may be what a failing disk made of the outbox: it is to be rescued, not written over."""
    path.write_bytes(b"this is no database at all " * 100)
    before = path.read_bytes()

    with pytest.raises(StoreCorrupt, match=r"is damaged \(file is not a database\): move it and its -wal"):
        Database(path)

    assert path.read_bytes() == before


def test_damage_inside_the_file_is_named_when_it_is_met(database: Database, path: Path) -> None:
    """The header alone is sound: the page with the rows is not."""
    note(database, *(f"{number:01000}" for number in range(50)))
    database.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 4)
    damaged = Database(path, migrations=[FIRST])

    with pytest.raises(StoreCorrupt, match=r"is damaged .*\.recover"):
        damaged.query("SELECT * FROM notes")
    with pytest.raises(StoreCorrupt, match="is damaged"):
        note(damaged, "more")
    damaged.close()


def test_an_empty_file_reads_as_an_empty_database_and_becomes_one(path: Path) -> None:
    """A crash between making the file and writing it left it so; there is nothing in it to lose."""
    path.touch()
    looking = Database(path, readonly=True)
    found = looking.query("SELECT count(*) FROM envelopes")
    looking.close()
    size = path.stat().st_size

    database = Database(path)

    assert (found, size) == ([(0,)], 0)
    assert database.query("SELECT count(*) FROM envelopes") == [(0,)]
    database.close()


def test_a_file_from_before_there_was_a_mark_is_ours_and_is_marked(path: Path) -> None:
    """Its tables tell; who only looks changes nothing."""
    made(path, FIRST)
    before = made(path, "INSERT INTO notes VALUES ('kept'); PRAGMA user_version = 1")
    Database(path, readonly=True, migrations=[FIRST]).close()
    looked_at = path.read_bytes()

    database = Database(path, migrations=[FIRST])

    assert looked_at == before
    assert database.query("PRAGMA application_id") == [(int.from_bytes(b"puls"),)]
    assert database.query("SELECT text FROM notes") == [("kept",)]
    database.close()


def test_who_only_reads_an_older_file_is_told_what_brings_it_up_to_date(
    database: Database, path: Path
) -> None:
    """Looking at a file must not change its version under a service that still runs."""
    database.close()
    before = path.read_bytes()

    with pytest.raises(StoreVersion, match=r"version 1, .* reads version 2: start pulseshim run or drain"):
        Database(path, readonly=True, migrations=[FIRST, SECOND])

    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["outbox.sqlite3", "missing/outbox.sqlite3"])
def test_a_missing_file_reads_as_an_empty_one_and_is_not_made(tmp_path: Path, place: str) -> None:
    """Who only looks leaves no trace."""
    database = Database(tmp_path / place, readonly=True)

    found = database.query("SELECT count(*) FROM envelopes")
    database.close()

    assert found == [(0,)]
    assert list(tmp_path.iterdir()) == []


def test_who_only_reads_cannot_write(database: Database, path: Path) -> None:
    """And sees what the service writes meanwhile."""
    reading = Database(path, readonly=True, migrations=[FIRST])
    note(database, "one")

    found = reading.query("SELECT text FROM notes")

    assert found == [("one",)]
    with pytest.raises(StoreUnavailable, match="readonly database"):
        note(reading, "two")
    reading.close()


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what to look for."""
    with pytest.raises(
        StoreUnavailable, match=r"missing/outbox.sqlite3 cannot be used .*the directory exists"
    ):
        Database(tmp_path / "missing" / "outbox.sqlite3")


def test_a_directory_in_the_place_of_the_file_is_named(path: Path) -> None:
    """It cannot be opened, and stays."""
    path.mkdir()

    with pytest.raises(StoreUnavailable, match=r"outbox.sqlite3 cannot be used \(unable to open"):
        Database(path)


@pytest.mark.parametrize("closed", ["file", "directory"])
def test_a_file_that_may_not_be_written_is_named(unprivileged: Path, closed: str) -> None:
    """It is the service's account that the file or its directory does not belong to."""
    path = unprivileged / "store" / "outbox.sqlite3"
    path.parent.mkdir()
    database = Database(path, migrations=[FIRST])
    note(database, "one")
    database.close()
    (path if closed == "file" else path.parent).chmod(0o500)

    def open_and_write() -> None:
        opened = Database(path, migrations=[FIRST])
        try:
            note(opened, "two")
        finally:
            opened.close()

    with pytest.raises(StoreUnavailable, match=r"cannot be used .*belongs to the account of pulseshim"):
        open_and_write()
    path.parent.chmod(0o700)
    path.chmod(0o600)

    assert notes(path) == ["one"]


@pytest.mark.parametrize("name", ["with space", "50%25?mode=ro#x", "h\xe4u\u2603", os.fsdecode(b"caf\xe9")])
def test_any_name_of_a_directory_will_do(tmp_path: Path, name: str) -> None:
    """The path is no part of the URI's syntax."""
    (tmp_path / name).mkdir()
    database = Database(tmp_path / name / "outbox.sqlite3", migrations=[FIRST])
    note(database, "one")
    database.close()

    assert notes(tmp_path / name / "outbox.sqlite3") == ["one"]
    assert os.listdir(tmp_path) == [name]
