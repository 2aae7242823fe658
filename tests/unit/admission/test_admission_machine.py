"""Admission as a state machine: what is published was admitted just now, what is admitted is published."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pulseshim import Envelope, Exchange, Message, SourceUnavailable
from pulseshim.admission import Admission, Admissions
from pulseshim.errors import BrokerUnreachable
from pulseshim.outbox import Outbox, Outgoing
from pulseshim.parked import ParkedItems
from pulseshim.publisher import Settled
from pulseshim.relay import Relay, RelayEnds
from pulseshim.testing import MemoryPublisher
from tests.unit.fragile import Crash, FragileDatabase, Fuse, steps

HOLDS_FOR = 30
HEALED_WITHIN = 1000
KEYS = ("a", "b")
TROUBLE = ("hide", "anew", "nack", "down", "lost", "lost, taken", "away", "replay", "mend")
WORKS = (*KEYS * 3, *("relay", "admission") * 5, "time", "time", "mend", *TROUBLE)
MOMENTS = st.none() | st.integers(1, 40)
"""After how many of the moments at which it makes a difference the process is killed; None: it is not."""


class Told(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.told"


EXCHANGE = Exchange("exchange/tests/gated", "Tests", "Of the tests.", (Told,))


def told(number: int, key: str) -> Told:
    return Told(routing_key=key, event_id=str(number))


class World:
    """What outlives a process: the time, the source with what it hides, the broker, and when all ends."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fuse = Fuse()
        self.source_fault: Exception | None = None
        self.broker_fault: BrokerUnreachable | None = None
        self.hidden: set[str] = set()
        self.admitted: dict[str, float] = {}
        self.refused: set[str] = set()
        self.broker = MemoryPublisher()

    def admit(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Say what may go, as the feed does; it takes a second."""
        self.fuse.burn()
        if self.source_fault is not None:
            raise self.source_fault
        shown = [envelope for envelope in envelopes if envelope.message_id not in self.hidden]
        self.admitted |= {envelope.message_id: self.now for envelope in shown}
        self.refused |= {envelope.message_id for envelope in envelopes} & self.hidden
        self.now += 1
        self.fuse.burn()
        return shown


class Watched(MemoryPublisher):
    """A publisher that sees when each envelope is put on the wire, and whether it was admitted by then."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.held, self.nack = world.broker.held, world.broker.nack

    def open(self) -> None:
        """Connect, where the broker lets us."""
        self.fault = self.world.broker_fault
        super().open()

    def publish(self, tag: int, envelope: Envelope) -> None:
        """Put an envelope in flight."""
        self.world.fuse.burn()
        assert self.world.now - self.world.admitted[envelope.message_id] < HOLDS_FOR
        super().publish(tag, envelope)

    def settle(self, timeout: float) -> Settled:  # noqa: ARG002 - time stands still here
        """Give what the broker said."""
        self.world.fuse.burn()
        settled = super().settle(0)
        self.world.fuse.burn()
        return settled


class AdmissionMachine(RuleBasedStateMachine):
    """A feed that must admit what it gave, a relay that is killed, a broker that nacks and goes away."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="admission-machine-"))
        self.world = World()
        self.database: FragileDatabase | None = None
        self.made: dict[str, tuple[int, str]] = {}
        self.nacked: set[str] = set()

    def teardown(self) -> None:
        """Mend all, see that all that is admitted goes out, and clean up."""
        try:
            if self.database is not None:
                self.everything_admitted_is_at_the_broker()
        finally:
            if self.database is not None:
                self.database.close()
            shutil.rmtree(self.root)

    @initialize()
    def start(self) -> None:
        """Start the process, be it after a crash."""
        if self.database is not None:
            self.database.close()
        world = self.world
        self.database = FragileDatabase(self.root / "outbox.sqlite3", world.fuse)
        self.outbox = Outbox(self.database, lambda: 1)
        self.outbox.readdress({EXCHANGE.name: ""}, [])
        self.admission = Admission(
            EXCHANGE.name, {"tests": world.admit}, self.outbox, clock=lambda: world.now, random=lambda: 0.0
        )
        self.publisher = Watched(world)
        self.relay = Relay(
            "",
            self.outbox,
            ParkedItems(self.database, lambda: 1),
            self.publisher,
            window=4,
            clock=lambda: world.now,
            random=lambda: 0.0,
            ends=RelayEnds(admissions=Admissions([self.admission])),
        )
        self.turns: dict[str, Callable[[], object]] = {
            "relay": self.relay.turn,
            "admission": self.admission.turn,
            "mend": self.mend,
            "replay": lambda: self.outbox.replay("1", ()),
        }

    def working(self, work: Callable[[], object], moments: int | None) -> None:
        """Do work; where the process ends after so many moments, start it again."""
        self.world.fuse.left = moments
        try:
            work()
        except Crash:
            self.start()
        self.world.fuse.left = None

    def store(self, numbers: Sequence[tuple[int, str]]) -> None:
        """Store messages, as a poll does; those that are known already are passed over."""
        messages = [told(number, key) for number, key in numbers]
        self.outbox.store([Outgoing(message, EXCHANGE, "tests", "", admission=True) for message in messages])

    @rule(works=st.lists(st.sampled_from(WORKS), min_size=8, max_size=40), moments=MOMENTS)
    def the_runtime_works(self, works: list[str], moments: int | None) -> None:
        """Let relay and admission take turns while all around them changes; perhaps be killed."""

        def work() -> None:
            for one in works:
                self.work(one)

        self.working(work, moments)

    def work(self, what: str) -> None:
        """Do one thing. Time passes by as much as an answer holds, but for the second that it takes."""
        world = self.world
        if what in KEYS:
            new = (len(self.made), what)
            self.store([new])
            self.made[told(*new).message_id] = new
        elif what == "anew":  # what was withheld and is public now
            self.store([self.made[one] for one in sorted(self.made.keys() & world.refused - world.hidden)])
        elif what == "time":
            world.now += HOLDS_FOR - 1
        elif what == "hide":
            world.hidden |= set(self.waiting()[:2])
        elif what == "nack":
            world.broker.nack.update(self.waiting()[:1])
            self.nacked |= set(self.waiting()[:1])
        elif what == "down":
            world.source_fault = SourceUnavailable("it is down", "wait")
        elif what.startswith("lost"):
            self.publisher.lose_connection(after=1, taken=what == "lost, taken")
        elif what == "away":
            world.broker_fault = BrokerUnreachable("nobody listens")
        else:
            self.turns[what]()

    def mend(self) -> None:
        """Have all answer again, and show all."""
        self.world.source_fault = self.world.broker_fault = None
        self.world.broker.nack.clear()
        self.world.hidden.clear()

    def waiting(self) -> list[str]:
        """Give the ids of what awaits a confirm."""
        return [stored.envelope.message_id for stored in self.outbox.pending("", limit=1000)]

    @invariant()
    def nothing_is_lost(self) -> None:
        """What was made waits or is at the broker, unless the source refused it at some time."""
        held = {envelope.message_id for envelope in self.world.broker.held}
        assert self.made.keys() <= {*self.waiting()} | held | self.world.refused

    @invariant()
    def the_order_holds(self) -> None:
        """First copies come in the order of each key; only what was nacked comes late."""
        last: Counter[str] = Counter()
        seen: set[str] = set()
        for envelope in self.world.broker.held:
            if envelope.message_id not in seen | self.nacked:
                seen.add(envelope.message_id)
                assert envelope.sequence > last[envelope.routing_key]
                last[envelope.routing_key] = envelope.sequence

    def everything_admitted_is_at_the_broker(self) -> None:
        """With all mended, nothing waits; what was never refused is there."""
        self.mend()
        for _ in range(HEALED_WITHIN):
            if not self.waiting():
                break
            self.relay.turn()
            self.admission.turn()
        assert self.waiting() == []
        held = {envelope.message_id for envelope in self.world.broker.held}
        assert self.made.keys() - self.world.refused <= held
        self.the_order_holds()


# The disk may be busy.
TestAdmissionMachine = pytest.mark.timeout(400)(AdmissionMachine.TestCase)
TestAdmissionMachine.settings = steps(60, 8)
