"""An outbox, its parked items and its clock."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pulseshim import Exchange, Message
from pulseshim.database import Database
from pulseshim.envelope import Envelope
from pulseshim.outbox import Outbox, Outgoing, Stored
from pulseshim.parked import ParkedItems


class Told(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.told"
    version: ClassVar[int] = 3
    text: str = ""


ONE = Exchange("exchange/tests/one", "Tests", "Of the tests.", (Told,))
TWO = Exchange("exchange/other/two", "Tests", "Of the tests.", (Told,))


class Box:
    """An outbox, its parked items and its clock, in milliseconds since 1970."""

    def __init__(self, path: Path) -> None:
        self.at = 1000
        self.database = Database(path)
        self.outbox = Outbox(self.database, lambda: self.at)
        self.parked = ParkedItems(self.database, lambda: self.at)
        self.outbox.readdress({ONE.name: "", TWO.name: "other"}, ["other"])

    def store(self, *event_ids: str, key: str = "a", exchange: Exchange = ONE) -> list[Envelope]:
        """Store a message of each event, and give what is new."""
        return list(self.outbox.store([told(event_id, key, exchange) for event_id in event_ids]))

    def pending(self, account: str = "") -> list[Stored]:
        """Give what awaits its confirm."""
        return self.outbox.pending(account, limit=10_000)

    def confirm(self, *positions: int, account: str = "") -> None:
        """Confirm what stands at these places of the queue; all of it where none is named."""
        stored = self.pending(account)
        self.outbox.confirm(account, [stored[at] for at in positions] if positions else stored)

    def count(self, table: str) -> int:
        """Give how many rows a table has."""
        return int(self.database.query(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - a name of the tests


def told(event_id: str, key: str = "a", exchange: Exchange = ONE, text: str | None = None) -> Outgoing:
    message = Told(routing_key=key, event_id=event_id, text=event_id if text is None else text)
    return Outgoing(message, exchange, "tests", "" if exchange is ONE else "other")


def texts(stored: Sequence[Stored]) -> list[str]:
    """Give the events that envelopes are of."""
    return [json.loads(one.envelope.body)["payload"]["text"] for one in stored]
