"""Parked items: kept with their cause until a person has seen to them, and in nobody's way."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from pulseshim import Exchange, Message, Parked
from pulseshim.database import Database
from pulseshim.outbox import Outbox, Outgoing, Stored
from pulseshim.parked import ParkedItems
from pulseshim.relay import Relay
from pulseshim.testing import MemoryPublisher


class Told(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.told"


EXCHANGE = Exchange("exchange/tests/v1", "Tests", "Of the tests.", (Told,))


class Lot:
    """Parked items, the outbox beside them, and a clock in milliseconds since 1970."""

    def __init__(self, path: Path) -> None:
        self.at = 1000
        self.database = Database(path)
        self.outbox = Outbox(self.database, lambda: self.at)
        self.items = ParkedItems(self.database, lambda: self.at)
        self.outbox.readdress({EXCHANGE.name: ""}, [])

    def store(self, *event_ids: str) -> list[Stored]:
        """Store a message of each event and give what waits then."""
        self.outbox.store(
            [Outgoing(Told(routing_key="a", event_id=one), EXCHANGE, "tests", "") for one in event_ids]
        )
        return self.waiting()

    def waiting(self) -> list[Stored]:
        """Give what awaits its confirm."""
        return self.outbox.pending("", limit=100)


@pytest.fixture
def lot(tmp_path: Path) -> Iterator[Lot]:
    """Give a store in which nothing is parked."""
    made = Lot(tmp_path / "outbox.sqlite3")
    yield made
    made.database.close()


def test_an_invocation_is_kept_with_all_that_is_known(lot: Lot) -> None:
    """Its bytes are the spool file's: from now on it counts as read, and the file can go."""
    item = lot.items.park_invocation("some-id", "tests", b"\0content\xff", "raised", "Traceback …")

    assert item == Parked(
        id=1,
        kind="invocation",
        feed="tests",
        subject="some-id",
        cause="raised",
        traceback="Traceback …",
        parked_at=1000,
        position=None,
        awaiting="person",
        owner=None,
        suspicious=False,
        trusted=False,
    )
    assert lot.items.items() == [item]
    assert lot.items.content(item) == b"\0content\xff"
    assert lot.outbox.is_read("some-id")


def test_an_envelope_leaves_its_queue_when_it_is_parked(lot: Lot) -> None:
    """Those around it go on; its body is kept where it always was."""
    first, second, third = lot.store("1", "2", "3")

    item = lot.items.park_envelope("", second, "refused")

    assert lot.waiting() == [first, third]
    assert (item.kind, item.feed, item.subject) == ("envelope", "tests", second.envelope.message_id)
    assert (item.position, item.cause) == (second.position, "refused")
    assert lot.items.content(item) == second.envelope.body


def test_a_file_is_noted_with_its_place(lot: Lot) -> None:
    """It holds nothing here: what it is lies in the file system."""
    (item,) = lot.items.park_files([("/spool/aside/x", "it is a fifo", None)])

    assert (item.kind, item.subject, item.cause) == ("file", "/spool/aside/x", "it is a fifo")
    assert lot.items.content(item) == b""


def test_bytes_that_are_no_text_become_readable(lot: Lot) -> None:
    """An error may speak of any file name: that it cannot be written down must not lose the item."""
    odd = "caf\udce9 \ud83d"
    (stored,) = lot.store("1")

    items = [
        lot.items.park_invocation("some-id", "tests", b"", odd, odd),
        lot.items.park_envelope("", stored, odd),
        *lot.items.park_files([(odd, odd, None)]),
    ]

    assert [item.cause for item in items] == ["caf\\xe9 \ufffd"] * 3
    assert (items[0].traceback, items[2].subject) == ("caf\\xe9 \ufffd", "caf\\xe9 \ufffd")
    assert lot.items.items() == items


def test_what_is_parked_again_keeps_its_number_and_has_the_new_cause(lot: Lot) -> None:
    """One thing is one item: whoever looks for its number finds the latest word on it."""
    (stored,) = lot.store("1")
    lot.items.park_files([("/another", "first of all", None)])
    for cause in ("first", "second"):
        lot.items.park_invocation("some-id", "tests", cause.encode(), cause, cause, no_feed=cause == "first")
        lot.items.park_envelope("", stored, cause)
        lot.items.park_files([("/spool/new/stuck", cause, None)])

    items = lot.items.items()

    assert [(item.id, item.kind, item.cause) for item in items[1:]] == [
        (2, "invocation", "second"),
        (3, "envelope", "second"),
        (4, "file", "second"),
    ]
    assert (items[1].traceback, items[1].awaiting) == ("second", "person")
    assert lot.items.content(items[1]) == b"second"


def test_items_are_given_oldest_first_or_by_number(lot: Lot) -> None:
    """A number that does not exist gives nothing."""
    for name in "abc":
        lot.items.park_files([(name, "foreign", None)])

    chosen = lot.items.items([3, 1, 99])

    assert [item.subject for item in lot.items.items()] == ["a", "b", "c"]
    assert [item.subject for item in chosen] == ["a", "c"]


def test_numbers_are_never_used_again(lot: Lot) -> None:
    """Or else a person would discard another item than the one that was shown."""
    (first,) = lot.items.park_files([("a", "foreign", None)])
    lot.items.discard(first)

    (second,) = lot.items.park_files([("b", "foreign", None)])

    assert second.id > first.id


def test_a_retried_envelope_has_its_old_place_in_the_queue(lot: Lot) -> None:
    """Before all that was stored after it; and it is parked no more."""
    first, second = lot.store("1", "2")
    item = lot.items.park_envelope("", first, "refused")

    lot.items.retry(item)

    assert lot.waiting() == [first, second]
    assert lot.items.items() == []


def test_what_is_retried_while_the_relay_runs_is_published(lot: Lot) -> None:
    """Though the relay was past its place already."""
    publisher = MemoryPublisher()
    relay = Relay("", lot.outbox, lot.items, publisher, window=10, clock=lambda: 0.0, random=lambda: 0.0)
    first, second = lot.store("1", "2")
    item = lot.items.park_envelope("", first, "refused")
    for _ in range(3):
        relay.turn()
    held_before = list(publisher.held)

    lot.items.retry(item)
    for _ in range(3):
        relay.turn()

    assert held_before == [second.envelope]
    assert publisher.held == [second.envelope, first.envelope]
    assert lot.waiting() == []


def test_a_retried_invocation_waits_for_the_reader(lot: Lot) -> None:
    """It stays an item until it was read: a crash before that loses nothing."""
    item = lot.items.park_invocation("some-id", "tests", b"content", "raised")
    lot.items.park_invocation("another", "tests", b"content", "raised")

    lot.items.retry(item)

    (to_read,) = lot.items.to_read()
    assert (to_read.id, to_read.awaiting, to_read.cause) == (item.id, "reader", "raised")
    assert len(lot.items.items()) == 2


def test_a_retried_file_is_no_item_any_more(lot: Lot) -> None:
    """It was brought back into the spool, where it is met like any other."""
    (item,) = lot.items.park_files([("/spool/aside/x", "too large", None)])

    lot.items.retry(item)

    assert lot.items.items() == []
    assert lot.waiting() == []


def test_a_retry_twice_is_one(lot: Lot) -> None:
    """Two people may have seen the same list."""
    (stored,) = lot.store("1")
    item = lot.items.park_envelope("", stored, "refused")
    lot.items.retry(item)
    lot.outbox.confirm("", lot.waiting())

    lot.items.retry(item)

    assert lot.waiting() == []


def test_many_are_retried_or_discarded_in_one_step(lot: Lot) -> None:
    """Each in the way of its kind."""
    first, second, third = lot.store("1", "2", "3")
    parked = [lot.items.park_envelope("", stored, "refused") for stored in (second, first, third)]
    invocation = lot.items.park_invocation("some-id", "tests", b"content", "raised")

    lot.items.retry(*parked[:2], invocation)
    lot.items.discard(parked[2], parked[0])

    assert lot.waiting() == [first, second]
    assert [(item.subject, item.awaiting) for item in lot.items.items()] == [("some-id", "reader")]


def test_what_is_discarded_is_gone_for_good(lot: Lot) -> None:
    """What is left of it: an invocation counts as read, and the number of an envelope is used by no other."""
    (stored,) = lot.store("1")
    lot.items.discard(lot.items.park_envelope("", stored, "refused"))
    lot.items.discard(lot.items.park_invocation("some-id", "tests", b"content", "raised"))

    (after,) = lot.store("2")

    assert lot.items.items() == []
    assert after.envelope.sequence == 2
    assert lot.outbox.is_read("some-id")


def test_a_discard_that_comes_too_late_takes_nothing(lot: Lot) -> None:
    """Somebody has retried the item since it was listed: its envelope is on its way."""
    (stored,) = lot.store("1")
    item = lot.items.park_envelope("", stored, "refused")
    lot.items.retry(item)

    lot.items.discard(item)

    assert lot.waiting() == [stored]
    assert lot.outbox.waiting() == {"": 1}


def test_what_waits_for_its_feed_is_released_when_the_feed_is_there(lot: Lot) -> None:
    """And nothing else is: what a plugin failed on waits for a person."""
    lot.items.park_invocation("one", "later", b"content", "no plugin", no_feed=True)
    lot.items.park_invocation("two", "never", b"content", "no plugin", no_feed=True)
    lot.items.park_invocation("three", "later", b"content", "raised")

    counts = [lot.items.release(feeds) for feeds in ([], ["other"], ["later", "other"], ["later"])]

    assert counts == [0, 0, 1, 0]
    assert [item.subject for item in lot.items.to_read()] == ["one"]
    assert [item.awaiting for item in lot.items.items()] == ["reader", "feed", "person"]


def test_parking_takes_no_longer_the_more_is_parked(lot: Lot) -> None:
    """Whoever fills the spool with rubbish must not make each file of it dearer than the one before."""
    plan = lot.database.query(
        "EXPLAIN QUERY PLAN SELECT id FROM parked WHERE kind = 'file' AND subject = '/x'"
    )

    assert "USING COVERING INDEX parked_subject" in plan[0][-1]


def test_an_invocation_keeps_its_owner_and_that_it_is_suspicious(lot: Lot) -> None:
    """A retry with trust says that a person vouches for it, and forgets neither."""
    item = lot.items.park_invocation("some-id", "tests", b"", "forged", owner=1004, suspicious=True)

    lot.items.retry(item)
    (plain,) = lot.items.to_read()
    lot.items.retry(item, trust=True)
    (trusted,) = lot.items.to_read()

    assert (plain.owner, plain.suspicious, plain.trusted) == (1004, True, False)
    assert (trusted.owner, trusted.suspicious, trusted.trusted) == (1004, True, True)
