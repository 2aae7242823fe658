"""The relay, turn by turn: what the broker nacks or refuses, and in what order the rest goes."""

from collections.abc import Callable

import pytest

from pulseshim.publisher import Settled
from tests.unit.relay.bench import OTHER, Bench, WatchedPublisher, id_of


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


def test_what_is_confirmed_behind_a_nacked_message_has_overtaken_it(bench: Bench) -> None:
    """What the broker has cannot be taken back, and is not repeated; what has no confirm stays in order."""
    for name in "bd":
        bench.publisher.nack[id_of(name)] = 1
    bench.store("abcde")
    bench.relay.turn()
    bench.store("fg")

    bench.turns()

    assert bench.held == "acebdfg"
    assert [envelope.sequence for envelope in bench.publisher.held] == [1, 3, 5, 2, 4, 6, 7]


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
