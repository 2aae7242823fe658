"""What must be admitted before it is published: who is asked, when, and what becomes of the rest."""

import logging
import threading

import pytest

from pulseshim import SourceUnavailable
from pulseshim.errors import BrokerUnreachable
from tests.unit.admission.bench import GATED, PLAIN, SECRET, Bench, Judge, told


def test_nothing_is_published_before_it_was_admitted(bench: Bench) -> None:
    """The relay does not wait for the source: it asks, and is woken by the answer."""
    bench.store("a", "b")

    bench.relay.turn()
    before = (bench.held(), bench.admission.is_asked, bench.woken)
    bench.work()

    assert before == ([], True, 0)
    assert (bench.held(), bench.waiting(), bench.woken) == (["a", "b"], 0, 1)


def test_what_is_not_admitted_leaves_the_store(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Body and id: in no table, no file, no log. It is counted, and its number in the sequence is a gap."""
    bench.store("a", SECRET, "b")
    bench.judge.hidden = {SECRET}
    before = bench.on_disk()
    caplog.set_level(logging.DEBUG)

    bench.work()

    assert SECRET.encode() in before
    assert SECRET.encode() not in bench.on_disk()
    assert told(SECRET).message_id.encode() not in bench.on_disk()
    assert told(SECRET).message_id not in caplog.text
    assert "messages withheld" in caplog.text
    assert [(envelope.sequence, envelope.message_id) for envelope in bench.publisher.held] == [
        (1, told("a").message_id),
        (3, told("b").message_id),
    ]
    assert (bench.waiting(), bench.withheld()) == (0, [("tests", 1)])


def test_while_a_source_cannot_be_asked_its_exchange_waits_and_no_other(bench: Bench) -> None:
    """Status can say why; then all goes out in its order, with what came meanwhile."""
    bench.judge.fault = SourceUnavailable("it is down", "it is asked again later")
    bench.store("a")
    bench.store("b", exchange=PLAIN, admission=False)

    bench.work()
    bench.store("c")
    bench.store("d", exchange=PLAIN, admission=False)
    bench.work()
    held = bench.held()
    bench.judge.fault = None
    bench.work()

    assert held == ["b", "d"]
    assert bench.held() == ["b", "d", "a", "c"]
    assert bench.told == [("held back", "it is down: it is asked again later"), ("open", "")]


def test_while_its_condition_cannot_be_written_an_exchange_waits_and_goes_on(bench: Bench) -> None:
    """A full disk ends no admission: what could not be noted is noted when there is room."""
    bench.judge.fault = SourceUnavailable("it is down", "wait")
    bench.full = True
    bench.store("a")

    bench.work()
    unnoted = list(bench.told)
    bench.full = False
    bench.work()
    bench.judge.fault, bench.full = None, True
    bench.work()
    out = bench.held()
    bench.full = False
    bench.work()
    bench.work()

    assert (unnoted, out) == ([], ["a"])
    assert bench.told == [("held back", "it is down: wait"), ("open", "")]


def test_what_a_process_before_this_one_noted_does_not_stay(bench: Bench) -> None:
    """A `drain` that was held back is followed by one that is not."""
    bench.judge.fault = SourceUnavailable("it is down", "wait")
    bench.store("a")
    bench.work()
    bench.judge.fault = None

    bench.start()
    bench.work()

    assert (bench.held(), bench.told[-1]) == (["a"], ("open", ""))


def test_a_source_that_cannot_be_asked_is_asked_less_and_less_and_not_before_its_time(bench: Bench) -> None:
    """The pauses grow, and a source that says when to come back is believed."""
    bench.judge.fault = SourceUnavailable("it is down", "wait")
    bench.store("a")
    bench.relay.turn()

    pauses = [bench.admission.turn() for _ in range(3)]
    bench.judge.fault = SourceUnavailable("too often", "wait", retry_after=90)

    assert [*pauses, bench.admission.turn()] == [1.0, 2.0, 4.0, 90.0]


def test_a_source_that_asks_to_come_back_is_left_alone_by_the_next_process(bench: Bench) -> None:
    """Its polls know of it, and it knows of theirs: whoever was told, all keep to it."""
    bench.judge.fault = SourceUnavailable("too often", "wait", retry_after=90)
    bench.store("a")
    bench.work()
    bench.judge.fault = None
    bench.start()
    bench.now += 30

    bench.relay.turn()
    early = bench.admission.turn()
    bench.now += 60
    bench.work()

    assert (early, bench.held()) == (60.0, ["a"])
    assert ("held back", "tests asks to be left alone: it is asked then") in bench.told


def test_what_a_strange_error_says_is_shown_nowhere(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It may be of what must not be told; nothing goes out."""
    bench.judge.fault = KeyError(SECRET)
    bench.store("a")

    bench.work()

    assert bench.told == [("held back", "KeyError was raised")]
    assert (bench.held(), SECRET in caplog.text) == ([], False)


def test_an_answer_is_good_for_half_a_minute(bench: Bench) -> None:
    """While the broker is away, what is public may change: then it is asked again, and the id is the same."""
    bench.store("a", SECRET)
    bench.relay.turn()
    bench.admission.turn()
    bench.publisher.lose_connection()
    bench.publisher.fault = BrokerUnreachable("nobody listens")
    bench.relay.turn()
    bench.judge.hidden = {SECRET}
    bench.now += 31
    bench.publisher.fault = None

    bench.work()

    assert bench.held() == ["a"]
    assert [len(asked) for asked in bench.judge.asked] == [2, 2]


def test_what_is_nacked_keeps_its_place(bench: Bench) -> None:
    """It was admitted a moment ago: it is published again without another question."""
    bench.publisher.nack[told("a").message_id] = 1
    bench.store("a", "b")

    bench.work()

    assert (bench.held(), len(bench.judge.asked)) == (["b", "a"], 1)


def test_a_replay_asks_again(bench: Bench) -> None:
    """Weeks may have passed; what is withheld then is forgotten, and cannot be replayed once more."""
    bench.store("a", SECRET)
    bench.work()
    bench.judge.hidden = {SECRET}
    bench.outbox.replay("1", ())
    bench.now += 31

    bench.work()

    assert bench.held() == ["a", SECRET, "a"]
    assert SECRET.encode() not in bench.on_disk()
    assert bench.outbox.replayable("1", ()) == 1


def test_a_retry_asks_again(bench: Bench) -> None:
    """What was parked may have turned private while it waited for a person."""
    bench.publisher.refuse_exchanges.add(GATED.name)
    bench.store(SECRET)
    bench.work()
    bench.publisher.refuse_exchanges.clear()
    bench.judge.hidden = {SECRET}
    (item,) = bench.parked.items()

    bench.parked.retry(item)
    bench.now += 31
    bench.work()

    assert (bench.held(), bench.waiting(), bench.parked.items()) == ([], 0, [])
    assert SECRET.encode() not in bench.on_disk()


def test_many_are_asked_for_in_batches_and_go_in_order(bench: Bench) -> None:
    """A question is of bearable size, and none is asked twice."""
    texts = [str(number) for number in range(450)]
    bench.store(*texts)

    bench.work()

    assert bench.held() == texts
    assert max(map(len, bench.judge.asked)) <= 200
    assert sum(map(len, bench.judge.asked)) == 450


def test_who_needs_no_admission_does_not_overtake_on_the_same_exchange(bench: Bench) -> None:
    """The order on an exchange is that of its messages, whoever they are from."""
    bench.store("a", feed="other", admission=False)
    bench.store("b")
    bench.store("c", feed="other", admission=False)
    bench.relay.turn()
    before = bench.held()

    bench.work()

    assert (before, bench.held()) == (["a"], ["a", "b", "c"])


def test_each_feed_is_asked_of_its_own(bench: Bench) -> None:
    """Two feeds that share an exchange: while one cannot be asked, both wait."""
    one, other = Judge(), Judge()
    bench.start(one=one, other=other)
    other.fault = SourceUnavailable("it is down", "wait")
    bench.store("a", feed="one")
    bench.store("b", feed="other")

    bench.work()
    before = bench.held()
    other.fault = None
    bench.work()

    assert (before, bench.held()) == ([], ["a", "b"])
    assert one.asked[-1] == [told("a").message_id]
    assert other.asked == [[told("b").message_id]]


def test_where_no_feed_can_be_asked_any_more_it_is_parked(bench: Bench) -> None:
    """The feed was turned off while something waited: that needs a person, and blocks nothing."""
    bench.store("a")
    bench.start(other=bench.judge)

    bench.work()
    (item,) = bench.parked.items()
    bench.start()
    bench.parked.retry(item)
    bench.work()

    assert "no feed tests says whether this may be published" in item.cause
    assert bench.held() == ["a"]


def test_who_is_killed_before_the_answer_asks_again(bench: Bench) -> None:
    """Nothing of an answer is stored: what was admitted and not published is asked for once more."""
    bench.store(SECRET)
    bench.relay.turn()
    bench.admission.turn()
    bench.judge.hidden = {SECRET}

    bench.start()
    bench.work()

    assert (bench.held(), bench.waiting()) == ([], 0)


def test_a_thread_answers_until_it_is_stopped(bench: Bench) -> None:
    """It rests while nothing is asked, notes then what it could not note before, and ends without delay."""
    stop = threading.Event()
    bench.full = True
    thread = threading.Thread(target=bench.admission.run, args=(stop,))
    thread.start()
    bench.store("a")
    bench.relay.turn()

    answered = bench.answered.wait(60)
    bench.relay.turn()
    bench.full = False
    noted = bench.noted.wait(60)
    stop.set()
    bench.admission.wake()
    thread.join(20)

    assert (answered, noted, bench.held(), thread.is_alive()) == (True, True, ["a"], False)
