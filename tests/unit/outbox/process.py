"""The process that the outbox's machine works: it may end at any moment, its broker and plugin may fail."""

import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine, initialize

from pulseshim import Envelope, Exchange, Feed, HookSource, Invocation, Message, Parked, State
from pulseshim.outbox import Outbox
from pulseshim.parked import ParkedItems
from pulseshim.publisher import Settled
from pulseshim.reader import Reader
from pulseshim.relay import Relay
from pulseshim.source import Outlet
from pulseshim.spool import Spool
from pulseshim.store import Store
from pulseshim.testing import MemoryPublisher
from tests.unit.fragile import Crash, FragileDatabase, Fuse

START = 1_764_025_361


class Told(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.told"
    number: int


ONE = Exchange("exchange/one/v1", "One", "Of the tests.", (Told,))
TWO = Exchange("exchange/two/v1", "Two", "Of the tests, of an account of its own.", (Told,))
ACCOUNTS = {ONE.name: "", TWO.name: "two"}
KEYS = ("a", "b")


class FragileSpool(Spool):
    """A spool whose process may end before a file is removed or set aside, and after it."""

    def __init__(self, directory: Path, fuse: Fuse) -> None:
        self.fuse = fuse
        super().__init__(directory, largest=1 << 20)

    def remove(self, name: str) -> None:
        """Remove a file that has been read."""
        self.fuse.burn()
        super().remove(name)
        self.fuse.burn()

    def set_aside(self, entry: Path, place: Path) -> bool:
        """Move an entry out of the way."""
        self.fuse.burn()
        moved = super().set_aside(entry, place)
        self.fuse.burn()
        return moved


class FragilePublisher(MemoryPublisher):
    """A publisher whose process may end around each word to the broker; it never sleeps."""

    def __init__(self, broker: MemoryPublisher, fuse: Fuse) -> None:
        super().__init__()
        self.fuse = fuse
        self.broker = broker
        # What the broker holds and refuses outlives the process that publishes to it.
        self.held, self.nack = broker.held, broker.nack
        self.refuse, self.refuse_exchanges = broker.refuse, broker.refuse_exchanges

    def open(self) -> None:
        """Connect, where the broker lets us."""
        self.fault, self.blocked = self.broker.fault, self.broker.blocked
        super().open()

    def publish(self, tag: int, envelope: Envelope) -> None:
        """Put an envelope in flight."""
        self.fuse.burn()
        super().publish(tag, envelope)

    def settle(self, timeout: float) -> Settled:  # noqa: ARG002 - time stands still here
        """Give what the broker said."""
        self.blocked = self.broker.blocked
        self.fuse.burn()
        settled = super().settle(0)
        self.fuse.burn()
        return settled


class Process(RuleBasedStateMachine):
    """A reader and relays on a store that outlives them, and what is known of all that was recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="outbox-machine-"))
        self.ticks = count(1)
        self.fuse = Fuse()
        self.broker = MemoryPublisher()
        self.broken = False
        self.is_plugged = True
        self.store: Store | None = None
        #: Every message that must come out: id by exchange, with the invocation it comes of.
        self.recorded: dict[str, list[str]] = {}
        self.foreign = 0
        self.ever_refused: set[str] = set()
        self.ever_nacked: set[str] = set()
        self.ever_broken: set[str] = set()
        self.refused_exchanges: set[str] = set()
        self.discarded: set[str] = set()

    def milliseconds(self) -> int:
        """Give a time that never stands still."""
        return START * 1000 + next(self.ticks)

    def read(self, invocation: Invocation, state: State) -> Iterator[tuple[str, str, int]]:
        """Give the events of an invocation; raise half-way through while the plugin is broken."""
        key, number = invocation.arguments
        state.count("read")
        for index in range(int(number)):
            yield invocation.id, key, index
        if self.broken:
            raise RuntimeError("the plugin is broken")

    @initialize()
    def open(self) -> None:
        """Start the runtime, be it after a crash."""
        if self.store is not None:
            self.store.close()
        self.database = database = FragileDatabase(self.root / "outbox.sqlite3", self.fuse)
        now = self.milliseconds
        spool = FragileSpool(self.root / "spool", self.fuse)
        spool.prepare("owner")
        self.store = Store(self.root, spool, database, Outbox(database, now), ParkedItems(database, now))
        self.store.outbox.readdress(ACCOUNTS, ["two"])
        self.make_reader()
        self.relays = [
            Relay(
                account,
                self.store.outbox,
                self.store.parked,
                FragilePublisher(self.broker, self.fuse),
                window=4,
                clock=lambda: float(next(self.ticks)),
                random=lambda: 0.5,
            )
            for account in ACCOUNTS.values()
        ]

    def make_reader(self) -> None:
        """Make the reader with the feeds that plugins give at the moment."""
        assert self.store
        source = HookSource(self.read)
        feeds = [Feed("tests", source, self.shim, exchange) for exchange in (ONE, TWO)]
        outlets = {"tests": [Outlet(feed, ACCOUNTS[feed.exchange.name]) for feed in feeds]}
        if not self.is_plugged:
            outlets = {}
        self.reader = Reader(
            self.store, outlets, random=lambda: 0.5, clock_ns=lambda: self.milliseconds() * 10**6
        )
        self.store.parked.release(list(outlets))

    def shim(self, event: tuple[str, str, int]) -> Iterator[Told]:
        """Make the message of an event."""
        identity, key, index = event
        yield Told(routing_key=key, event_id=f"{identity}/{index}", number=index)

    def working(self, *work: Callable[[], object], moments: int | None = None) -> None:
        """Do work; where the process ends after so many moments, start it again."""
        self.fuse.left = moments
        try:
            for one in work:
                one()
        except Crash:
            self.open()
        self.fuse.left = None

    @property
    def the_store(self) -> Store:
        """Give the store of the process that runs now."""
        assert self.store
        return self.store

    def parked(self) -> list[Parked]:
        """Give what a person may retry or discard."""
        return [item for item in self.the_store.parked.items() if item.kind != "file"]

    def waiting(self) -> list[str]:
        """Give the ids of the messages that await a confirm."""
        rows = self.rows("SELECT message_id FROM pending JOIN envelopes USING (position) ORDER BY position")
        return list(dict.fromkeys(message_id for (message_id,) in rows))

    def coming(self) -> list[str]:
        """Give the ids of the messages that the broker may still be given: those that wait come first."""
        held = {(envelope.exchange, envelope.message_id) for envelope in self.broker.held}
        recorded = [one for message_ids in self.recorded.values() for one in message_ids]
        there = [one for one in recorded if any((name, one) not in held for name in ACCOUNTS)]
        return list(dict.fromkeys([*self.waiting(), *there]))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the store."""
        return self.the_store.database.query(sql)
