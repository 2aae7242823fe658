"""What one step added to the outbox: envelopes that stay in its file, read back where somebody asks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pulseshim.database import Database
from pulseshim.envelope import Envelope

COLUMNS = "message_id, exchange, routing_key, sequence, type, version, sent, body"
_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Added:
    """The `count` envelopes of a step, in their order; `last` is the position of the last of them.

    `ids` are the message ids of the first few. To iterate reads some at a time, whatever their number; what
    was deleted meanwhile, for nobody may see it any more, is left out.
    """

    database: Database
    count: int = 0
    last: int = 0
    ids: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Say how many there are."""
        return self.count

    def __iter__(self) -> Iterator[Envelope]:
        """Give the envelopes. Raises `StoreError`."""
        # A step has the file for itself: its positions follow each other.
        for first in range(self.last - self.count + 1, self.last + 1, _AT_ONCE):
            rows = self.database.query(
                f"SELECT {COLUMNS} FROM envelopes WHERE position BETWEEN ? AND ? ORDER BY position",
                (first, min(first + _AT_ONCE - 1, self.last)),
            )
            yield from map(envelope_of, rows)


def envelope_of(row: tuple[Any, ...]) -> Envelope:
    """Give the envelope of a row of `COLUMNS`."""
    message_id, exchange, routing_key, sequence, kind, version, sent, body = row
    return Envelope(
        message_id=message_id,
        exchange=exchange,
        routing_key=routing_key,
        sequence=sequence,
        type=kind,
        version=version,
        sent=sent,
        body=body,
    )
