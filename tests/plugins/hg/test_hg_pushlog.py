"""A pushlog database whose writer wishes the runtime harm."""

import os
import sqlite3
import time
from pathlib import Path

import pytest

from pulseshim_plugins.hg_pushlog import pushes_of
from pulseshim_plugins.hg_server import HgFailed

NODE = "a" * 40


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give the pushlog of a repository, with one push of one changeset."""
    (tmp_path / ".hg").mkdir()
    path = tmp_path / ".hg" / "pushlog2.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE pushlog (id INTEGER PRIMARY KEY, user TEXT, date INTEGER);"
        "CREATE TABLE changesets (pushid INTEGER, rev INTEGER, node TEXT);"
        "INSERT INTO pushlog VALUES (1, 'grace', 5);"
    )
    with connection:
        connection.execute("INSERT INTO changesets VALUES (1, 0, ?)", (NODE,))
    connection.close()
    return path


def users(repository: Path) -> list[str]:
    """Give who the pushlog says has pushed."""
    return [entry.user for entry in pushes_of(str(repository), [NODE], time.monotonic() + 60).values()]


def test_a_view_that_stands_for_gigabytes_is_refused(database: Path, tmp_path: Path) -> None:
    """A value longer than any user's name ends the reading before it is made."""
    before = users(tmp_path)
    connection = sqlite3.connect(database)
    connection.executescript(
        "DROP TABLE pushlog;CREATE VIEW pushlog AS SELECT 1 AS id, hex(zeroblob(100000)) AS user, 5 AS date;"
    )
    connection.close()

    with pytest.raises(HgFailed, match="too big"):
        users(tmp_path)

    assert before == ["grace"]


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_a_pipe_beside_it_is_not_waited_for(database: Path, tmp_path: Path, suffix: str) -> None:
    """SQLite would open a journal that is there."""
    os.mkfifo(tmp_path / ".hg" / f"pushlog2.db{suffix}")

    with pytest.raises(HgFailed, match="no regular file"):
        users(tmp_path)

    assert database.is_file()
