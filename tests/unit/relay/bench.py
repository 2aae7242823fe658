"""A relay between an outbox on disk and a broker in memory, worked turn by turn."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from msgspec import structs

from pulseshim import Exchange, Message, Parked
from pulseshim.database import Database
from pulseshim.errors import StoreUnavailable
from pulseshim.outbox import Outbox, Outgoing, Stored
from pulseshim.parked import ParkedItems
from pulseshim.publisher import Settled
from pulseshim.relay import Relay, RelayEnds
from pulseshim.testing import MemoryPublisher

IDLE = 1.0
ENOUGH = 200


class Landed(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.landed"
    text: str = ""


EXCHANGE = Exchange("exchange/tests/v1", "Tests", "Of the tests.", (Landed,))
OTHER = Exchange("exchange/tests/v2", "Tests", "Of the tests.", (Landed,))


def message(name: str) -> Landed:
    return Landed(routing_key="main", event_id=name)


def id_of(name: str) -> str:
    return message(name).message_id


class WatchedPublisher(MemoryPublisher):
    """A publisher that notes how many were in flight, keeps silent when told to, and takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.most = self.most_bytes = 0
        self.silent = 0
        self.settled = 0

    def settle(self, timeout: float) -> Settled:
        """Settle, or say nothing for so many calls."""
        self.most = max(self.most, self.in_flight)
        self.most_bytes = max(self.most_bytes, sum(len(e.body) for _, e in self._in_flight))
        self.settled += 1
        if self.silent and self.in_flight:
            self.silent -= 1
            self.now += timeout
            return Settled()
        return super().settle(timeout)


class FailingOutbox(Outbox):
    """An outbox whose disk is full for so many confirms."""

    failures = 0

    def confirm(self, account: str, envelopes: Sequence[Stored]) -> None:
        """Write confirms, or fail."""
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the outbox cannot be written", "make room")
        super().confirm(account, envelopes)


class Bench:
    """A relay between an outbox on disk and a broker in memory, with all that it told."""

    def __init__(self, directory: Path, window: int) -> None:
        self.database = Database(directory / "outbox.sqlite3")
        self.outbox = FailingOutbox(self.database, lambda: 1)
        self.parked = ParkedItems(self.database, lambda: 1)
        self.publisher = WatchedPublisher()
        self.told: list[str] = []
        self.confirmed: list[str] = []
        self.items: list[Parked] = []
        self.relay = Relay(
            "",
            self.outbox,
            self.parked,
            self.publisher,
            window=window,
            clock=lambda: self.publisher.now,
            random=lambda: 0.0,
            ends=RelayEnds(condition=self._condition, confirmed=self._confirmed, parked=self.items.append),
        )

    def _condition(self, condition: str, _detail: str) -> None:
        self.told.append(condition)

    def _confirmed(self, batch: Sequence[Stored]) -> None:
        self.confirmed += [stored.envelope.message_id for stored in batch]

    def store(
        self, names: Iterable[str], *, exchange: Exchange = EXCHANGE, account: str = "", text: str = ""
    ) -> None:
        """Store a message for each name, with a text."""
        messages = [structs.replace(message(name), text=text) for name in names]
        self.outbox.store([Outgoing(message, exchange, "tests", account) for message in messages])

    def turns(self) -> list[float]:
        """Turn until there is nothing to do, and give the pauses."""
        pauses: list[float] = []
        while not pauses or pauses[-1] != IDLE:
            pauses.append(self.relay.turn())
            assert len(pauses) < ENOUGH
        return [pause for pause in pauses if pause != IDLE]

    @property
    def waiting(self) -> int:
        """Give how many envelopes have no confirm."""
        return sum(self.outbox.waiting().values())

    @property
    def held(self) -> str:
        """Give the names of what the broker has, in order and each time it came."""
        names = {id_of(name): name for name in "abcdefghij"}
        return "".join(names[envelope.message_id] for envelope in self.publisher.held)
