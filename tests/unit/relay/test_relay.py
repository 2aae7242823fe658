"""The relay, turn by turn: what is stored is published, and it ends when it is told."""

import threading
from collections.abc import Callable

from tests.unit.relay.bench import ENOUGH, EXCHANGE, IDLE, Bench, WatchedPublisher, id_of


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


def test_large_messages_are_a_window_of_bytes(make_bench: Callable[[int], Bench]) -> None:
    """Those of a night without a broker do not come into memory all at once; each goes out, in order."""
    bench = make_bench(1000)
    bench.store("abcdefghij", text="x" * (10 << 20))
    bench.publisher.silent = 3

    bench.turns()

    assert (bench.held, bench.waiting) == ("abcdefghij", 0)
    assert 10 << 20 < bench.publisher.most_bytes < (32 + 11) << 20


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
