"""The outbox: what is stored once is published in order, and kept for a while after its confirm."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseshim import Exchange, Message
from pulseshim.database import Database
from pulseshim.envelope import Envelope
from pulseshim.errors import InvalidDeclaration, StoreUnavailable
from pulseshim.outbox import Outbox, Outgoing, Stored
from pulseshim.parked import ParkedItems


class Told(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.told"
    version: ClassVar[int] = 3
    text: str = ""


ONE = Exchange("exchange/tests/one", "Tests", "Of the tests.", (Told,))
TWO = Exchange("exchange/other/two", "Tests", "Of the tests.", (Told,))
ALL = "1 = 1"


class Box:
    """An outbox, its parked items and its clock, in milliseconds since 1970."""

    def __init__(self, path: Path) -> None:
        self.at = 1000
        self.database = Database(path)
        self.outbox = Outbox(self.database, lambda: self.at)
        self.parked = ParkedItems(self.database, lambda: self.at)
        self.outbox.readdress({ONE.name: "", TWO.name: "other"}, ["other"])

    def store(self, *event_ids: str, key: str = "a", exchange: Exchange = ONE) -> list[Envelope]:
        """Store a message of each event."""
        return self.outbox.store([told(event_id, key, exchange) for event_id in event_ids])

    def pending(self, account: str = "") -> list[Stored]:
        """Give what awaits its confirm."""
        return self.outbox.pending(account, limit=10_000)

    def confirm(self, *positions: int, account: str = "") -> None:
        """Confirm what stands at these places of the queue; all of it where none is named."""
        stored = self.pending(account)
        self.outbox.confirm(account, [stored[at] for at in positions] if positions else stored)

    def count(self, table: str) -> int:
        """Give how many rows a table has."""
        return int(self.database.query(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - a name of the tests


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """Give an empty outbox that knows two exchanges."""
    made = Box(tmp_path / "outbox.sqlite3")
    yield made
    made.database.close()


def told(event_id: str, key: str = "a", exchange: Exchange = ONE) -> Outgoing:
    message = Told(routing_key=key, event_id=event_id, text=event_id)
    return Outgoing(message, exchange, "tests", "" if exchange is ONE else "other")


def texts(stored: Sequence[Stored]) -> list[str]:
    """Give the events that envelopes are of."""
    return [json.loads(one.envelope.body)["payload"]["text"] for one in stored]


def test_what_is_stored_awaits_its_confirm_in_order(box: Box) -> None:
    """With all that is needed to publish it, as it was sealed."""
    given_back = box.store("1", "2")
    box.at = 2000
    given_back += box.store("3")

    waiting = box.pending()

    assert [stored.envelope for stored in waiting] == given_back
    assert texts(waiting) == ["1", "2", "3"]
    assert waiting[2].envelope == Envelope(
        message_id=told("3").message.message_id,
        exchange=ONE.name,
        routing_key="a",
        sequence=3,
        type="tests.told",
        version=3,
        sent=2000,
        body=given_back[2].body,
    )
    assert [stored.position for stored in waiting] == sorted(stored.position for stored in waiting)


def test_each_account_has_a_queue_of_its_own(box: Box) -> None:
    """One whose broker refuses it holds nobody else back."""
    box.store("1", "2")
    box.store("3", exchange=TWO)

    waiting = box.outbox.waiting()

    assert waiting == {"": 2, "other": 1}
    assert texts(box.pending("other")) == ["3"]
    assert box.pending("nobody") == []


def test_the_queue_can_be_read_in_parts(box: Box) -> None:
    """Behind a position, so many at most: what is on its way already is not given again."""
    box.store(*map(str, range(5)))
    first = box.outbox.pending("", limit=2)

    rest = box.outbox.pending("", after=first[-1].position, limit=2)

    assert (texts(first), texts(rest)) == (["0", "1"], ["2", "3"])


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from([ONE, TWO]), st.sampled_from("abc"), st.integers(0, 9)), max_size=40)
)
def test_sequences_have_no_gaps(wanted: list[tuple[Exchange, str, int]]) -> None:
    """Each exchange and routing key counts from one by ones, however they come in turns and twice."""
    with TemporaryDirectory() as directory:
        box = Box(Path(directory) / "outbox.sqlite3")
        for exchange, key, event in wanted:
            box.store(f"{key}{event}", key=key, exchange=exchange)
        waiting = [stored.envelope for account in ("", "other") for stored in box.pending(account)]
        box.database.close()

    numbers: dict[tuple[str, str], list[int]] = {}
    for envelope in waiting:
        numbers.setdefault((envelope.exchange, envelope.routing_key), []).append(envelope.sequence)
    assert len(waiting) == len(set(wanted))
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())


def test_an_exchange_has_a_message_once(box: Box) -> None:
    """What a poll finds again, or a retry makes again, is not stored again, be it confirmed or not."""
    first = box.store("1")
    again = box.store("1", "2", "2")
    box.confirm()

    after_the_confirm = box.store("2", "1")

    assert [envelope.sequence for envelope in first + again] == [1, 2]
    assert after_the_confirm == []
    assert box.pending() == []


def test_two_exchanges_may_have_the_same_message(box: Box) -> None:
    """Each with its own number, under one id."""
    (one,), (two,) = box.store("1"), box.store("1", exchange=TWO)

    assert one.message_id == two.message_id
    assert (one.exchange, two.exchange) == (ONE.name, TWO.name)
    assert (one.sequence, two.sequence) == (1, 1)


def test_a_step_is_whole(box: Box) -> None:
    """Messages, state and "this is read" are all true after it."""
    state = box.outbox.state("tests")
    state.set("cursor", {"at": "7"})

    box.outbox.store([told("1")], state=state, invocation="some-id")

    assert texts(box.pending()) == ["1"]
    assert box.outbox.state("tests").get("cursor") == {"at": "7"}
    assert box.outbox.is_read("some-id")
    assert not box.outbox.is_read("another-id")


def test_a_step_that_fails_leaves_nothing(box: Box) -> None:
    """Not the messages before the bad one, not their numbers, not the state; it can be made again."""
    state = box.outbox.state("tests")
    state.set("cursor", {"at": "7"})
    bad = told("2", key="x" * 256)
    with pytest.raises(InvalidDeclaration, match="256 bytes long"):
        box.outbox.store([told("1"), bad, told("3")], state=state, invocation="some-id")
    left = [box.count(table) for table in ("envelopes", "pending", "sequences", "states", "invocations")]

    (envelope,) = box.outbox.store([told("1")], state=state, invocation="some-id")

    assert left == [0, 0, 0, 0, 0]
    assert envelope.sequence == 1
    assert box.outbox.state("tests").get("cursor") == {"at": "7"}


def test_a_message_that_is_made_while_the_step_goes_on_may_fail_it(box: Box) -> None:
    """Messages are taken one by one; an error on the way leaves none of them."""

    def made() -> Iterator[Outgoing]:
        yield told("1")
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        box.outbox.store(made())

    assert box.pending() == []


def test_the_item_that_was_read_again_goes_with_the_step(box: Box) -> None:
    """So it is either parked or stored, never both."""
    item = box.parked.park_invocation("some-id", "tests", b"content", "raised")

    box.outbox.store([told("1")], invocation="some-id", parked=item.id)

    assert box.parked.items() == []
    assert texts(box.pending()) == ["1"]


@settings(deadline=None, max_examples=50)
@given(st.sets(st.integers(0, 19)))
def test_what_is_confirmed_leaves_the_queue_and_nothing_else_does(confirmed: set[int]) -> None:
    """In whatever order the broker confirms, and with gaps between."""
    with TemporaryDirectory() as directory:
        box = Box(Path(directory) / "outbox.sqlite3")
        box.store(*map(str, range(20)))
        stored = box.pending()
        box.outbox.confirm("", [stored[at] for at in sorted(confirmed, reverse=True)])
        left = texts(box.pending())
        kept = box.database.query("SELECT position FROM confirmed ORDER BY 1")
        total = box.database.query("SELECT confirmed FROM exchanges WHERE exchange = ?", (ONE.name,))
        box.database.close()

    assert left == [str(at) for at in range(20) if at not in confirmed]
    assert kept == [(stored[at].position,) for at in sorted(confirmed)]
    assert total == [(len(confirmed),)]


def test_a_confirm_that_comes_twice_changes_nothing_in_the_queues(box: Box) -> None:
    """Of another account neither: each confirms what is its own."""
    box.store("1")
    box.store("2", exchange=TWO)
    stored = box.pending()
    box.outbox.confirm("", stored)

    box.outbox.confirm("", stored)
    box.outbox.confirm("", box.pending("other"))

    assert texts(box.pending("other")) == ["2"]
    assert box.count("confirmed") == 1


def test_replay_queues_the_same_envelopes_in_their_old_order(box: Box) -> None:
    """To the last byte: ids, numbers, time; a consumer sees that they are copies."""
    sealed = box.store("1", "2", "3")
    box.store("4", exchange=TWO)
    box.confirm()
    box.at = 9000

    queued = box.outbox.replay("exchange = ?", [ONE.name])

    assert queued == 3
    assert [stored.envelope for stored in box.pending()] == sealed
    assert box.outbox.waiting() == {"": 3, "other": 1}


def test_replay_takes_what_was_confirmed_and_does_not_wait_anyhow(box: Box) -> None:
    """What waits goes out by itself; what is parked is a person's to retry. `replayable` counts the same."""
    box.store("confirmed", "waiting", "parked")
    waiting = box.pending()
    box.confirm(0)
    box.parked.park_envelope("", waiting[2], "refused")
    expected = [box.outbox.replayable(ALL, [])]
    queued = [box.outbox.replay(ALL, [])]
    expected.append(box.outbox.replayable(ALL, []))
    queued.append(box.outbox.replay(ALL, []))

    assert expected == queued == [1, 0]
    assert texts(box.pending()) == ["confirmed", "waiting"]


def test_what_was_replayed_and_refused_is_not_queued_beside_the_item(box: Box) -> None:
    """Or else a discard would take the envelope from under the queue."""
    box.store("1")
    box.confirm()
    box.outbox.replay(ALL, [])
    item = box.parked.park_envelope("", box.pending()[0], "refused")

    queued = box.outbox.replay(ALL, [])
    box.parked.discard(item)

    assert queued == 0
    assert box.outbox.waiting() == {}
    assert box.pending() == []


def test_a_replay_is_confirmed_anew(box: Box) -> None:
    """From then on it is kept for as long as any other."""
    box.store("1")
    box.confirm()
    box.outbox.replay(ALL, [])
    box.at = 5000

    box.confirm()

    assert box.database.query("SELECT confirmed_at FROM confirmed") == [(5000,)]
    assert box.database.query("SELECT confirmed FROM exchanges WHERE exchange = ?", (ONE.name,)) == [(2,)]


def test_prune_forgets_what_was_confirmed_long_ago(box: Box) -> None:
    """And nothing that still waits, again or for the first time, or is parked."""
    box.store("old", "waits", "again", "parked", "new")
    waits, parked = box.pending()[1], box.pending()[3]
    box.confirm(0, 2, 3)
    box.outbox.replay("position = ?", [parked.position])
    box.parked.park_envelope("", parked, "refused")
    box.outbox.replay("position > ?", [waits.position])
    box.at = 2000
    box.outbox.confirm("", [stored for stored in box.pending() if texts([stored]) == ["new"]])

    forgotten = box.outbox.prune(2000)

    assert forgotten == 1
    rows = box.database.query("SELECT body FROM envelopes ORDER BY position")
    kept = [json.loads(body)["payload"]["text"] for (body,) in rows]
    assert kept == ["waits", "again", "parked", "new"]


def test_prune_forgets_many_in_steps(box: Box) -> None:
    """The relay writes in between; the count is of all."""
    box.store(*map(str, range(2300)))
    box.confirm()

    forgotten = box.outbox.prune(box.at + 1)

    assert forgotten == 2300
    assert box.count("envelopes") == box.count("confirmed") == 0


def test_numbers_go_on_when_all_was_forgotten(box: Box) -> None:
    """Neither a position nor a number in a sequence ever comes again."""
    box.store("1", "2")
    last = box.pending()[-1]
    box.confirm()
    box.outbox.prune(box.at + 1)

    box.store("3")

    (stored,) = box.pending()
    assert stored.position > last.position
    assert stored.envelope.sequence == 3


def test_prune_forgets_invocations_that_were_read_long_ago(box: Box) -> None:
    """But those that are parked: a file of theirs that comes again must not be read beside the item."""
    box.outbox.store([], invocation="old")
    box.parked.park_invocation("parked", "tests", b"content", "raised")
    box.at = 2000
    box.outbox.store([], invocation="new")

    box.outbox.prune(2000)

    assert [box.outbox.is_read(invocation) for invocation in ("old", "parked", "new")] == [False, True, True]


def test_what_waits_moves_with_its_exchange_to_another_account(box: Box) -> None:
    """A plugin publishes as another account now; one that is no longer configured has no queue."""
    box.store("1", "2")
    box.store("3", exchange=TWO)
    box.store("4")

    box.outbox.readdress({ONE.name: "new"}, ["new"])

    assert box.outbox.waiting() == {"new": 3, "": 1}
    assert texts(box.pending("new")) == ["1", "2", "4"]
    assert texts(box.pending("")) == ["3"]


def test_what_is_replayed_or_retried_goes_to_the_account_of_now(box: Box) -> None:
    """The account it was first published as may be gone."""
    box.store("1", "2")
    box.confirm(0)
    item = box.parked.park_envelope("", box.pending()[0], "refused")
    box.outbox.readdress({ONE.name: "new"}, ["new"])

    box.outbox.replay(ALL, [])
    box.parked.retry(item)

    assert texts(box.pending("new")) == ["1", "2"]
    assert box.outbox.waiting() == {"new": 2}


def test_readdressing_the_same_changes_nothing(box: Box) -> None:
    """Each start does it; the counts of confirms stay."""
    box.store("1", "2")
    box.confirm(0)

    box.outbox.readdress({ONE.name: "", TWO.name: "other"}, ["other"])

    assert texts(box.pending()) == ["2"]
    assert box.database.query("SELECT confirmed FROM exchanges WHERE exchange = ?", (ONE.name,)) == [(1,)]


def test_a_full_disk_stores_nothing_and_is_over_when_there_is_space(box: Box) -> None:
    """The same step, made again, gives the same envelopes; a confirm that was lost is given once more."""
    state = box.outbox.state("tests")
    state.set("cursor", {"at": "7"})
    outgoing = [told(str(number)) for number in range(200)]
    (pages,) = box.database.query("PRAGMA page_count")[0]
    box.database.query(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="database or disk is full"):
        box.outbox.store(outgoing, state=state, invocation="some-id")
    read_without_space = box.outbox.is_read("some-id")

    box.database.query("PRAGMA max_page_count = 100000")
    envelopes = box.outbox.store(outgoing, state=state, invocation="some-id")

    assert not read_without_space
    assert [envelope.sequence for envelope in envelopes] == list(range(1, 201))
    assert box.outbox.state("tests").get("cursor") == {"at": "7"}
