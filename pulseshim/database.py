"""The SQLite file that the outbox lives in: opened, migrated, and written in whole steps."""

import sqlite3
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulseshim.errors import StoreCorrupt, StoreError, StoreUnavailable, StoreVersion
from pulseshim.schema import MIGRATIONS

_BUSY_SECONDS = 30.0
_PAUSE_SECONDS = 0.01
_MEMORY = "file::memory:"
_OURS = int.from_bytes(b"puls")
"""SQLite's `application_id`: whose file it is."""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Database:
    """One connection to the outbox's file, shared by the threads of a process.

    It is in WAL mode and fully synchronous: what a step has written survives the machine losing power. A file
    that is not there yet, or has no tables yet, reads as an empty one.
    """

    def __init__(self, path: Path, *, readonly: bool = False, migrations: Sequence[str] = MIGRATIONS) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._migrations = migrations
        missing = readonly and not path.exists()
        with self._translated():
            self._connection = _connect(_MEMORY if missing else self._uri("ro" if readonly else "rwc"))
            try:
                self._prepare(readonly=readonly and not missing)
            except BaseException:
                self._connection.close()
                raise

    def _uri(self, mode: str) -> str:
        return f"{self.path.absolute().as_uri()}?mode={mode}"

    def _prepare(self, *, readonly: bool) -> None:
        known = len(self._migrations)
        found = self._look()
        if found > known:
            raise StoreVersion(
                f"{self.path} has schema version {found}, this pulseshim knows versions up to {known}",
                "install the version of pulseshim that wrote it, or a later one",
            )
        if found == 0 and readonly:
            # Whoever made the file has not come to its tables: was killed there, or is about to.
            self._connection.close()
            self._connection = _connect(_MEMORY)
            readonly = False
        if found < known and readonly:
            raise StoreVersion(
                f"{self.path} has schema version {found}, this pulseshim reads version {known}",
                "start pulseshim run or drain once: it brings the file up to date",
            )
        if readonly:
            return
        # Only now: what is not ours, or of another version, stays as it is to the last byte.
        self._write_ahead()
        self._connection.execute("PRAGMA synchronous = FULL")
        # What is deleted is overwritten: some of it is deleted because nobody may read it any more.
        self._connection.execute("PRAGMA secure_delete = ON")
        self._migrate()

    def _write_ahead(self) -> None:
        """Switch to WAL. Where others do so at the same moment, SQLite does not wait for them by itself."""
        until = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return

    def _look(self) -> int:
        """Give the schema's version, 0 where there is nothing yet. Raises `StoreVersion`: it is not ours."""
        self._connection.execute("BEGIN")  # all is of one moment: others may begin now
        try:
            parts = {sql for (sql,) in self._connection.execute("SELECT sql FROM sqlite_schema").fetchall()}
            version, owner = self._number("user_version"), self._number("application_id")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        # The first files were made without a mark: they are known by their first table.
        unmarked = owner == 0 and (_statements(self._migrations[0])[0] in parts or not (parts or version))
        if owner != _OURS and not unmarked:
            raise StoreVersion(
                f"{self.path} is a database of something else", "name another directory in store.directory"
            )
        return version

    def _number(self, name: str) -> int:
        """Give one of the numbers in the header of the file."""
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _migrate(self) -> None:
        """Bring the schema up to date in one step: no crash leaves a version in between."""
        with self.step() as connection:
            if self._number("application_id") != _OURS:
                connection.execute(f"PRAGMA application_id = {_OURS}")
            for version, migration in list(enumerate(self._migrations, 1))[self._number("user_version") :]:
                for statement in _statements(migration):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version}")

    @contextmanager
    def step(self) -> Iterator[sqlite3.Connection]:
        """Give the connection inside a transaction: all that is written there is true, or none of it."""
        with self._lock, self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Give all rows of a query."""
        with self._lock, self._translated():
            return self._connection.execute(sql, parameters).fetchall()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Generator[tuple[Any, ...], None, None]:
        """Give the rows of a query one by one. Close it: until then no other thread gets to the file."""
        with self._lock, self._translated():
            cursor = self._connection.execute(sql, parameters)
            try:
                yield from cursor
            finally:
                cursor.close()

    def scrub(self) -> None:
        """Write the log of the last steps into the file and empty it: it holds what they deleted.

        Where another process reads at this moment, that is left to the next time: nobody waits for it.
        """
        with self._lock, self._translated():
            self._connection.execute("PRAGMA busy_timeout = 0")
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000:.0f}")

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        with self._lock, self._translated():
            self._connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _translate(error, self.path) from error


def _connect(uri: str) -> sqlite3.Connection:
    """Give a connection whose transactions are begun by hand."""
    return sqlite3.connect(
        uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def _statements(migration: str) -> list[str]:
    """Give the statements of a migration, as SQLite keeps them for what they make."""
    return [text for statement in migration.split(";") if (text := statement.strip())]


def _translate(error: sqlite3.Error, path: Path) -> StoreError:
    """Say what an error of SQLite means for the store."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
        return StoreCorrupt(
            f"{path} is damaged ({error})",
            "move it and its -wal file away, restore a backup or rescue it with `sqlite3 FILE .recover`",
        )
    return StoreUnavailable(
        f"{path} cannot be used ({error})",
        "see that the directory exists, belongs to the account of pulseshim and has free space",
    )
