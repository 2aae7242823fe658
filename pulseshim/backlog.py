"""The figures of a store: what waits, since when, and what has been done. For `status` and the metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulseshim.condition import Condition, Conditions
from pulseshim.store import Store, holder, milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeFigures:
    """One exchange: envelopes waiting (and the oldest's time), confirmed ever, and the last confirm."""

    exchange: str
    account: str
    pending: int
    oldest: int | None
    confirmed: int
    confirmed_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A store at one moment. Times are in milliseconds since 1970, None where there is none.

    `running` names the process that works on the store; empty: none does. `counters` are those of the
    sources, as (feed, name, count); `cursors` what polls remember, as (feed, field, value); `suspicious` how
    many invocations were not believed, as (number of the user who wrote them, count).
    """

    directory: Path
    running: str
    spool: int
    spool_oldest: int | None
    exchanges: Sequence[ExchangeFigures]
    parked: dict[str, int]
    counters: Sequence[tuple[str, str, int]]
    cursors: Sequence[tuple[str, str, str]]
    conditions: Sequence[Condition]
    suspicious: Sequence[tuple[int | None, int]] = ()

    @property
    def pending(self) -> int:
        """Give how many envelopes await a confirm."""
        return sum(exchange.pending for exchange in self.exchanges)


_SUSPICIOUS = "SELECT owner, count(*) FROM parked WHERE suspicious GROUP BY owner ORDER BY 1"
_EXCHANGES = """
SELECT exchange, account, coalesce(waiting, 0), oldest, confirmed, confirmed_at FROM exchanges LEFT JOIN (
    SELECT exchange, count(*) AS waiting, min(sent) AS oldest
    FROM pending JOIN envelopes USING (position) GROUP BY exchange
) USING (exchange) ORDER BY exchange
"""


def figures(store: Store) -> Figures:
    """Give the figures of a store now. Raises `StoreError`."""
    query = store.database.query
    backlog = store.spool.backlog()
    running = holder(store.directory)
    cursors = query("SELECT feed, field, value FROM states WHERE key = CAST('cursor' AS BLOB) ORDER BY 1, 2")
    return Figures(
        directory=store.directory,
        running=running,
        spool=backlog.count,
        spool_oldest=backlog.oldest,
        exchanges=[
            ExchangeFigures(
                exchange=name,
                account=account,
                pending=pending,
                oldest=oldest,
                confirmed=count,
                confirmed_at=at,
            )
            for name, account, pending, oldest, count, at in query(_EXCHANGES)
        ],
        parked={str(kind): int(n) for kind, n in query("SELECT kind, count(*) FROM parked GROUP BY kind")},
        suspicious=[(owner, n) for owner, n in query(_SUSPICIOUS)],
        counters=[
            (feed, name, n) for feed, name, n in query("SELECT feed, name, count FROM counters ORDER BY 1, 2")
        ],
        cursors=[
            (feed, bytes(k).decode("utf-8", "replace"), bytes(v).decode("utf-8", "replace"))
            for feed, k, v in cursors
        ],
        conditions=[
            # What sources last said holds also when nothing runs, as between two polls of cron.
            condition
            for condition in Conditions(store.database, milliseconds).all()
            if running or condition.subject.startswith(("poll ", "admission "))
        ],
    )
