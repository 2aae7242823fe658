"""The promise as a state machine: what was recorded is published, whatever fails and wherever it crashes."""

import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from pulseshim import Envelope
from pulseshim.errors import BrokerDenied, BrokerUnreachable, StoreUnavailable
from pulseshim.recorder import record
from pulseshim.testing import MemoryPublisher
from tests.unit.fragile import steps
from tests.unit.outbox.process import ACCOUNTS, KEYS, ONE, START, TWO, Process, Told

HEALED_WITHIN = 1000
FAULTS = {"denied": BrokerDenied("wrong password"), "unreachable": BrokerUnreachable("nobody listens")}
MOMENTS = st.none() | st.integers(1, 24)
"""After how many of the moments at which it makes a difference the process is killed; None: it is not."""


def trying(work: Callable[[], object]) -> Callable[[], None]:
    """Give work that may find the disk full: who asked for it asks again. A relay sees to that itself."""

    def tried() -> None:
        with suppress(StoreUnavailable):
            work()

    return tried


class OutboxMachine(Process):
    """Hooks that record, a runtime that reads and relays and is killed, and a broker that fails."""

    def teardown(self) -> None:
        """Heal everything, see that all went out, and clean up."""
        try:
            if self.store is not None:
                self.heal()
                self.everything_is_at_the_broker()
        finally:
            if self.store is not None:
                self.store.close()
            shutil.rmtree(self.root)

    @rule(invocations=st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 4)), min_size=1, max_size=4))
    def hooks_record(self, invocations: list[tuple[str, int]]) -> None:
        """Record invocations, as hooks do whether a runtime is there or not."""
        for key, number in invocations:
            tick = next(self.ticks)
            identity = record(  # type: ignore[no-untyped-call] # hooks carry a copy
                os.fsencode(self.root / "spool"),
                b"tests",
                (key.encode(), b"%d" % number),
                (),
                b"",
                b"/",
                (START * 1000 + tick) * 10**6,
                tick.to_bytes(16, "big"),
            )
            messages = [Told(routing_key=key, event_id=f"{identity}/{i}", number=i) for i in range(number)]
            self.recorded[identity] = [message.message_id for message in messages]

    @rule()
    def something_foreign_is_dropped_into_the_spool(self) -> None:
        """Drop a file that is no invocation."""
        self.foreign += 1
        (self.root / "spool" / "new" / f"foreign-{self.foreign}").write_text("hostile")

    @rule(reading=st.booleans(), turns=st.integers(0, 8), moments=MOMENTS)
    def the_runtime_works(self, *, reading: bool, turns: int, moments: int | None) -> None:
        """Read what is in the spool, let each relay do a few turns; perhaps be killed meanwhile."""
        if reading and (self.broken or not self.is_plugged):
            self.ever_broken |= self.recorded.keys()
        work = [trying(self.reader.read_all)] if reading else []
        self.working(*work, *[relay.turn for relay in self.relays] * turns, moments=moments)

    @rule(moments=MOMENTS)
    def the_runtime_stops_and_starts(self, moments: int | None) -> None:
        """Stop and start again, as on SIGTERM."""
        self.working(*[relay.finish for relay in self.relays], moments=moments)
        self.open()

    @rule(position=st.integers(0, 6), times=st.integers(0, 3))
    def a_message_is_not_taken(self, position: int, times: int) -> None:
        """Nack one that is still to come a few times, or close the channel because of it each time."""
        for message_id in self.coming()[position : position + 1]:
            self.do_not_take(message_id, times)

    @rule(key=st.sampled_from(KEYS), times=st.lists(st.integers(0, 3), min_size=1, max_size=4))
    def hooks_record_what_is_not_taken(self, key: str, times: list[int]) -> None:
        """Record an invocation, of whose messages each is nacked a few times or not taken at all."""
        self.hooks_record([(key, len(times))])
        message_ids = list(self.recorded.values())[-1]
        for message_id, number in zip(message_ids, times, strict=True):
            self.do_not_take(message_id, number)

    def do_not_take(self, message_id: str, times: int) -> None:
        """Nack a message so many times; 0: close the channel because of it, until the broker recovers."""
        if times:
            self.broker.nack[message_id] = times
            self.ever_nacked.add(message_id)
        else:
            self.broker.refuse.add(message_id)
            self.ever_refused.add(message_id)

    @rule(after=st.integers(0, 4), taken=st.booleans())
    def the_connection_is_lost(self, after: int, *, taken: bool) -> None:
        """Lose the connection after a few messages, which the broker had or had not."""
        for relay in self.relays:
            assert isinstance(relay._publisher, MemoryPublisher)
            relay._publisher.lose_connection(after=after, taken=taken)

    @rule(steps=st.integers(1, 8))
    def the_disk_is_full(self, steps: int) -> None:
        """Have no room for the next few steps of the outbox."""
        self.database.full_for = steps

    @rule(trouble=st.sampled_from(["denied", "unreachable", "blocked", ONE.name, TWO.name]))
    def the_broker_is_in_trouble(self, trouble: str) -> None:
        """Let nobody in, run short of memory, or have an exchange of another type."""
        if trouble in ACCOUNTS:
            self.broker.refuse_exchanges.add(trouble)
            self.refused_exchanges.add(trouble)
        elif trouble == "blocked":
            self.broker.blocked = "low on memory"
        else:
            self.broker.fault = FAULTS[trouble]

    @rule()
    def the_broker_recovers(self) -> None:
        """Take everything again."""
        self.broker.fault = self.broker.blocked = None
        self.broker.refuse.clear()
        self.broker.refuse_exchanges.clear()
        self.broker.nack.clear()

    @rule(broken=st.booleans(), plugged=st.booleans(), moments=MOMENTS)
    def the_plugin_changes(self, *, broken: bool, plugged: bool, moments: int | None) -> None:
        """Break the plugin or take it out, mend it and put it in."""
        self.broken, self.is_plugged = broken, plugged
        self.working(trying(self.make_reader), moments=moments)

    @rule(position=st.integers(0, 3), moments=MOMENTS)
    def a_person_retries(self, position: int, moments: int | None) -> None:
        """Retry a parked item."""
        for item in self.parked()[position : position + 1]:
            self.working(trying(partial(self.the_store.parked.retry, item)), moments=moments)

    @rule(position=st.integers(0, 3))
    def a_person_discards(self, position: int) -> None:
        """Discard a parked item: what came of it may be lost, and nothing else."""
        for item in self.parked()[position : position + 1]:
            self.working(trying(partial(self.the_store.parked.discard, item)))
            if item.id not in [left.id for left in self.parked()]:
                self.discarded.add(item.subject)

    @rule(exchange=st.sampled_from([ONE.name, TWO.name]), moments=MOMENTS)
    def a_person_replays(self, exchange: str, moments: int | None) -> None:
        """Publish again what was confirmed."""
        replay = partial(self.the_store.outbox.replay, "exchange = ?", (exchange,))
        self.working(trying(replay), moments=moments)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Each invocation is in the spool, parked or stored; what counts as done, the broker has."""
        in_spool = {name.partition("-")[2] for name in os.listdir(self.root / "spool" / "new")}
        parked = {subject for (subject,) in self.rows("SELECT subject FROM parked WHERE kind = 'invocation'")}
        rows = self.rows(
            "SELECT exchange, message_id, position IN (SELECT position FROM pending),"
            " position IN (SELECT position FROM confirmed), position IN (SELECT position FROM parked)"
            " FROM envelopes"
        )
        stored = {(exchange, message_id) for exchange, message_id, *_ in rows}
        held = {(envelope.exchange, envelope.message_id) for envelope in self.broker.held}
        for identity, message_ids in self.recorded.items():
            if identity in in_spool | parked | self.discarded:
                continue
            missing = {(name, one) for name in ACCOUNTS for one in message_ids} - stored
            assert {message_id for _, message_id in missing} <= self.discarded
        for exchange, message_id, pending, confirmed, is_parked in rows:
            assert pending or is_parked or (exchange, message_id) in held
            assert not confirmed or (exchange, message_id) in held
        assert not self.rows("SELECT 1 FROM pending WHERE position NOT IN (SELECT position FROM envelopes)")

    @invariant()
    def sequences_have_no_gaps(self) -> None:
        """Each exchange and routing key counts from one, in the order of storing."""
        numbers = defaultdict(list)
        for exchange, key, sequence in self.rows(
            "SELECT exchange, routing_key, sequence FROM envelopes ORDER BY position"
        ):
            numbers[exchange, key].append(sequence)
        for found in numbers.values():
            assert found == sorted(found)
            assert self.discarded or found == list(range(1, len(found) + 1))

    @invariant()
    def every_copy_is_the_same(self) -> None:
        """A message that came twice is the same to the last byte, its id included."""
        first: dict[tuple[str, str], Envelope] = {}
        for envelope in self.broker.held:
            assert first.setdefault((envelope.exchange, envelope.message_id), envelope) == envelope
            assert json.loads(envelope.body)["_meta"]["message_id"] == envelope.message_id

    @invariant()
    def the_order_holds(self) -> None:
        """First copies come in order; only what was nacked or parked meanwhile comes late."""
        last: Counter[tuple[str, str]] = Counter()
        seen = set()
        for envelope in self.broker.held:
            copy, where = (envelope.exchange, envelope.message_id), (envelope.exchange, envelope.routing_key)
            excused = envelope.message_id in self.ever_nacked | self.ever_refused
            if copy in seen or excused or envelope.exchange in self.refused_exchanges:
                continue
            seen.add(copy)
            assert envelope.sequence > last[where]
            last[where] = envelope.sequence

    @invariant()
    def nothing_is_parked_without_a_reason(self) -> None:
        """Parked is what was refused for good, what a plugin failed on, and what is no invocation."""
        for kind, subject, exchange in self.rows(
            "SELECT kind, subject, exchange FROM parked LEFT JOIN envelopes USING (position)"
        ):
            if kind == "envelope":
                assert subject in self.ever_refused or exchange in self.refused_exchanges
            elif kind == "invocation":
                assert subject in self.ever_broken
            else:
                assert "foreign" in subject

    def heal(self) -> None:
        """Mend all that is broken, retry all that is parked, and work until nothing is left to do.

        The process that saw the trouble goes on: it needs no new start.
        """
        self.database.full_for = 0
        self.broken, self.is_plugged = False, True
        self.make_reader()
        # What was not to be taken comes now at the latest: it is nacked a few times, or refused and parked.
        self.broker.fault = self.broker.blocked = None
        self.work_off()
        self.nothing_is_lost()
        self.the_broker_recovers()
        for item in self.parked():
            self.the_store.parked.retry(item)
        self.work_off()

    def work_off(self) -> None:
        """Read what is there and relay it until nothing waits, a bounded number of turns."""
        self.reader.read_all()
        for _ in range(HEALED_WITHIN):
            if not self.the_store.outbox.waiting():
                break
            for relay in self.relays:
                relay.turn()

    def everything_is_at_the_broker(self) -> None:
        """Nothing is left to do, and the broker has every message that was not discarded."""
        assert self.the_store.outbox.waiting() == {}
        assert os.listdir(self.root / "spool" / "new") == []
        assert self.parked() == []
        assert len(os.listdir(self.root / "spool" / "aside")) == self.foreign
        held = {(envelope.exchange, envelope.message_id) for envelope in self.broker.held}
        kept = [ids for identity, ids in self.recorded.items() if identity not in self.discarded]
        expected = {(name, one) for name in ACCOUNTS for ids in kept for one in ids}
        assert {one for _, one in expected - held} <= self.discarded
        reads = sum(number for (number,) in self.rows("SELECT count FROM counters"))
        assert reads == len(self.recorded.keys() - self.discarded)
        self.nothing_is_lost()
        self.the_order_holds()
        self.every_copy_is_the_same()


# The disk may be busy.
TestOutboxMachine = pytest.mark.timeout(400)(OutboxMachine.TestCase)
TestOutboxMachine.settings = steps(80, 50)
