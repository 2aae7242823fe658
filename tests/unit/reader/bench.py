"""A store, what was recorded into it, and what its reader told."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import ClassVar

from pulseshim import Exchange, Feed, HookSource, Invocation, Message, State
from pulseshim.envelope import Envelope
from pulseshim.parked import Parked
from pulseshim.reader import Reader, ReaderEnds
from pulseshim.recorder import record
from pulseshim.settings import Settings, StoreSettings
from pulseshim.source import Outlet
from pulseshim.store import open_store

NOW = 1_764_025_361 * 10**9
LARGEST = 4096


class Read(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.read"
    text: str


ONE = Exchange("exchange/tests/one", "Tests", "Of the tests.", (Read,))
TWO = Exchange("exchange/tests/two", "Tests", "Of the tests.", (Read,))
ReadInvocation = Callable[[Invocation, State], Iterable[str]]


def shim(text: str) -> Iterator[Read]:
    """Make a message of each text; its routing key is the text."""
    yield Read(routing_key=text, event_id=text, text=text)


def words(invocation: Invocation, state: State) -> Iterator[str]:
    """Give the arguments as events, and count them."""
    for argument in invocation.arguments:
        state.count("words")
        yield argument


class Bench:
    """A store, what was recorded into it, and what its reader told."""

    def __init__(self, directory: Path, largest: int = LARGEST) -> None:
        self.settings = Settings(store=StoreSettings(directory=str(directory), largest_invocation=largest))
        self.store = open_store(self.settings)
        self.new = self.store.spool.directory / "new"
        self.stored: list[str] = []
        self.parked: list[Parked] = []
        self.numbers = count(1)

    def put(self, *arguments: str, feed: str = "words", stdin: bytes = b"") -> str:
        """Record an invocation, each a second after the one before, and give the name of its file."""
        number = next(self.numbers)
        now = NOW + number * 10**9
        given = [os.fsencode(argument) for argument in arguments]
        spool = os.fsencode(self.store.spool.directory)
        identity = record(spool, feed.encode(), given, (), stdin, b"/", now, number.to_bytes(16, "big"))  # type: ignore[no-untyped-call] # hooks carry a copy
        return f"{now:020}-{identity}"

    def reader(
        self, read: ReadInvocation = words, *, most_parked: int = 1 << 30, **feeds: ReadInvocation
    ) -> Reader:
        """Make a reader; `read` is the source of the feed `words`."""
        sources = {"words": read, **feeds}
        outlets = {
            name: [Outlet(Feed(name, HookSource(source), shim, ONE), "")] for name, source in sources.items()
        }
        ends = ReaderEnds(stored=self.note, parked=self.parked.append)
        return Reader(
            self.store,
            outlets,
            random=lambda: 0.99,
            ends=ends,
            clock_ns=lambda: NOW,
            most_parked=most_parked,
        )

    def note(self, envelopes: Iterable[Envelope]) -> None:
        """Take note of what the reader says it stored."""
        self.stored += [envelope.routing_key for envelope in envelopes]

    def waiting(self) -> list[str]:
        """Give the texts of what awaits its confirm, in order."""
        bodies = [stored.envelope.body for stored in self.store.outbox.pending("", limit=10_000)]
        return [json.loads(body)["payload"]["text"] for body in bodies]
