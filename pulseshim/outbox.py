"""The outbox: sealed envelopes awaiting their confirm, and for a while those that have it."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from pulseshim.added import COLUMNS, Added, envelope_of
from pulseshim.database import Database
from pulseshim.envelope import Envelope, seal
from pulseshim.errors import InvalidDeclaration
from pulseshim.exchange import Exchange
from pulseshim.message import Message
from pulseshim.state import FeedState

_REPLAYABLE = (
    "FROM confirmed JOIN envelopes USING (position) JOIN exchanges USING (exchange)"
    " WHERE position NOT IN (SELECT position FROM pending)"
    " AND position NOT IN (SELECT position FROM parked WHERE position IS NOT NULL)"
)
_WRONG_VALUES = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
_PRUNED_AT_ONCE = 1000
_IDS_TOLD = 10


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way into the outbox: by which feed, to which exchange, as which account.

    `admission` says that the feed must admit it before each publishing (`Feed.admit`).
    """

    message: Message
    exchange: Exchange
    feed: str
    account: str
    admission: bool = False


class Stored(msgspec.Struct, frozen=True):
    """An envelope with its position: the outbox's own number, growing with the order of storing.

    `admitted_by` is the feed that must admit it before each publishing; empty: none.
    """

    position: int
    envelope: Envelope
    admitted_by: str = ""


class Outbox:
    """Envelopes in the order they were stored, each account's a queue of its own.

    `now` gives the time in milliseconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def state(self, feed: str) -> FeedState:
        """Give the state of a feed, for one reading; `store` writes what the source changed in it."""
        return FeedState(self._database, feed)

    def is_read(self, invocation: str) -> bool:
        """Say whether what came of an invocation is stored (or parked) already."""
        return bool(self._database.query("SELECT 1 FROM invocations WHERE id = ?", (invocation,)))

    def has(self, message: Message, exchange: Exchange) -> bool:
        """Say whether an exchange has already had a message of this id, as far as it is remembered."""
        known = "SELECT 1 FROM envelopes WHERE exchange = ? AND message_id = ?"
        return bool(self._database.query(known, (exchange.name, message.message_id)))

    def store(
        self,
        messages: Iterable[Outgoing],
        *,
        state: FeedState | None = None,
        invocation: str | None = None,
        parked: int | None = None,
    ) -> Added:
        """Seal and store messages, the source's state and "this invocation is read" in one step.

        Gives what is new: a message whose id the exchange has already had is not stored again.
        `parked` is the item the invocation was parked as; it is gone with the same step. Raises
        `InvalidDeclaration` where a message or the state holds what cannot be stored, and stores nothing.
        """
        count, last, ids = 0, 0, []
        with self._database.step() as connection, _plugins_values():
            for out in messages:
                if (new := self._insert(connection, out)) is not None:
                    count, last = count + 1, new.position
                    if count <= _IDS_TOLD:
                        ids.append(new.envelope.message_id)
            if state is not None:
                state.write(connection)
            if invocation is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO invocations VALUES (?, ?)", (invocation, self._now())
                )
            if parked is not None:
                connection.execute("DELETE FROM parked WHERE id = ?", (parked,))
        if state is not None:
            state.written()
        return Added(self._database, count, last, tuple(ids))

    def _insert(self, connection: sqlite3.Connection, out: Outgoing) -> Stored | None:
        known = "SELECT 1 FROM envelopes WHERE exchange = ? AND message_id = ?"
        if connection.execute(known, (out.exchange.name, out.message.message_id)).fetchone():
            return None
        (sequence,) = connection.execute(
            "INSERT INTO sequences VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
            (out.exchange.name, out.message.routing_key),
        ).fetchone()
        envelope = seal(out.message, out.exchange, sequence=sequence, sent=self._now())
        position = connection.execute(
            f"INSERT INTO envelopes (feed, admission, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                out.feed,
                out.admission,
                envelope.message_id,
                envelope.exchange,
                envelope.routing_key,
                envelope.sequence,
                envelope.type,
                envelope.version,
                envelope.sent,
                envelope.body,
            ),
        ).lastrowid
        connection.execute("INSERT INTO pending VALUES (?, ?)", (out.account, position))
        return Stored(cast(int, position), envelope)

    def pending(
        self,
        account: str,
        *,
        after: int = 0,
        limit: int,
        size: int | None = None,
        besides: Collection[str] = (),
    ) -> list[Stored]:
        """Give the oldest envelopes of an account that await a confirm, behind a position.

        With `size`, no more of them than until their bodies have that many bytes together: one at least.
        Those of the exchanges `besides` are left out.
        """
        found: list[Stored] = []
        rows = self._database.rows(
            f"SELECT position, iif(admission, feed, ''), {COLUMNS}"
            " FROM pending JOIN envelopes USING (position) WHERE account = ? AND position > ?"
            f" AND exchange NOT IN ({_marks(besides)}) ORDER BY position LIMIT ?",
            (account, after, *besides, limit),
        )
        with closing(rows):
            for row in rows:
                found.append(_stored(row))
                if size is not None and (size := size - len(found[-1].envelope.body)) <= 0:
                    break
        return found

    def waiting(self) -> dict[str, int]:
        """Give how many envelopes await a confirm, by account."""
        return dict(self._database.query("SELECT account, count(*) FROM pending GROUP BY account"))

    def readdress(self, accounts: Mapping[str, str], configured: Collection[str]) -> None:
        """Note which account publishes to which exchange now, and give it what waits for that exchange.

        What waits for an account that is configured no more goes to the one of `[broker]`.
        """
        with self._database.step() as connection:
            connection.executemany(
                "INSERT INTO exchanges (exchange, account) VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET account = excluded.account",
                list(accounts.items()),
            )
            connection.executemany(
                "UPDATE exchanges SET account = '' WHERE account = ?",
                connection.execute(
                    f"SELECT DISTINCT account FROM exchanges WHERE account NOT IN ({_marks(configured)})",
                    list(configured),
                ).fetchall(),
            )
            connection.execute(
                "UPDATE OR REPLACE pending SET account = new.account"
                " FROM envelopes JOIN exchanges AS new USING (exchange)"
                " WHERE envelopes.position = pending.position AND pending.account != new.account"
            )

    def confirm(self, account: str, envelopes: Sequence[Stored]) -> None:
        """Take note that the broker has confirmed envelopes."""
        now = self._now()
        with self._database.step() as connection:
            for first, last in _runs(sorted(stored.position for stored in envelopes)):
                connection.execute(
                    "INSERT OR REPLACE INTO confirmed SELECT position, ? FROM pending"
                    " WHERE account = ? AND position BETWEEN ? AND ?",
                    (now, account, first, last),
                )
                connection.execute(
                    "DELETE FROM pending WHERE account = ? AND position BETWEEN ? AND ?",
                    (account, first, last),
                )
            connection.executemany(
                "INSERT INTO exchanges (exchange, confirmed, confirmed_at) VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE"
                " SET confirmed = confirmed + excluded.confirmed, confirmed_at = excluded.confirmed_at",
                [(name, n, now) for name, n in Counter(s.envelope.exchange for s in envelopes).items()],
            )

    def withhold(self, envelopes: Sequence[Stored]) -> None:
        """Forget envelopes for good that their feeds do not admit; count them as `withheld` of the feed.

        Nothing of their bodies stays in the file. Each number in the sequence is seen as a gap by consumers.
        """
        positions = [(stored.position,) for stored in envelopes]
        with self._database.step() as connection:
            for table in ("pending", "confirmed", "envelopes"):
                connection.executemany(f"DELETE FROM {table} WHERE position = ?", positions)
            connection.executemany(
                "INSERT INTO counters VALUES (?, 'withheld', ?)"
                " ON CONFLICT DO UPDATE SET count = count + excluded.count",
                list(Counter(stored.admitted_by for stored in envelopes).items()),
            )
        self._database.scrub()

    def replay(self, condition: str, parameters: Sequence[str | int]) -> int:
        """Queue confirmed envelopes once more, in their old order, with their old ids; say how many.

        `condition` is SQL over the columns of `envelopes`.
        """
        with self._database.step() as connection:
            return connection.execute(
                f"INSERT OR IGNORE INTO pending SELECT account, position {_REPLAYABLE} AND ({condition})",
                parameters,
            ).rowcount

    def replayable(self, condition: str, parameters: Sequence[str | int]) -> int:
        """Give how many envelopes `replay` would queue."""
        return int(self._database.query(f"SELECT count(*) {_REPLAYABLE} AND ({condition})", parameters)[0][0])

    def prune(self, before: int) -> int:
        """Forget envelopes confirmed, and invocations read, before a time; say how many envelopes."""
        forgotten = 0
        while True:
            with self._database.step() as connection:
                rows = connection.execute(
                    "SELECT position FROM confirmed WHERE confirmed_at < ?"
                    " AND position NOT IN (SELECT position FROM pending)"
                    " AND position NOT IN (SELECT position FROM parked WHERE position IS NOT NULL) LIMIT ?",
                    (before, _PRUNED_AT_ONCE),
                ).fetchall()
                connection.executemany("DELETE FROM confirmed WHERE position = ?", rows)
                connection.executemany("DELETE FROM envelopes WHERE position = ?", rows)
                connection.execute(
                    "DELETE FROM invocations WHERE read_at < ?"
                    " AND id NOT IN (SELECT subject FROM parked WHERE kind = 'invocation')",
                    (before,),
                )
            forgotten += len(rows)
            if len(rows) < _PRUNED_AT_ONCE:
                return forgotten


@contextmanager
def _plugins_values() -> Iterator[None]:
    """Tell a value that SQLite does not take, which a plugin gave, from a store that cannot be written."""
    try:
        yield
    except _WRONG_VALUES as error:
        raise InvalidDeclaration(
            f"a message or the state holds a value that cannot be stored ({error})",
            "correct the plugin: names, keys and ids are str, not None or bytes",
        ) from error


def _stored(row: tuple[Any, ...]) -> Stored:
    position, admitted_by, *envelope = row
    return Stored(position, envelope_of(tuple(envelope)), admitted_by)


def _runs(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give first and last of each run of numbers without a gap."""
    first = last = None
    for position in positions:
        if last is not None and first is not None and position != last + 1:
            yield first, last
            first = position
        first, last = position if first is None else first, position
    if first is not None and last is not None:
        yield first, last


def _marks(values: Collection[str]) -> str:
    """Give the question marks for a list of SQL parameters."""
    return ", ".join("?" * len(values))
