"""The conditions of a running service, kept where `status` of another process can see them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pulseshim.database import Database
from pulseshim.message import readable


@dataclass(frozen=True, slots=True)
class Condition:
    """How something is (`connected`, `blocked`, `unreachable`, …), why, and since when.

    `subject` is `relay` or `relay <account>`, `poll <feed>`, `stream <feed>`, or `admission <exchange>`;
    `since` is in milliseconds since 1970.
    """

    subject: str
    condition: str
    detail: str
    since: int


class Conditions:
    """The last known condition of each relay, poll, stream and admission."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def set(self, subject: str, condition: str, detail: str) -> None:
        """Note a condition; the time is that of its change."""
        with self._database.step() as connection:
            connection.execute(
                "INSERT INTO conditions VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " since = iif(condition = excluded.condition, since, excluded.since),"
                " condition = excluded.condition, detail = excluded.detail",
                (subject, condition, readable(detail), self._now()),
            )

    def clear(self, keep: Iterable[str] = ()) -> None:
        """Forget all but some subjects: a new service begins."""
        kept = set(keep)
        with self._database.step() as connection:
            subjects = [subject for (subject,) in connection.execute("SELECT subject FROM conditions")]
            gone = [(subject,) for subject in subjects if subject not in kept]
            connection.executemany("DELETE FROM conditions WHERE subject = ?", gone)

    def all(self) -> list[Condition]:
        """Give all conditions in the order of their subjects."""
        rows = self._database.query(
            "SELECT subject, condition, detail, since FROM conditions ORDER BY subject"
        )
        return [Condition(*row) for row in rows]
