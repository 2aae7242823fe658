"""The database of the pushlog extension, `.hg/pushlog2.db`, where a repository has one.

Its tables are `pushlog (id, user, date)` and `changesets (pushid, rev, node)`. It is somebody else's file:
only plain values of a sensible length are taken, within a time limit.
"""

import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from pulseshim_plugins.hg_server import HgFailed

_QUERY = """
SELECT DISTINCT pushlog.id, pushlog.user, pushlog.date, changesets.node FROM changesets
JOIN pushlog ON pushlog.id = changesets.pushid WHERE changesets.node IN ({marks})
"""
_AT_ONCE = 500
_STEPS = 100_000
_BUSY_SECONDS = 10.0
_LONGEST_VALUE = 1 << 16
# SQLite opens these beside a database, and waits for ever where one is a pipe.
_BESIDE = ("-journal", "-wal", "-shm")


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A push of the log: its number, when (seconds since 1970) and who."""

    push_id: int
    time: int
    user: str


def has_pushlog(repository: str) -> bool:
    """Say whether a repository has the database."""
    try:
        return stat.S_ISREG(os.lstat(_file(repository)).st_mode)
    except OSError:
        return False


def pushes_of(repository: str, nodes: Iterable[str], deadline: float) -> dict[str, Entry]:
    """Give the push that each of some nodes came with, of those that the log knows.

    Raises `HgFailed` where the database cannot be read.
    """
    for name in _BESIDE:
        _check_regular(repository, _file(repository) + name)
    uri = f"file:{quote(os.fsencode(_file(repository)))}?mode=ro"
    wanted, found = sorted(set(nodes)), {}
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)
    except sqlite3.Error as error:
        raise _unreadable(repository, error) from error
    try:
        # A view of a few bytes may stand for gigabytes.
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        connection.execute("PRAGMA trusted_schema = OFF")
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            found.update(_some(connection, some))
    except sqlite3.Error as error:
        raise _unreadable(repository, error) from error
    finally:
        connection.close()
    return found


def _some(connection: sqlite3.Connection, nodes: Sequence[str]) -> dict[str, Entry]:
    rows = connection.execute(_QUERY.format(marks=", ".join("?" * len(nodes))), nodes)
    return {
        str(node): Entry(push_id, date, user if isinstance(user, str) else "")
        for push_id, user, date, node in rows
        if isinstance(push_id, int) and isinstance(date, int)
    }


def _file(repository: str) -> str:
    return os.path.join(repository, ".hg", "pushlog2.db")


def _check_regular(repository: str, path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        raise _unreadable(repository, f"{path} is no regular file")


def _unreadable(repository: str, error: sqlite3.Error | str) -> HgFailed:
    return HgFailed(
        f"the pushlog of {repository} cannot be read ({error})",
        "let the account of the runtime read it, then retry what was parked",
    )
