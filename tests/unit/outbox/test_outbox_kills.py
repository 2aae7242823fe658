"""A real process that kills itself at each moment that matters, and the one that goes on after it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pulseshim import Envelope, Exchange, Feed, HookSource, Invocation, Message, State
from pulseshim.database import Database
from pulseshim.outbox import Outbox
from pulseshim.parked import ParkedItems
from pulseshim.publisher import Settled
from pulseshim.reader import Reader
from pulseshim.recorder import record
from pulseshim.relay import Relay
from pulseshim.source import Outlet
from pulseshim.spool import Spool
from pulseshim.store import Store
from pulseshim.testing import MemoryPublisher

BROKEN, NUMBERS = 3, 4
NOW = 1_764_025_361_000


class Told(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.told"


EXCHANGE = Exchange("exchange/tests/v1", "Tests", "Of the tests.", (Told,))


def alive() -> None:
    """Be at a moment that matters, and live on."""


def dying_after(moments: int) -> Callable[[], None]:
    """Give what kills this process when it has been at so many moments."""
    left = iter(range(moments - 1, -1, -1))

    def moment() -> None:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return moment


class WatchedDatabase(Database):
    """A database that is at a moment before each step, before its commit, and after it."""

    def __init__(self, path: Path, moment: Callable[[], None]) -> None:
        self.moment = moment
        super().__init__(path)

    @contextmanager
    def step(self) -> Iterator[Any]:
        """Give the connection inside a transaction."""
        self.moment()
        with super().step() as connection:
            yield connection
            self.moment()
        self.moment()


class WatchedSpool(Spool):
    """A spool that is at a moment before a file is removed or set aside."""

    def __init__(self, directory: Path, moment: Callable[[], None]) -> None:
        self.moment = moment
        super().__init__(directory, largest=1 << 20)

    def remove(self, name: str) -> None:
        """Remove a file that has been read."""
        self.moment()
        super().remove(name)

    def set_aside(self, entry: Path, place: Path) -> bool:
        """Move an entry out of the way."""
        self.moment()
        return super().set_aside(entry, place)


class WatchedPublisher(MemoryPublisher):
    """A publisher whose broker writes what it holds into a file, so that it outlives the process."""

    def __init__(self, file: Path, moment: Callable[[], None]) -> None:
        super().__init__()
        self.file, self.moment = file, moment

    def publish(self, tag: int, envelope: Envelope) -> None:
        """Put an envelope in flight."""
        self.moment()
        super().publish(tag, envelope)

    def settle(self, timeout: float) -> Settled:
        """Give what the broker said; it holds what it confirms before it says so."""
        before = len(self.held)
        settled = super().settle(timeout)
        with self.file.open("ab") as file:
            file.writelines(envelope.body + b"\n" for envelope in self.held[before:])
        self.moment()
        return settled


def read(invocation: Invocation, state: State) -> Iterator[str]:
    """Give two events of an invocation, but of one that the plugin cannot read."""
    state.count("read")
    yield f"{invocation.id}/1"
    if invocation.arguments == (str(BROKEN),):
        raise RuntimeError("the plugin is broken")
    yield f"{invocation.id}/2"


def work(root: Path, moment: Callable[[], None]) -> None:
    """Read what is in the spool, publish it, and publish it once more."""
    database = WatchedDatabase(root / "outbox.sqlite3", moment)
    outbox, parked = Outbox(database, lambda: NOW), ParkedItems(database, lambda: NOW)
    store = Store(root, WatchedSpool(root / "spool", moment), database, outbox, parked)
    outbox.readdress({EXCHANGE.name: ""}, [])
    feed = Feed("tests", HookSource(read), lambda event: [Told(routing_key="a", event_id=event)], EXCHANGE)
    reader = Reader(store, {"tests": [Outlet(feed, "")]}, random=lambda: 0.0)
    publisher = WatchedPublisher(root / "broker", moment)
    relay = Relay("", outbox, parked, publisher, window=3, clock=lambda: 0.0, random=lambda: 0.0)
    reader.read_all()
    publish_all(outbox, relay)
    outbox.replay("1 = 1", ())
    publish_all(outbox, relay)
    relay.finish()
    database.close()


def publish_all(outbox: Outbox, relay: Relay) -> None:
    """Let the relay turn until nothing waits."""
    while outbox.waiting():
        relay.turn()


def fill(root: Path) -> None:
    """Make a store that nobody has opened yet, its spool filled by hooks and by a stranger."""
    Spool(root / "spool", largest=1).prepare("owner")
    for number in range(NUMBERS):
        arguments = (b"%d" % number,)
        record(os.fsencode(root / "spool"), b"tests", arguments, (), b"", b"/", number, bytes([number]) * 16)  # type: ignore[no-untyped-call] # hooks carry a copy
    (root / "spool" / "new" / "foreign").touch()


def die_everywhere(root: Path) -> None:
    """Work on a store of its own for each moment, and be killed there, until the work comes to its end."""
    for moments in count(1):
        here = root / f"{moments:03}"
        fill(here)
        child = os.fork()
        if child == 0:
            work(here, dying_after(moments))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            raise SystemExit(os.WEXITSTATUS(status))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Give the stores of processes that were killed, each at a moment of its own; the last was not."""
    root = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, __file__, str(root)], check=True, timeout=240)
    return sorted(root.iterdir())


@pytest.fixture(scope="module")
def finished(killed: list[Path]) -> list[Path]:
    """Give the same stores after another process has done the work to its end."""
    for root in killed:
        work(root, alive)
    return killed


def rows(root: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask the outbox of a store."""
    database = Database(root / "outbox.sqlite3", readonly=True)
    found = database.query(sql)
    database.close()
    return found


def held(root: Path) -> list[dict[str, Any]]:
    """Give the bodies that the broker of a store holds, in the order they came."""
    return [json.loads(line) for line in (root / "broker").read_bytes().splitlines()]


def test_there_are_as_many_kills_as_moments(killed: list[Path]) -> None:
    """Steps, removals and words to the broker: were there none, the tests below would show nothing."""
    assert len(killed) > 50
    assert len(held(killed[-1])) == 2 * len(expected())


def test_a_kill_never_damages_the_outbox(killed: list[Path]) -> None:
    """What the next process finds is sound, or not there yet; a schema that is half-way is gone on with."""
    checks = []
    for root in killed:
        database = Database(root / "outbox.sqlite3")
        checks.append(database.query("PRAGMA integrity_check"))
        database.close()

    assert checks == [[("ok",)]] * len(killed)


def test_after_a_kill_anywhere_the_broker_has_everything(finished: list[Path]) -> None:
    """At least once, under the ids that are the events' own."""
    lacking = {
        root.name: missing
        for root in finished
        if (missing := expected() - {body["_meta"]["message_id"] for body in held(root)})
    }

    assert lacking == {}


def test_after_a_kill_anywhere_nothing_was_read_twice(finished: list[Path]) -> None:
    """Sequences have no gap, and the source's own counter counts each invocation that was read once."""
    sequences = [rows(root, "SELECT sequence FROM envelopes ORDER BY position") for root in finished]
    counts = [rows(root, "SELECT count FROM counters") for root in finished]

    assert sequences == [[(number + 1,) for number in range(len(expected()))]] * len(finished)
    assert counts == [[(NUMBERS - 1,)]] * len(finished)


def test_after_a_kill_anywhere_the_order_holds_and_copies_are_equal(finished: list[Path]) -> None:
    """A consumer that drops what it has seen has every message once, in order."""
    for root in finished:
        first: dict[str, dict[str, Any]] = {}
        for body in held(root):
            assert first.setdefault(body["_meta"]["message_id"], body) == body
        numbers = [body["_meta"]["sequence"] for body in first.values()]

        assert numbers == sorted(numbers), root.name


def test_after_a_kill_anywhere_misfits_are_kept(finished: list[Path]) -> None:
    """The stranger's file lies aside, the invocation that cannot be read is parked once, none blocks."""
    for root in finished:
        names = [os.listdir(root / "spool" / place) for place in ("new", "tmp", "aside")]
        parked = rows(root, "SELECT subject FROM parked WHERE kind = 'invocation'")

        assert names == [[], [], ["foreign"]], root.name
        assert parked == [("-".join(("03" * 4, "03" * 2, "03" * 2, "03" * 2, "03" * 6)),)], root.name


def expected() -> set[str]:
    """Give the ids of all messages that must come out."""
    readable = [bytes([number]).hex() * 16 for number in range(NUMBERS) if number != BROKEN]
    ids = ["-".join((d[:8], d[8:12], d[12:16], d[16:20], d[20:])) for d in readable]
    return {Told(routing_key="a", event_id=f"{one}/{n}").message_id for one in ids for n in (1, 2)}


if __name__ == "__main__":
    die_everywhere(Path(sys.argv[1]))
