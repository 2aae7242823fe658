"""The relay, turn by turn: a broker that is away or blocks, an outbox that cannot be written."""

from collections.abc import Callable

import pytest

from pulseshim.errors import BrokerDenied, BrokerError, BrokerUnreachable, StoreUnavailable
from pulseshim.publisher import Settled
from pulseshim.relay import RelayEnds
from tests.unit.relay.bench import ENOUGH, IDLE, Bench, WatchedPublisher, id_of


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
