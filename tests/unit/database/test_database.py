"""The SQLite file of the outbox: whole steps, whoever else writes and however the process ends."""

import resource
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pulseshim.database import Database
from pulseshim.errors import StoreUnavailable
from pulseshim.schema import MIGRATIONS
from tests.unit.database.notes import FIRST, note, notes


def test_what_a_step_wrote_survives_the_loss_of_power(path: Path) -> None:
    """That is what fully synchronous WAL mode is for; it is asked of the real schema."""
    database = Database(path)

    modes = [
        database.query(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "user_version")
    ]
    database.close()

    assert modes == ["wal", 2, len(MIGRATIONS)]


def test_a_step_is_seen_when_it_has_ended(database: Database, path: Path) -> None:
    """Until then nobody else sees anything of it."""
    with database.step() as connection:
        connection.execute("INSERT INTO notes VALUES ('one')")
        meanwhile = notes(path)

    assert meanwhile == []
    assert notes(path) == ["one"]


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt(), SystemExit(1)])
def test_a_step_that_is_left_by_an_error_leaves_nothing(
    database: Database, path: Path, error: BaseException
) -> None:
    """Whatever the error is, it goes through, and the next step finds the file as it was."""

    def fail() -> None:
        with database.step() as connection:
            connection.execute("INSERT INTO notes VALUES ('lost')")
            raise error

    with pytest.raises(type(error)):
        fail()
    note(database, "next")

    assert notes(path) == ["next"]


def test_steps_of_threads_do_not_mix(database: Database) -> None:
    """The reader, the relays and the polls share one connection: a step is one thread's alone."""
    note(database, "0")

    def count() -> None:
        for _ in range(50):
            with database.step() as connection:
                ((text,),) = connection.execute("SELECT text FROM notes").fetchall()
                connection.execute("UPDATE notes SET text = ?", (str(int(text) + 1),))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert database.query("SELECT text FROM notes") == [("200",)]


def test_a_step_waits_for_that_of_another_process(database: Database, path: Path) -> None:
    """A person retries an item while the service writes: both are done, one after the other."""
    other = Database(path, migrations=[FIRST])
    begun = threading.Event()

    def write() -> None:
        begun.set()
        note(other, "second")

    thread = threading.Thread(target=write)
    with database.step() as connection:
        thread.start()
        begun.wait(60)
        connection.execute("INSERT INTO notes VALUES ('first')")
    thread.join(20)
    other.close()

    assert notes(path) == ["first", "second"]


def test_a_full_disk_loses_nothing_and_is_over_when_there_is_space(database: Database, path: Path) -> None:
    """The step that found no space leaves nothing; those before and behind it stay."""
    note(database, "before")
    (pages,) = database.query("PRAGMA page_count")[0]
    database.query(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match=r"\(database or disk is full\): .*has free space"):
        note(database, "x" * 100_000, "lost")

    database.query("PRAGMA max_page_count = 10000")
    note(database, "x" * 100_000)

    assert [text[:6] for text in notes(path)] == ["before", "xxxxxx"]


def test_a_process_that_meets_a_full_disk_leaves_what_it_was_told_is_written(path: Path) -> None:
    """The operating system refuses to let the files grow: every step that had ended is there, no other."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pulseshim.database import Database\n"
        "from pulseshim.errors import StoreUnavailable\n"
        "database = Database(Path(sys.argv[1]), migrations=[sys.argv[2]])\n"
        "steps = 0\n"
        "try:\n"
        "    while steps < 1000:\n"
        "        with database.step() as connection:\n"
        "            connection.executemany('INSERT INTO notes VALUES (?)', [(f'{steps:0999}',)] * 3)\n"
        "        steps += 1\n"
        "except StoreUnavailable as error:\n"
        "    print(steps, error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, path, FIRST],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )

    steps, _, error = done.stdout.partition(" ")
    assert "has free space" in error
    assert 0 < int(steps) < 1000
    assert [int(text) for text in notes(path)] == [step for step in range(int(steps)) for _ in range(3)]
    reopened = Database(path, migrations=[FIRST])
    note(reopened, "and on")
    reopened.close()


def test_it_may_be_closed_twice_and_not_be_used_then(database: Database) -> None:
    """A thread that was left behind is told so, it does not crash."""
    database.close()
    database.close()

    with pytest.raises(StoreUnavailable, match="closed database"):
        note(database, "late")
    with pytest.raises(StoreUnavailable, match="closed database"):
        database.query("SELECT 1")


def test_to_scrub_waits_for_nobody(database: Database, path: Path) -> None:
    """A backup that reads for minutes holds up neither the relay nor the reader; the next time does it."""
    note(database, "a secret")
    reading = sqlite3.connect(path)
    reading.execute("BEGIN")
    reading.execute("SELECT * FROM notes").fetchall()
    with database.step() as connection:
        connection.execute("DELETE FROM notes")
    log = path.with_name(f"{path.name}-wal")

    start = time.monotonic()
    database.scrub()
    waited = time.monotonic() - start
    held = b"a secret" in log.read_bytes()
    reading.close()
    database.scrub()

    assert held
    assert waited < 15
    assert b"a secret" not in path.read_bytes() + log.read_bytes()
    assert database.query("PRAGMA busy_timeout") == [(30_000,)]


def test_rows_are_read_one_by_one(database: Database) -> None:
    """Who has enough leaves off, and the file is free for the next step."""
    note(database, "a", "b", "c")

    rows = database.rows("SELECT text FROM notes ORDER BY rowid")
    first = next(rows)
    rows.close()
    note(database, "d")

    assert first == ("a",)
    assert len(database.query("SELECT text FROM notes")) == 4
