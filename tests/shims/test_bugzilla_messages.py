"""The messages that are made of a bug that changed."""

import pytest

from pulseshim import Exchange
from pulseshim.testing import check_shim
from pulseshim_shims.bugzilla import (
    CHANGES,
    BugChange,
    BugEvent,
    FieldChange,
    PublicBug,
    SimpleBugMessage,
    change_messages,
    simple_messages,
)

SIMPLE = Exchange("exchange/bugzilla/simple", "", "", (SimpleBugMessage,))
FULL = Exchange("exchange/bugzilla/", "", "", CHANGES)
AT = "2014-04-03T21:13:45"


def changed(field: str, removed: str = "", added: str = "", when: str = AT) -> PublicBug:
    """Give a public bug in which one field changed."""
    return PublicBug("bugzilla.test", 7, (FieldChange("dev@example.org", when, field, removed, added),))


def told(*events: BugEvent) -> list[tuple[str, dict[str, object]]]:
    """Give routing keys and payloads of the full changes."""
    return [(m.routing_key, m.payload()) for m in check_shim(change_messages, events, FULL)]


def test_a_changed_bug_is_its_id_and_its_time_and_nothing_else() -> None:
    """As its consumers have known it for years; the routing key is the id."""
    (message,) = check_shim(simple_messages, [BugChange("bugzilla.test", 1234567, AT)], SIMPLE)

    assert message.routing_key == "1234567"
    assert message.payload() == {"id": 1234567, "delta_ts": AT}


def test_a_change_is_identified_by_server_bug_and_time() -> None:
    """Each of them makes another message; the same three make the same one."""
    events = [
        BugChange("bugzilla.test", 1, AT),
        BugChange("bugzilla.test", 1, "2014-04-03T21:13:46"),
        BugChange("bugzilla.test", 2, AT),
        BugChange("other.test", 1, AT),
    ]

    messages = check_shim(simple_messages, events, SIMPLE)

    assert len({message.message_id for message in messages}) == 4
    assert next(iter(simple_messages(events[0]))).message_id == messages[0].message_id


def test_each_shim_leaves_the_events_of_the_other_alone() -> None:
    """They share one source: neither tells what belongs to the other's exchange."""
    assert list(simple_messages(changed("priority", "P1", "P2"))) == []
    assert list(change_messages(BugChange("bugzilla.test", 1, AT))) == []


def test_a_bug_that_was_filed_is_new() -> None:
    """Who filed it, and when."""
    bug = PublicBug("bugzilla.test", 7, (), creator="dev@example.org", created=AT)

    assert told(bug) == [("bug.new", {"who": "dev@example.org", "when": AT, "bug": 7})]


def test_a_field_with_one_value_changes_from_one_to_another() -> None:
    """Before and after, empty where there is none."""
    assert told(changed("priority", "", "P1")) == [
        (
            "bug.changed.priority",
            {"who": "dev@example.org", "when": AT, "bug": 7, "before": "", "after": "P1"},
        )
    ]


def test_a_field_with_several_values_is_told_value_by_value() -> None:
    """First what was removed, then what was added."""
    found = told(changed("keywords", "crash", "perf, regression"))

    assert [(key, payload["value"]) for key, payload in found] == [
        ("bug.removed.keywords", "crash"),
        ("bug.added.keywords", "perf"),
        ("bug.added.keywords", "regression"),
    ]


@pytest.mark.parametrize(
    ("removed", "added", "last"),
    [
        ("", "FIXED", "bug.closed"),
        ("FIXED", "", "bug.reopened"),
        ("FIXED", "INVALID", "bug.changed.resolution"),
    ],
)
def test_a_bug_is_closed_by_a_resolution_and_reopened_by_losing_it(
    removed: str, added: str, last: str
) -> None:
    """Another resolution is neither."""
    keys = [key for key, _ in told(changed("resolution", removed, added))]

    assert keys[0] == "bug.changed.resolution"
    assert keys[-1] == last


def test_two_changes_of_one_second_are_two_messages() -> None:
    """The history has them as two, and so have we."""
    there = FieldChange("dev@example.org", AT, "priority", "P1", "P2")
    back = FieldChange("dev@example.org", AT, "priority", "P2", "P1")

    assert len(told(PublicBug("bugzilla.test", 7, (there, back)))) == 2


@pytest.mark.parametrize("field", ["priority", "keywords", "resolution"])
def test_what_is_done_undone_and_done_again_in_one_second_is_three_changes(field: str) -> None:
    """By whomever: the third is not the first come again."""
    people = ["one@example.org", "two@example.org", "one@example.org"]
    values = [("", "x"), ("x", ""), ("", "x")]
    steps = zip(people, values, strict=True)
    changes = tuple(FieldChange(who, AT, field, removed, added) for who, (removed, added) in steps)

    messages = check_shim(change_messages, [PublicBug("bugzilla.test", 7, changes)], FULL)

    assert [m.payload()["who"] for m in messages if m.type not in ("bug.closed", "bug.reopened")] == people


def test_a_change_keeps_its_id_when_who_made_it_gets_another_login_name() -> None:
    """A history names people as they are called now; a consumer knows the message all the same."""

    def told_by(who: str) -> dict[str, dict[str, object]]:
        fields = ["priority", "keywords", "resolution"]
        changes = tuple(FieldChange(who, AT, field, "", "x") for field in fields)
        bug = PublicBug("bugzilla.test", 7, changes, creator=who, created=AT)
        return {m.message_id: m.payload() for m in check_shim(change_messages, [bug], FULL)}

    before, after = told_by("miss@example.org"), told_by("mrs@example.org")

    assert before.keys() == after.keys()
    assert before != after


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("flagtypes.name", "bug.added.flagtypes_name"),
        ("cf_status firefox", "bug.changed.cf_status_firefox"),
        ("é", "bug.changed.unknown"),
    ],
)
def test_a_field_is_one_word_of_the_routing_key(field: str, key: str) -> None:
    """Whatever its name: consumers bind to bug.changed.* and get all of them."""
    assert [found for found, _ in told(changed(field, "", "x"))] == [key]


def test_a_field_of_any_length_fits_into_a_routing_key() -> None:
    """It is cut and marked, so that two long names stay two."""
    keys = {key for name in ("a", "b") for key, _ in told(changed("x" * 300 + name, "", "y"))}

    assert len(keys) == 2
    assert max(map(len, keys)) <= 255
