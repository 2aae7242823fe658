"""What a changed bug means: that it changed, and, for a public bug, what changed in it."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from msgspec.structs import replace

from pulseshim import Message, bounded_routing_key

CLOSED_BY = "resolution"
"""The field that says whether a bug is open: it is empty for as long as it is."""

_LISTS = frozenset(
    {"alias", "blocks", "cc", "depends_on", "duplicates", "flagtypes.name", "keywords", "regressed_by",
     "regressions", "see_also", "tag"}
)  # fmt: skip
"""Fields that hold several values: their changes are told value by value. The rest has one value."""

_NO_WORD = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class BugChange:
    """A bug that changed: `server` is its URL without scheme and last slash, `time` as `2014-04-03T21:13:45`.

    The time is UTC and that of its last change, to the second.
    """

    server: str
    id: int
    time: str


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What one person did to one field at one time; lists are texts with commas, as Bugzilla has them."""

    who: str
    when: str
    field: str
    removed: str
    added: str


@dataclass(frozen=True, slots=True)
class PublicBug:
    """What anybody may read about a changed bug: its history since the last poll.

    `creator` and `created` are there where it was filed since then. Times are as in `BugChange`.
    """

    server: str
    id: int
    changes: tuple[FieldChange, ...]
    creator: str | None = None
    created: str | None = None


BugEvent = BugChange | PublicBug


class SimpleBugMessage(Message, frozen=True, kw_only=True):
    """A bug changed: which, and when (UTC). What changed, each reader asks Bugzilla, by their own rights."""

    type: ClassVar[str] = "bugzilla.bug"

    id: int
    delta_ts: str


class BugCreatedMessage(Message, frozen=True, kw_only=True):
    """A public bug was filed."""

    type: ClassVar[str] = "bug.new"

    who: str
    when: str
    bug: int


class BugClosedMessage(Message, frozen=True, kw_only=True):
    """A public bug was closed: it got a resolution."""

    type: ClassVar[str] = "bug.closed"

    who: str
    when: str
    bug: int


class BugReopenedMessage(Message, frozen=True, kw_only=True):
    """A public bug was reopened: it lost its resolution."""

    type: ClassVar[str] = "bug.reopened"

    who: str
    when: str
    bug: int


class BugChangedMessage(Message, frozen=True, kw_only=True):
    """A field of a public bug that has one value got another one; empty: it has or had none."""

    type: ClassVar[str] = "bug.changed"

    who: str
    when: str
    bug: int
    before: str
    after: str


class BugAddedMessage(Message, frozen=True, kw_only=True):
    """A field of a public bug that holds several values got one more."""

    type: ClassVar[str] = "bug.added"

    who: str
    when: str
    bug: int
    value: str


class BugRemovedMessage(Message, frozen=True, kw_only=True):
    """A field of a public bug that holds several values lost one."""

    type: ClassVar[str] = "bug.removed"

    who: str
    when: str
    bug: int
    value: str


CHANGES: tuple[type[Message], ...] = (
    BugCreatedMessage,
    BugClosedMessage,
    BugReopenedMessage,
    BugChangedMessage,
    BugAddedMessage,
    BugRemovedMessage,
)
"""The types of messages that tell what changed in a public bug."""


def simple_messages(event: BugEvent) -> Iterator[SimpleBugMessage]:
    """Give the message that a bug changed: id and time, nothing else."""
    if isinstance(event, BugChange):
        yield SimpleBugMessage(
            routing_key=str(event.id),
            event_id=f"{event.server}/{event.id}@{event.time}",
            id=event.id,
            delta_ts=event.time,
        )


def change_messages(event: BugEvent) -> Iterator[Message]:
    """Give what changed in a public bug, oldest first."""
    if not isinstance(event, PublicBug):
        return
    if event.created is not None and event.creator is not None:
        yield BugCreatedMessage(
            routing_key="bug.new",
            event_id=f"{event.server}/{event.id}@{event.created}",
            who=event.creator,
            when=event.created,
            bug=event.id,
        )
    times: Counter[tuple[str, str]] = Counter()
    for change in event.changes:
        for message in _field_messages(event, change):
            what = (message.type, message.event_id)
            times[what] += 1
            # The same may happen again within one second, when it was undone in between.
            again = f" {times[what]}" if times[what] > 1 else ""
            yield replace(message, event_id=f"{message.event_id}{again}")


def _field_messages(bug: PublicBug, change: FieldChange) -> Iterator[Message]:
    word = _NO_WORD.sub("_", change.field).strip("_") or "unknown"
    # Not who: a person may get another login name, and the history of old shows them under it.
    event_id = f"{bug.server}/{bug.id}@{change.when} {change.field}"
    # Two changes of one second are told apart by what they changed.
    from_to = f"{event_id} {change.removed!r} {change.added!r}"
    if change.field in _LISTS:
        for value in _values(change.removed):
            yield BugRemovedMessage(
                routing_key=bounded_routing_key(f"bug.removed.{word}"),
                event_id=f"{event_id} {value!r}",
                who=change.who,
                when=change.when,
                bug=bug.id,
                value=value,
            )
        for value in _values(change.added):
            yield BugAddedMessage(
                routing_key=bounded_routing_key(f"bug.added.{word}"),
                event_id=f"{event_id} {value!r}",
                who=change.who,
                when=change.when,
                bug=bug.id,
                value=value,
            )
    elif change.removed != change.added:
        yield BugChangedMessage(
            routing_key=bounded_routing_key(f"bug.changed.{word}"),
            event_id=from_to,
            who=change.who,
            when=change.when,
            bug=bug.id,
            before=change.removed,
            after=change.added,
        )
        if change.field == CLOSED_BY and not (change.removed and change.added):
            kind = BugClosedMessage if change.added else BugReopenedMessage
            yield kind(routing_key=kind.type, event_id=from_to, who=change.who, when=change.when, bug=bug.id)


def _values(text: str) -> list[str]:
    """Give the values of a list, each once, in their order."""
    return list(dict.fromkeys(value for value in text.split(", ") if value))
