"""A relay with one exchange whose messages a judge must admit, worked turn by turn."""

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pulseshim import Envelope, Exchange, Message
from pulseshim.admission import Admission, AdmissionEnds, Admissions
from pulseshim.database import Database
from pulseshim.errors import StoreUnavailable
from pulseshim.outbox import Outbox, Outgoing
from pulseshim.parked import ParkedItems
from pulseshim.relay import Relay, RelayEnds
from pulseshim.testing import MemoryPublisher

SECRET = "the secret plan"
ENOUGH = 300
IDLE = 1.0


class Told(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.told"
    text: str


GATED = Exchange("exchange/tests/gated", "Tests", "Of the tests.", (Told,))
PLAIN = Exchange("exchange/tests/plain", "Tests", "Of the tests.", (Told,))


class Judge:
    """A feed's `admit`: it lets all go but what is `hidden`, and raises `fault` while that is set."""

    def __init__(self) -> None:
        self.hidden: set[str] = set()
        self.fault: Exception | None = None
        self.asked: list[list[str]] = []

    def __call__(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Give those that may go."""
        if self.fault is not None:
            raise self.fault
        ids = {told(text).message_id for text in self.hidden}
        self.asked.append([envelope.message_id for envelope in envelopes])
        return [envelope for envelope in envelopes if envelope.message_id not in ids]


def told(text: str) -> Told:
    return Told(routing_key="main", event_id=text, text=text)


class Bench:
    """A relay with one exchange whose messages a judge must admit, worked turn by turn."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = 0.0
        self.judge = Judge()
        self.not_before: Counter[str] = Counter()
        self.told: list[tuple[str, str]] = []
        self.full = False
        self.noted = threading.Event()
        self.woken = 0
        self.answered = threading.Event()
        self.publisher = MemoryPublisher()
        self.database = Database(directory / "outbox.sqlite3")
        self.outbox = Outbox(self.database, lambda: 1)
        self.parked = ParkedItems(self.database, lambda: 1)
        self.start()

    def start(self, **feeds: Judge) -> None:
        """Start admission and relay anew, with these feeds in place of the one."""
        self.admission = Admission(
            GATED.name,
            feeds or {"tests": self.judge},
            self.outbox,
            clock=lambda: self.now,
            random=lambda: 0.0,
            ends=AdmissionEnds(
                condition=self._note,
                answered=self._wake,
                wait=lambda feed: max(0.0, self.not_before[feed] - self.now),
                pause=lambda feed, seconds: self.not_before.update({feed: self.now + seconds}),
            ),
        )
        self.relay = Relay(
            "",
            self.outbox,
            self.parked,
            self.publisher,
            window=100,
            clock=lambda: self.now,
            random=lambda: 0.0,
            ends=RelayEnds(admissions=Admissions([self.admission])),
        )

    def _note(self, condition: str, detail: str) -> None:
        if self.full:
            raise StoreUnavailable("the disk is full")
        self.told.append((condition, detail))
        self.noted.set()

    def _wake(self) -> None:
        self.woken += 1
        self.answered.set()

    def store(
        self, *texts: str, exchange: Exchange = GATED, feed: str = "tests", admission: bool = True
    ) -> None:
        """Store a message for each text."""
        self.outbox.store([Outgoing(told(text), exchange, feed, "", admission) for text in texts])

    def work(self) -> None:
        """Let relay and admission take turns until there is nothing to do now."""
        for _ in range(ENOUGH):
            rest = self.relay.turn()
            pause = self.admission.turn()
            if rest == IDLE and not self.admission.has_answered and (pause or not self.admission.is_asked):
                return
        raise AssertionError("it does not come to rest")

    def held(self) -> list[str]:
        """Give the texts of what the broker has, in order and each time it came."""
        texts = {told(text).message_id: text for text in [*"abcdefgh", SECRET, *map(str, range(500))]}
        return [texts[envelope.message_id] for envelope in self.publisher.held]

    def waiting(self) -> int:
        """Give how many envelopes have no confirm."""
        return sum(self.outbox.waiting().values())

    def on_disk(self) -> bytes:
        """Give all that stands in the store's files."""
        return b"".join(path.read_bytes() for path in sorted(self.directory.iterdir()))

    def withheld(self) -> list[tuple[str, int]]:
        """Give the counters."""
        return [(feed, n) for feed, n in self.database.query("SELECT feed, count FROM counters")]
