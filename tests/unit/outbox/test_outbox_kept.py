"""The outbox: what is kept after its confirm is replayed, forgotten, or given to another account."""

import json

from tests.unit.outbox.box import ONE, TWO, Box, texts

ALL = "1 = 1"


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
