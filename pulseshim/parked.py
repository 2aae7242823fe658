"""Parked items: what cannot go on without a person. They block nothing, and nothing of them is lost."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pulseshim.database import Database
from pulseshim.message import readable
from pulseshim.outbox import Stored

_COLUMNS = (
    "id, kind, feed, subject, cause, traceback, parked_at, position, awaiting, owner, suspicious, trusted"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """An item that waits for a person.

    `kind` is `invocation` (its plugin failed, or no plugin gives its feed), `envelope` (the broker refused
    it for good) or `file` (something in the spool that is no invocation). `subject` is the invocation's id,
    the message's id or the path the file now has. `cause` is one sentence; `traceback` may be empty.
    `awaiting` is `person`, `feed` (it goes on by itself once a plugin gives its feed) or `reader` (a retry
    was asked for and the runtime has not read it yet). `owner` is the number of the user that the file in
    the spool belonged to, None where there was none or it is not known. `suspicious` is what the source did
    not believe; `trusted` is what a person said is to be believed.
    """

    id: int
    kind: Literal["invocation", "envelope", "file"]
    feed: str
    subject: str
    cause: str
    traceback: str
    parked_at: int
    position: int | None
    awaiting: Literal["person", "feed", "reader"]
    owner: int | None = None
    suspicious: bool = False
    trusted: bool = False


class ParkedItems:
    """The parked items of a store. `now` gives the time in milliseconds since 1970.

    Whatever an exception or a file name says can be parked: bytes in it that are no text become readable.
    """

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def park_invocation(
        self,
        invocation: str,
        feed: str,
        content: bytes,
        cause: str,
        traceback: str = "",
        *,
        owner: int | None = None,
        no_feed: bool = False,
        suspicious: bool = False,
    ) -> Parked:
        """Park an invocation with the bytes of its spool file; from then on it counts as read.

        One that was parked before keeps its number and takes the new cause.
        """
        now = self._now()
        awaiting = "feed" if no_feed else "person"
        with self._database.step() as connection:
            row = connection.execute(
                "INSERT OR REPLACE INTO parked"
                " (id, kind, feed, subject, cause, traceback, parked_at, content, awaiting, owner,"
                " suspicious)"
                f" VALUES (?, 'invocation', ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {_COLUMNS}",
                (
                    _number(connection, "invocation", invocation),
                    feed,
                    invocation,
                    readable(cause),
                    readable(traceback),
                    now,
                    content,
                    awaiting,
                    owner,
                    suspicious,
                ),
            ).fetchone()
            connection.execute("INSERT OR REPLACE INTO invocations VALUES (?, ?)", (invocation, now))
        return _parked(row)

    def size(self, owner: int | None) -> int:
        """Give how many bytes of a user's invocations are parked."""
        sizes = "SELECT sum(length(content)) FROM parked WHERE kind = 'invocation' AND owner IS ?"
        return int(self._database.query(sizes, (owner,))[0][0] or 0)

    def park_envelope(self, account: str, stored: Stored, cause: str) -> Parked:
        """Take an envelope out of its queue and park it."""
        with self._database.step() as connection:
            connection.execute(
                "DELETE FROM pending WHERE account = ? AND position = ?", (account, stored.position)
            )
            row = connection.execute(
                "INSERT INTO parked (kind, feed, subject, cause, traceback, parked_at, account, position)"
                " SELECT 'envelope', feed, message_id, ?, '', ?, ?, position"
                " FROM envelopes WHERE position = ?"
                f" ON CONFLICT (position) DO UPDATE SET cause = excluded.cause RETURNING {_COLUMNS}",
                (readable(cause), self._now(), account, stored.position),
            ).fetchone()
        return _parked(row)

    def park_files(
        self, files: Iterable[tuple[str, str, int | None]], *, instead_of: Iterable[Parked] = ()
    ) -> list[Parked]:
        """Note files that are set aside because they are no invocations: path, cause and owner of each.

        They stay where they were put. One that could not be moved is met again by the next reader: it stays
        one item. In the same step, what they were noted as before is forgotten.
        """
        now = self._now()
        with self._database.step() as connection:
            for item in instead_of:
                connection.execute("DELETE FROM parked WHERE id = ?", (item.id,))
            return [
                _parked(
                    connection.execute(
                        "INSERT OR REPLACE INTO parked"
                        " (id, kind, feed, subject, cause, traceback, parked_at, owner)"
                        f" VALUES (?, 'file', '', ?, ?, '', ?, ?) RETURNING {_COLUMNS}",
                        (_number(connection, "file", path), path, readable(cause), now, owner),
                    ).fetchone()
                )
                for path, cause, owner in ((readable(path), cause, owner) for path, cause, owner in files)
            ]

    def items(self, ids: Sequence[int] = ()) -> list[Parked]:
        """Give the parked items with these numbers, or all, oldest first."""
        rows = self._database.query(f"SELECT {_COLUMNS} FROM parked ORDER BY id")
        return [item for item in map(_parked, rows) if not ids or item.id in ids]

    def content(self, item: Parked) -> bytes:
        """Give what the item holds: the invocation's file, the envelope's body; nothing for a file."""
        if item.position is not None:
            rows = self._database.query("SELECT body FROM envelopes WHERE position = ?", (item.position,))
        else:
            rows = self._database.query("SELECT coalesce(content, x'') FROM parked WHERE id = ?", (item.id,))
        return bytes(rows[0][0]) if rows else b""

    def retry(self, *items: Parked, trust: bool = False) -> None:
        """Put envelopes back into their queues, mark invocations to be read again: in one step.

        With `trust`, their source is told that a person vouches for them.
        """
        with self._database.step() as connection:
            for item in items:
                if item.kind == "invocation":
                    connection.execute(
                        "UPDATE parked SET awaiting = 'reader', trusted = ? WHERE id = ?", (trust, item.id)
                    )
                    continue
                connection.execute(
                    "INSERT OR IGNORE INTO pending"
                    " SELECT coalesce(exchanges.account, parked.account), position"
                    " FROM parked JOIN envelopes USING (position) LEFT JOIN exchanges USING (exchange)"
                    " WHERE id = ?",
                    (item.id,),
                )
                connection.execute("DELETE FROM parked WHERE id = ?", (item.id,))

    def discard(self, *items: Parked) -> None:
        """Forget items for good, in one step. Consumers see their numbers in the sequence as gaps."""
        with self._database.step() as connection:
            for item in items:
                if connection.execute("DELETE FROM parked WHERE id = ?", (item.id,)).rowcount:
                    connection.execute("DELETE FROM envelopes WHERE position = ?", (item.position,))

    def release(self, feeds: Sequence[str]) -> int:
        """Mark to be read again what was parked for a missing feed that is there now; say how many."""
        with self._database.step() as connection:
            return sum(
                connection.execute(
                    "UPDATE parked SET awaiting = 'reader' WHERE awaiting = 'feed' AND feed = ?", (feed,)
                ).rowcount
                for feed in feeds
            )

    def to_read(self) -> list[Parked]:
        """Give the invocations that are to be read again, oldest first."""
        rows = self._database.query(f"SELECT {_COLUMNS} FROM parked WHERE awaiting = 'reader' ORDER BY id")
        return [_parked(row) for row in rows]


def _number(connection: sqlite3.Connection, kind: str, subject: str) -> int | None:
    """Give the number that a subject is parked under already, if it is."""
    row = connection.execute(
        "SELECT id FROM parked WHERE kind = ? AND subject = ?", (kind, subject)
    ).fetchone()
    return int(row[0]) if row else None


def _parked(row: tuple[Any, ...]) -> Parked:
    number, kind, feed, subject, cause, traceback, parked_at, position, awaiting, *of_owner = row
    owner, suspicious, trusted = of_owner
    return Parked(
        id=number,
        kind=kind,
        feed=feed,
        subject=subject,
        cause=cause,
        traceback=traceback,
        parked_at=parked_at,
        position=position,
        awaiting=awaiting,
        owner=owner,
        suspicious=bool(suspicious),
        trusted=bool(trusted),
    )
