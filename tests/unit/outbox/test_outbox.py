"""The outbox: what is stored once awaits its confirm in order."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseshim import Exchange
from pulseshim.envelope import Envelope
from pulseshim.errors import InvalidDeclaration, StoreUnavailable
from pulseshim.outbox import Outgoing
from tests.unit.outbox.box import ONE, TWO, Box, texts, told


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


def test_what_a_step_added_is_read_back_in_order(box: Box) -> None:
    """However many they are, whichever exchanges they go to; what was there before is not among them."""
    box.store("before", "4")

    added = box.outbox.store(told(str(n), exchange=(ONE, TWO)[n % 2]) for n in range(50))
    after = box.store("after")

    ids = [envelope.message_id for envelope in added]
    assert len(added) == 49
    assert ids == [told(str(n)).message.message_id for n in range(50) if n != 4]
    assert added.ids == tuple(ids[:10])
    assert after != []
    assert list(box.outbox.store([told("2")])) == []


def test_what_is_stored_does_not_stay_in_memory(box: Box) -> None:
    """A step may be larger than the memory: each message is sealed when its turn comes, and let go."""
    tracemalloc.start()

    added = box.outbox.store(told(str(n), text="x" * (1 << 20)) for n in range(40))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(added) == 40
    assert most < 16 << 20


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
