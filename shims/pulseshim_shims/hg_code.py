"""What pushes and changesets look like on `exchange/code/`, under the keys that it always had."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from pulseshim import Message, bounded_routing_key, readable
from pulseshim_shims.hg_event import HgChangeset, HgEvent, HgTransaction
from pulseshim_shims.hg_fitting import beginning, first_files, first_names, newest, size
from pulseshim_shims.hg_payload import FileChange, Phase

_META_BYTES = 1024
_SEPARATORS = re.compile(r"[/-]+|\.{2,}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class HgPushMessage(Message, frozen=True, kw_only=True):
    """A push; `when` is in UTC, `changesets` are oldest first.

    `changeset_count` is there only where `changesets` are only the newest.
    """

    type: ClassVar[str] = "hg.push"

    repository: str
    repo_url: str
    when: str
    who: str
    changesets: list[str]
    changeset_count: int | UnsetType = UNSET


class HgCommitMessage(Message, frozen=True, kw_only=True):
    """A changeset that was pushed; `when` and `who` are its own date, in UTC, and author.

    `when` is null where the date is none that a calendar has. `bookmarks` are those that the push moved to
    it. Of these and of `tags`, the first are listed that take an eighth of the largest message, each cut to
    an eighth of that. `file_count` is there only where `files` does not list them all, `message_truncated`
    where `message` is only its beginning.
    """

    type: ClassVar[str] = "hg.commit"

    repository: str
    repo_url: str
    id: str
    when: str | None
    who: str
    parents: list[str]
    branch: str
    message: str
    bookmarks: list[str]
    tags: list[str]
    phase: Phase
    files: list[FileChange]
    message_truncated: Literal[True] | UnsetType = UNSET
    file_count: int | UnsetType = UNSET


CODE_MESSAGES = (HgPushMessage, HgCommitMessage)


def code_messages(event: HgEvent, *, max_bytes: int) -> Iterator[Message]:
    """Give the messages of an event for `exchange/code/`: one a push, and one for each of its changesets."""
    if isinstance(event, HgChangeset):
        yield _commit(event, max_bytes - _META_BYTES)
    elif event.changeset_count:
        yield _push(event, max_bytes - _META_BYTES)


def code_key(kind: Literal["push", "commit"], path: str) -> str:
    """Give the routing key: `hg.push.` and the words of the repository's path, which `/` and `-` divide."""
    words = [word.strip(".") for word in _SEPARATORS.split(path)]
    return bounded_routing_key(".".join(["hg", kind, *filter(None, words)]))


def _push(event: HgTransaction, room: int) -> HgPushMessage:
    frame = HgPushMessage(
        **_address(event.path, "push", event.id),
        repository=readable(event.path),
        repo_url=event.url,
        when=_when(event.time) or "",
        who=event.user,
        changesets=[],
        changeset_count=event.changeset_count,
    )
    kept = newest(list(event.changesets), room - size(frame.payload()))
    cut = len(kept) < event.changeset_count
    return replace(frame, changesets=kept, changeset_count=event.changeset_count if cut else UNSET)


def _commit(event: HgChangeset, room: int) -> HgCommitMessage:
    """Give the message of a changeset in at most `room` bytes: its last files are left out first.

    Author, branch, bookmarks and tags have an eighth of it each, and a text that is too long has a quarter.
    """
    frame = HgCommitMessage(
        **_address(event.path, "commit", f"{event.transaction}/{event.node}"),
        repository=readable(event.path),
        repo_url=event.url,
        id=event.node,
        when=_when(event.date),
        who=beginning(readable(event.author), room // 8),
        parents=list(event.parents),
        branch=beginning(readable(event.branch), room // 8),
        message=readable(event.text),
        bookmarks=first_names(event.bookmarks, room // 8),
        tags=first_names(event.tags, room // 8),
        phase=event.phase,
        files=[],
        file_count=len(event.files),
    )
    if size(frame.payload()) > room // 2:
        short = beginning(frame.message, room // 4)
        cut = len(short) < len(frame.message)
        frame = replace(frame, message=short, message_truncated=True if cut else UNSET)
    files = first_files(list(event.files), room - size(frame.payload()))
    complete = len(files) == len(event.files)
    return replace(frame, files=files, file_count=UNSET if complete else len(event.files))


def _address(path: str, kind: Literal["push", "commit"], event_id: str) -> dict[str, Any]:
    return {"routing_key": code_key(kind, path), "event_id": event_id}


def _when(seconds: float) -> str | None:
    """Give a time in seconds since 1970 as RFC 3339 in UTC, None where it is outside the years 1 to 9999."""
    try:
        return (_EPOCH + timedelta(seconds=int(seconds))).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return None
