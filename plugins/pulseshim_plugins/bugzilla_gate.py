"""The privacy gate: of what was read of changed bugs, only what anybody may see now goes through.

Bugs, attachments and comments turn private at any time. So all of it is read anonymously, none of it is
logged, and whether a bug may be seen is asked last: after all else of it was read, and again before what was
made of it is published. The gate is `open_to_all`; nothing of a bug but its id and time passes another way.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pulseshim import Envelope, PulseshimError
from pulseshim_plugins.bugzilla_client import Client, timestamp
from pulseshim_plugins.bugzilla_error import NOT_VISIBLE, ServerBusy, error_code
from pulseshim_shims.bugzilla import FieldChange, PublicBug

_AT_ONCE = 200
_GROUP_FIELDS = frozenset({"bug_group", "groups", "reporter_accessible", "cclist_accessible"})
_PARTS = ("attach", "comment", "longdesc")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bug as it was read: what Bugzilla gives of its filing and its history, not yet let through."""

    id: int
    history: Sequence[dict[str, Any]]


def _raise(_bug: int, error: PulseshimError) -> None:
    raise error


def read_candidates(
    anonymous: Client, ids: Iterable[int], unreadable: Callable[[int, PulseshimError], None] = _raise
) -> Iterator[Candidate]:
    """Read the histories of those bugs that an anonymous client can see. Raises `PulseshimError`.

    `unreadable` is told of a bug whose history alone cannot be had: just after, the server shows the bug.
    """
    for batch in _batches(ids):
        for bug in _visible(anonymous, batch):
            try:
                candidate = Candidate(bug, anonymous.history(bug))
            except ServerBusy:
                raise
            except PulseshimError as error:
                if error_code(error) not in NOT_VISIBLE and _visible(anonymous, [bug]):
                    unreadable(bug, error)
            else:
                yield candidate


def public_now(
    anonymous: Client, server: str, candidates: Iterable[Candidate], since: str
) -> Iterator[PublicBug]:
    """Give what anybody may see at this moment of bugs that were read, as far as it happened since a time.

    What its history says of attachments, comments and groups stays behind: each has a visibility of its own.
    """
    for batch in _batches(candidates):
        shown = open_to_all(anonymous, [candidate.id for candidate in batch])
        for candidate in batch:
            bug = shown.get(candidate.id)
            if bug is None:
                continue
            created = timestamp(bug["creation_time"])
            is_new = created >= since
            yield PublicBug(
                server=server,
                id=candidate.id,
                changes=tuple(_changes(candidate, since)),
                creator=_text(bug["creator"]) if is_new else None,
                created=created if is_new else None,
            )


def still_public(anonymous: Client, envelopes: Sequence[Envelope]) -> list[Envelope]:
    """Give those envelopes that tell of a bug which anybody may see at this moment."""
    bugs = [msgspec.json.decode(envelope.body, type=_Body).payload.bug for envelope in envelopes]
    shown: set[int] = set()
    for batch in _batches(dict.fromkeys(bugs)):
        shown |= open_to_all(anonymous, batch).keys()
    return [envelope for envelope, bug in zip(envelopes, bugs, strict=True) if bug in shown]


class _Payload(msgspec.Struct):
    bug: int


class _Body(msgspec.Struct):
    payload: _Payload


def open_to_all(anonymous: Client, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Give those bugs that a client without a key is shown, asked here and now, and that are in no group."""
    if not anonymous.is_anonymous:
        raise ValueError("the privacy gate is asked by a client that has a key")
    return {bug: shown for bug, shown in _visible(anonymous, ids).items() if not shown.get("groups")}


def _changes(candidate: Candidate, since: str) -> Iterator[FieldChange]:
    for entry in candidate.history:
        if entry["when"] < since:
            continue
        for change in entry["changes"]:
            field = str(change["field_name"])
            if "attachment_id" in change or "comment_id" in change or field.startswith(_PARTS):
                continue
            if field not in _GROUP_FIELDS:
                removed, added = _text(change["removed"]), _text(change["added"])
                yield FieldChange(_text(entry["who"]), entry["when"], field, removed, added)


def _text(value: object) -> str:
    """Give a value as a text that JSON can hold: half a character, which a server may have, becomes `?`."""
    return ("" if value is None else str(value)).encode("utf-8", "replace").decode()


def _visible(anonymous: Client, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    try:
        return anonymous.visible(ids, ("groups", "creation_time", "creator"))
    except PulseshimError as error:
        if error_code(error) in NOT_VISIBLE:
            return {}
        raise


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Give items in lists that are short enough for one URL."""
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
