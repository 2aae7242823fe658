"""What must be admitted before it is published: who is asked, when, and what becomes of the rest."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from pulseshim import Envelope, Exchange, Message, SourceUnavailable
from pulseshim.admission import Admission, AdmissionEnds, Admissions
from pulseshim.database import Database
from pulseshim.errors import BrokerUnreachable
from pulseshim.outbox import Outbox, Outgoing
from pulseshim.parked import ParkedItems
from pulseshim.relay import Relay, RelayEnds
from pulseshim.testing import MemoryPublisher

SECRET = "the secret plan"
ENOUGH = 300
IDLE = 1.0


class Told(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.told"
    text: str


GATED = Exchange("exchange/tests/gated", "Tests", "Of the tests.", (Told,))
PLAIN = Exchange("exchange/tests/plain", "Tests", "Of the tests.", (Told,))


class Judge:
    """A feed's `admit`: it lets all go but what is `hidden`, and raises `fault` while that is set."""

    def __init__(self) -> None:
        self.hidden: set[str] = set()
        self.fault: Exception | None = None
        self.asked: list[list[str]] = []

    def __call__(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Give those that may go."""
        if self.fault is not None:
            raise self.fault
        ids = {told(text).message_id for text in self.hidden}
        self.asked.append([envelope.message_id for envelope in envelopes])
        return [envelope for envelope in envelopes if envelope.message_id not in ids]


def told(text: str) -> Told:
    return Told(routing_key="main", event_id=text, text=text)


class Bench:
    """A relay with one exchange whose messages a judge must admit, worked turn by turn."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = 0.0
        self.judge = Judge()
        self.not_before: Counter[str] = Counter()
        self.told: list[tuple[str, str]] = []
        self.woken = 0
        self.answered = threading.Event()
        self.publisher = MemoryPublisher()
        self.database = Database(directory / "outbox.sqlite3")
        self.outbox = Outbox(self.database, lambda: 1)
        self.parked = ParkedItems(self.database, lambda: 1)
        self.start()

    def start(self, **feeds: Judge) -> None:
        """Start admission and relay anew, with these feeds in place of the one."""
        self.admission = Admission(
            GATED.name,
            feeds or {"tests": self.judge},
            self.outbox,
            clock=lambda: self.now,
            random=lambda: 0.0,
            ends=AdmissionEnds(
                condition=lambda *word: self.told.append(word),
                answered=self._wake,
                wait=lambda feed: max(0.0, self.not_before[feed] - self.now),
                pause=lambda feed, seconds: self.not_before.update({feed: self.now + seconds}),
            ),
        )
        self.relay = Relay(
            "",
            self.outbox,
            self.parked,
            self.publisher,
            window=100,
            clock=lambda: self.now,
            random=lambda: 0.0,
            ends=RelayEnds(admissions=Admissions([self.admission])),
        )

    def _wake(self) -> None:
        self.woken += 1
        self.answered.set()

    def store(
        self, *texts: str, exchange: Exchange = GATED, feed: str = "tests", admission: bool = True
    ) -> None:
        """Store a message for each text."""
        self.outbox.store([Outgoing(told(text), exchange, feed, "", admission) for text in texts])

    def work(self) -> None:
        """Let relay and admission take turns until there is nothing to do now."""
        for _ in range(ENOUGH):
            rest = self.relay.turn()
            pause = self.admission.turn()
            if rest == IDLE and not self.admission.has_answered and (pause or not self.admission.is_asked):
                return
        raise AssertionError("it does not come to rest")

    def held(self) -> list[str]:
        """Give the texts of what the broker has, in order and each time it came."""
        texts = {told(text).message_id: text for text in [*"abcdefgh", SECRET, *map(str, range(500))]}
        return [texts[envelope.message_id] for envelope in self.publisher.held]

    def waiting(self) -> int:
        """Give how many envelopes have no confirm."""
        return sum(self.outbox.waiting().values())

    def on_disk(self) -> bytes:
        """Give all that stands in the store's files."""
        return b"".join(path.read_bytes() for path in sorted(self.directory.iterdir()))

    def withheld(self) -> list[tuple[str, int]]:
        """Give the counters."""
        return [(feed, n) for feed, n in self.database.query("SELECT feed, count FROM counters")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.database.close()


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
    """It rests while nothing is asked, and ends without delay."""
    stop = threading.Event()
    thread = threading.Thread(target=bench.admission.run, args=(stop,))
    thread.start()
    bench.store("a")
    bench.relay.turn()

    answered = bench.answered.wait(20)
    bench.relay.turn()
    stop.set()
    bench.admission.wake()
    thread.join(20)

    assert (answered, bench.held(), thread.is_alive()) == (True, ["a"], False)
