"""The relay, turn by turn: what it does with each word of the broker, and in what order."""

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from pulseshim import Exchange, Message, Parked
from pulseshim.database import Database
from pulseshim.errors import BrokerDenied, BrokerError, BrokerUnreachable, StoreUnavailable
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
        self.most = 0
        self.silent = 0
        self.settled = 0

    def settle(self, timeout: float) -> Settled:
        """Settle, or say nothing for so many calls."""
        self.most = max(self.most, self.in_flight)
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

    def store(self, names: Iterable[str], *, exchange: Exchange = EXCHANGE, account: str = "") -> None:
        """Store a message for each name."""
        self.outbox.store([Outgoing(message(name), exchange, "tests", account) for name in names])

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


@pytest.fixture
def make_bench(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[int], Bench]:
    def make(window: int) -> Bench:
        bench = Bench(tmp_path, window)
        request.addfinalizer(bench.database.close)
        return bench

    return make


@pytest.fixture
def bench(make_bench: Callable[[int], Bench]) -> Bench:
    return make_bench(100)


def test_what_is_stored_is_published_in_order_and_confirmed(bench: Bench) -> None:
    """The broker has each once, the outbox waits for none, and others are told."""
    bench.store("abcde")

    bench.turns()

    assert (bench.held, bench.waiting) == ("abcde", 0)
    assert bench.confirmed == [id_of(name) for name in "abcde"]
    assert (bench.relay.counts.confirmed, bench.relay.counts.connections) == (5, 1)


def test_a_relay_without_work_connects_and_rests(bench: Bench) -> None:
    """A service that waits for its first event shows whether the broker can be reached."""
    pause = bench.relay.turn()

    assert (pause, bench.told) == (IDLE, ["connected"])


def test_a_relay_publishes_for_its_own_account_alone(bench: Bench) -> None:
    """Another account's envelopes are another relay's."""
    bench.store("a", account="code")
    bench.store("b")

    bench.turns()

    assert (bench.held, bench.outbox.waiting()) == ("b", {"code": 1})


def test_no_more_than_a_window_is_in_flight(make_bench: Callable[[int], Bench]) -> None:
    """However long the outbox is."""
    bench = make_bench(4)
    bench.store("abcdefghij")

    bench.turns()

    assert (bench.held, bench.publisher.most) == ("abcdefghij", 4)


def test_confirms_that_come_late_are_waited_for_while_more_is_put_on_the_wire(
    make_bench: Callable[[int], Bench],
) -> None:
    """A broker that takes its time gets nothing twice."""
    bench = make_bench(4)
    bench.store("abcdefghij")
    bench.publisher.silent = 3

    bench.turns()

    assert (bench.held, bench.waiting) == ("abcdefghij", 0)


def test_a_message_that_nobody_is_bound_to_is_counted_and_done(bench: Bench) -> None:
    """In publish and subscribe that is normal."""
    bench.publisher.unbound.add(EXCHANGE.name)
    bench.store("ab")

    bench.turns()

    assert (bench.waiting, bench.relay.counts.returned) == (0, 2)


def test_a_nack_is_followed_by_a_pause_and_the_same_message(bench: Bench) -> None:
    """The broker could not take it now: it gets it again, and nothing is parked."""
    bench.publisher.nack[id_of("b")] = 1
    bench.store("abc")

    pauses = bench.turns()

    assert (bench.held, bench.waiting) == ("acb", 0)
    assert [pause for pause in pauses if pause] == [0.1]
    assert (bench.relay.counts.nacked, bench.items) == (1, [])


def test_after_a_nack_messages_go_one_at_a_time_until_it_is_through(bench: Bench) -> None:
    """The order holds among those that were nacked together."""
    for name in "abcd":
        bench.publisher.nack[id_of(name)] = 1
    bench.store("abcd")
    bench.relay.turn()
    bench.publisher.most = 0

    bench.turns()

    assert (bench.held, bench.publisher.most) == ("abcd", 1)


def test_what_is_stored_during_a_nack_waits_behind_it(bench: Bench) -> None:
    """A message never overtakes an older one that is nacked again and again."""
    bench.publisher.nack[id_of("a")] = 3
    bench.store("a")
    first = bench.relay.turn()
    bench.store("b")

    pauses = bench.turns()

    assert [first, *[pause for pause in pauses if pause]] == [0.1, 0.2, 0.4]
    assert bench.held == "ab"


def test_nothing_new_is_put_on_the_wire_while_a_nacked_window_is_in_flight(
    make_bench: Callable[[int], Bench],
) -> None:
    """What is in flight is waited for first; then comes the pause."""

    class OneByOne(WatchedPublisher):
        def settle(self, timeout: float) -> Settled:
            """Speak of one message only."""
            said = self._in_flight[1:]
            self._in_flight[1:] = []
            settled = super().settle(timeout)
            self._in_flight += said
            return settled

    bench = make_bench(4)
    bench.relay._publisher = bench.publisher = OneByOne()
    bench.publisher.nack[id_of("a")] = 1
    bench.store("abcdefgh")

    pauses = [bench.relay.turn() for _ in range(4)]

    assert (pauses, bench.held) == ([0.0, 0.0, 0.0, 0.1], "bcd")


def test_a_confirm_starts_the_back_off_anew(bench: Bench) -> None:
    """The next trouble is a new one, with a short pause first."""
    bench.publisher.nack[id_of("a")] = 3
    bench.store("a")
    first = [pause for pause in bench.turns() if pause]
    bench.publisher.nack[id_of("b")] = 1
    bench.store("b")

    second = [pause for pause in bench.turns() if pause]

    assert (first, second) == ([0.1, 0.2, 0.4], [0.1])


@pytest.mark.parametrize("culprit", ["a", "c", "e"])
def test_of_many_in_flight_the_one_that_closes_the_channel_is_parked_alone(
    bench: Bench, culprit: str
) -> None:
    """Which one it was the broker does not say: the others are published, each once and in order."""
    bench.publisher.refuse.add(id_of(culprit))
    bench.store("abcde")

    bench.turns()

    assert (bench.held, bench.waiting) == ("abcde".replace(culprit, ""), 0)
    assert [(item.kind, item.subject, item.awaiting) for item in bench.items] == [
        ("envelope", id_of(culprit), "person")
    ]
    assert f"the broker refused {id_of(culprit)}" in bench.items[0].cause


def test_each_of_several_culprits_is_parked(bench: Bench) -> None:
    """After one is found, the search for the next begins."""
    bench.publisher.refuse |= {id_of("b"), id_of("d")}
    bench.store("abcde")

    bench.turns()

    assert (bench.held, bench.relay.counts.parked) == ("ace", 2)
    assert bench.parked.items() == bench.items


def test_a_single_message_is_given_a_second_chance_before_it_is_parked(bench: Bench) -> None:
    """The channel may have been closed for another reason: it is tried once more, by itself."""
    bench.publisher.refuse.add(id_of("a"))
    bench.store("a")
    first = bench.relay.turn()
    bench.publisher.refuse.clear()

    bench.turns()

    assert (first, bench.held, bench.items) == (0.1, "a", [])


def test_a_parked_envelope_that_is_retried_is_published(bench: Bench) -> None:
    """With the id it always had."""
    bench.publisher.refuse.add(id_of("a"))
    bench.store("a")
    bench.turns()
    bench.publisher.refuse.clear()

    bench.parked.retry(bench.items[0])
    bench.turns()

    assert (bench.held, bench.waiting, bench.parked.items()) == ("a", 0, [])


def test_an_exchange_that_is_refused_parks_its_own_messages_only(bench: Bench) -> None:
    """The others go out over the same connection."""
    bench.publisher.refuse_exchanges.add(OTHER.name)
    bench.store("a")
    bench.store("b", exchange=OTHER)
    bench.store("c")

    bench.turns()

    assert (bench.held, bench.waiting, bench.relay.counts.connections) == ("ac", 0, 1)
    assert [item.subject for item in bench.items] == [id_of("b")]
    assert OTHER.name in bench.items[0].cause


@pytest.mark.parametrize(
    ("fault", "condition"),
    [(BrokerDenied("wrong password"), "denied"), (BrokerUnreachable("no route"), "unreachable")],
)
def test_a_broker_that_cannot_be_used_holds_everything_back(
    bench: Bench, fault: BrokerError, condition: str
) -> None:
    """Nothing is parked, the pauses grow, and the condition is told once."""
    bench.publisher.fault = fault
    bench.store("ab")

    pauses = [bench.relay.turn() for _ in range(4)]

    assert pauses == [0.1, 0.2, 0.4, 0.8]
    assert (bench.told, bench.items, bench.waiting) == ([condition], [], 2)


def test_a_broker_that_is_back_gets_what_was_held_back(bench: Bench) -> None:
    """And the back-off starts anew with the first confirm."""
    bench.publisher.fault = BrokerUnreachable("no route")
    bench.store("ab")
    for _ in range(6):
        bench.relay.turn()
    bench.publisher.fault = None
    bench.turns()
    bench.publisher.fault = BrokerUnreachable("no route")
    bench.publisher.lose_connection()

    pauses = [bench.relay.turn(), bench.relay.turn()]

    assert (bench.held, pauses) == ("ab", [0.1, 0.2])
    assert bench.told[:3] == ["unreachable", "connected", "unreachable"]


@pytest.mark.parametrize(("taken", "held"), [(True, "ababc"), (False, "abc")])
def test_what_had_no_confirm_when_the_connection_was_lost_is_published_again(
    bench: Bench, held: str, *, taken: bool
) -> None:
    """Whether the broker had it nobody knows: the same ids come again, in order."""
    bench.store("abc")
    bench.publisher.lose_connection(after=2, taken=taken)

    pauses = bench.turns()

    assert (bench.held, bench.waiting) == (held, 0)
    assert [pause for pause in pauses if pause] == [0.1]
    assert bench.relay.counts.connections == 2


def test_what_was_confirmed_before_the_channel_closed_is_not_published_again(bench: Bench) -> None:
    """The publisher still knows what it was told before."""
    bench.publisher.refuse.add(id_of("c"))
    bench.store("abc")

    bench.relay.turn()

    assert (bench.held, bench.waiting) == ("ab", 1)


def test_while_the_broker_blocks_nothing_more_is_put_on_the_wire(make_bench: Callable[[int], Bench]) -> None:
    """What is in flight stays so, and `status` says why."""
    bench = make_bench(2)
    bench.relay.turn()
    bench.publisher.block("low on disk")
    bench.store("abcd")

    pauses = [bench.relay.turn() for _ in range(3)]

    assert (bench.publisher.in_flight, bench.held, bench.waiting) == (0, "", 4)
    assert bench.told == ["connected", "blocked"]
    assert all(0 < pause < IDLE for pause in pauses)


def test_a_broker_that_blocks_in_between_confirms_when_it_blocks_no_longer(
    make_bench: Callable[[int], Bench],
) -> None:
    """Nothing is lost, doubled or parked by it."""

    class Blocking(WatchedPublisher):
        def settle(self, timeout: float) -> Settled:
            """Block over the first message."""
            if self.in_flight and not self.held and not self.blocked and not self.most:
                self.block("low on memory")
            return super().settle(timeout)

    bench = make_bench(2)
    bench.relay._publisher = bench.publisher = Blocking()
    bench.store("abcd")
    first = [bench.relay.turn() for _ in range(2)]
    in_flight = bench.publisher.in_flight
    bench.publisher.unblock()

    bench.turns()

    assert (first, in_flight, bench.held, bench.waiting) == ([0.0, 0.0], 2, "abcd", 0)
    assert bench.told == ["blocked", "connected"]


def test_an_outbox_that_cannot_be_written_is_tried_again_after_a_pause(bench: Bench) -> None:
    """What was confirmed meanwhile is remembered and written then: the broker gets no message twice."""
    bench.outbox.failures = 2
    bench.store("ab")

    pauses = bench.turns()

    assert [pause for pause in pauses if pause] == [0.1, 0.2]
    assert (bench.held, bench.waiting) == ("ab", 0)


def test_an_outbox_that_cannot_be_written_when_the_broker_is_lost_stops_nothing(bench: Bench) -> None:
    """Neither the confirms nor the condition can be written: the relay goes on, and writes them later."""
    failures = iter([True, True])

    def tell(condition: str, _: str) -> None:
        if condition == "unreachable" and next(failures, False):
            raise StoreUnavailable("no space")

    bench.relay._ends = RelayEnds(condition=tell)
    bench.store("ab")
    bench.publisher.fault = BrokerUnreachable("nobody listens")

    for _ in range(3):
        bench.relay.turn()
    bench.publisher.fault = None
    bench.turns()

    assert (bench.held, bench.waiting) == ("ab", 0)
    assert list(failures) == []


def test_a_nack_of_what_was_in_flight_when_the_outbox_failed_stops_nothing(
    make_bench: Callable[[int], Bench],
) -> None:
    """The broker may speak twice of a message that was published twice."""

    class Halting(WatchedPublisher):
        def settle(self, timeout: float) -> Settled:
            """Speak of the older half first."""
            half = (len(self._in_flight) + 1) // 2
            later, self._in_flight[half:] = self._in_flight[half:], []
            settled = super().settle(timeout)
            self._in_flight += later
            return settled

    bench = make_bench(4)
    bench.relay._publisher = bench.publisher = Halting()
    bench.store("abcd")
    bench.outbox.failures = 1
    bench.publisher.nack[id_of("d")] = 2
    bench.publisher.nack[id_of("c")] = 2

    for _ in range(ENOUGH):
        bench.relay.turn()

    assert bench.waiting == 0
    assert set(bench.held) == set("abcd")


def test_finishing_waits_for_the_confirms_of_what_is_in_flight(bench: Bench) -> None:
    """A stop loses no confirm that is on its way."""
    bench.store("abc")
    bench.publisher.silent = 4
    bench.relay.turn()
    in_flight = bench.publisher.in_flight

    bench.relay.finish()

    assert (in_flight, bench.held, bench.waiting) == (3, "abc", 0)
    assert (bench.publisher.connected, bench.told[-1]) == (False, "stopped")


def test_finishing_gives_up_after_a_few_seconds(bench: Bench) -> None:
    """What has no confirm by then is published again by the next runtime."""
    bench.store("abc")
    bench.publisher.silent = 10_000
    bench.relay.turn()
    began = bench.publisher.now

    bench.relay.finish()

    assert 4.9 < bench.publisher.now - began < 5.2
    assert (bench.waiting, bench.publisher.connected) == (3, False)


def test_finishing_over_a_lost_connection_closes_and_leaves_the_rest(bench: Bench) -> None:
    """A broker that goes first is no reason to hang or to raise."""
    bench.store("abc")
    bench.publisher.silent = 1
    bench.relay.turn()
    bench.publisher.lose_connection()

    bench.relay.finish()

    assert (bench.waiting, bench.told[-1]) == (3, "stopped")


class Countdown(threading.Event):
    """An event to stop by that waits for nobody, notes each wait, and is set after so many seconds."""

    def __init__(self, seconds: float, publisher: WatchedPublisher) -> None:
        super().__init__()
        self._left = seconds
        self._publisher = publisher
        self.between: list[float] = []
        self._waited = 0.0
        self._settled = 0

    def wait(self, timeout: float | None = None) -> bool:
        """Note the time since the publisher was last asked to settle."""
        if self._settled != self._publisher.settled:
            self._settled, self._waited = self._publisher.settled, 0.0
        self._waited += timeout or 0.0
        self.between.append(self._waited)
        self._left -= timeout or 0.0
        if self._left <= 0:
            self.set()
        return self.is_set()


def test_a_long_pause_does_not_let_the_connection_die(bench: Bench) -> None:
    """Heartbeats are sent when the publisher settles: at least once a second, also for half a minute."""
    bench.publisher.nack[id_of("a")] = ENOUGH
    bench.store("a")
    stop = Countdown(100.0, bench.publisher)

    bench.relay.run(stop)

    assert max(stop.between) <= 1.0
    assert bench.relay.counts.nacked > 9
    assert bench.relay.counts.connections == 1


def test_a_connection_that_is_lost_during_a_pause_is_opened_after_it(bench: Bench) -> None:
    """The pause does not end early, and the relay does not end at all."""

    class LosesOnce(Countdown):
        def wait(self, timeout: float | None = None) -> bool:
            """Lose the connection in the middle of a long pause."""
            if len(self.between) == 10:
                bench.publisher.lose_connection()
            return super().wait(timeout)

    bench.publisher.nack[id_of("a")] = 8
    bench.store("a")
    stop = LosesOnce(60.0, bench.publisher)
    worker = threading.Thread(target=bench.relay.run, args=(stop,), daemon=True)

    worker.start()
    bench.relay.wake()
    stop_by_hand(worker, stop, until=lambda: bench.waiting == 0)

    assert (bench.held, bench.relay.counts.connections) == ("a", 2)


def stop_by_hand(worker: threading.Thread, stop: threading.Event, until: Callable[[], bool]) -> None:
    """Stop a relay's thread once a condition holds."""
    deadline = threading.Event()
    timer = threading.Timer(20.0, deadline.set)
    timer.start()
    while not until() and not deadline.is_set() and worker.is_alive():
        deadline.wait(0.01)
    timer.cancel()
    stop.set()
    worker.join(20.0)
    assert not worker.is_alive()


def test_a_relay_that_runs_publishes_what_is_stored_and_stops_when_it_is_told(bench: Bench) -> None:
    """Word that something was stored is enough."""
    stop = threading.Event()
    worker = threading.Thread(target=bench.relay.run, args=(stop,), daemon=True)
    worker.start()
    bench.store("ab")

    bench.relay.wake()
    stop_by_hand(worker, stop, until=lambda: bench.waiting == 0)

    assert (bench.held, bench.told) == ("ab", ["connected", "stopped"])
