"""What a git push means: from the push that was read to the messages that announce it.

A push is one message, unless its refs alone do not fit into one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from pulseshim import Message, bounded_routing_key, readable
from pulseshim_shims.git_fitting import fill, room_for_commits, shortened_options, shortened_tag, split
from pulseshim_shims.git_payload import Commit, ObjectType, Tag, Update, original

MAX_BYTES = 1024 * 1024
"""The limit for the encoded envelope of a message, in bytes, where no other is set."""

_META_BYTES = 1024
_USER_CHARACTERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RefUpdate:
    """What a push did to one ref, as it was read: null values (`None`) stand for "no such ref".

    `commits` are the newest ones first, as many as were read of `commit_count`; `incomplete` says that
    objects were gone, so that commits and counts are only what is known.
    """

    ref: str
    old: str | None
    new: str | None
    forced: bool = False
    object: ObjectType | None = None
    tag: Tag | None = None
    commits: tuple[Commit, ...] = ()
    commit_count: int = 0
    discarded_count: int = 0
    incomplete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GitPush:
    """A push into a repository that has a public URL, as it was read.

    `id` is the invocation's. `url` is percent-encoded, `path` is the path of it, decoded and without the
    leading slash. `time` is in seconds since 1970. `user` and `options` are as `os.fsdecode` gives them.
    """

    id: str
    url: str
    path: str
    push_id: int
    time: int
    user: str
    options: tuple[str, ...]
    updates: tuple[RefUpdate, ...]


class GitPushMessage(Message, frozen=True, kw_only=True):
    """A push: what became of each ref, and the commits it brought.

    `push_id` counts the pushes of a repository. `branches` and `tags` name what now exists. `part` and
    `parts` are there only where the refs of a push need several messages: each has some of the refs, in
    order. `option_count` is there only where `options` does not list them all. `options_bytes` has, beside
    each option, its original bytes in base64 or null; it is there only where an option is not UTF-8.
    """

    type: ClassVar[str] = "git.push"

    payload_type: Literal["push"] = msgspec.field(default="push", name="type")
    repo_url: str
    push_id: int
    time: str
    user: str
    push_json_url: str
    push_full_json_url: str
    branches: dict[str, str]
    tags: dict[str, str]
    options: list[str]
    updates: list[Update]
    user_bytes: str | UnsetType = UNSET
    options_bytes: list[str | None] | UnsetType = UNSET
    option_count: int | UnsetType = UNSET
    part: int | UnsetType = UNSET
    parts: int | UnsetType = UNSET

    def payload(self) -> dict[str, Any]:
        """Give the payload, without the fields that are absent."""
        fields = super().payload()
        return {name: value for name, value in fields.items() if value is not UNSET}


def push_messages(
    push: GitPush, *, max_bytes: int = MAX_BYTES, push_json_url: str = "", push_full_json_url: str = ""
) -> Iterator[GitPushMessage]:
    """Give the messages of a push, each with an envelope of at most `max_bytes`.

    All refs are described. Commits fill what is left: the newest of each ref first, one ref after the other,
    so that what is left out is the oldest. The URLs are templates with {repo_url}, {path} and {push_id}.
    """
    path = push.url.partition("://")[2].partition("/")[2]
    places = {"repo_url": push.url, "path": path, "push_id": push.push_id}
    frame = _frame(push, max_bytes, push_json_url.format(**places), push_full_json_url.format(**places))
    room = max_bytes - _META_BYTES - len(msgspec.json.encode(frame.payload()))
    room -= len(msgspec.json.encode(frame.routing_key))
    bare = [_described(update, max_bytes) for update in push.updates]
    sections = split(bare, room)
    commits = iter(push.updates)
    for number, section in enumerate(sections, 1):
        left = room_for_commits(section, room)
        updates = fill(section, [next(commits).commits for _ in section], left)
        yield msgspec.structs.replace(
            frame,
            event_id=push.id if number == 1 else f"{push.id}/{number}",
            branches=_existing("branch", updates),
            tags=_existing("tag", updates),
            updates=updates,
            part=number if len(sections) > 1 else UNSET,
            parts=len(sections) if len(sections) > 1 else UNSET,
        )


def _frame(push: GitPush, max_bytes: int, json_url: str, full_json_url: str) -> GitPushMessage:
    """Give the message without its updates, with the largest numbers it can have."""
    user = push.user[:_USER_CHARACTERS]
    options = shortened_options(push.options, max_bytes // 4)
    origins = [None if (origin := original(option)) is UNSET else origin for option in options]
    return GitPushMessage(
        routing_key=bounded_routing_key(push.path),
        event_id=push.id,
        repo_url=push.url,
        push_id=push.push_id,
        time=str(push.time),
        user=readable(user),
        push_json_url=json_url,
        push_full_json_url=full_json_url,
        branches={},
        tags={},
        options=[readable(option) for option in options],
        updates=[],
        user_bytes=original(user),
        options_bytes=origins if any(origins) else UNSET,
        option_count=len(push.options) if len(options) < len(push.options) else UNSET,
        part=10**9,
        parts=10**9,
    )


def _described(update: RefUpdate, max_bytes: int) -> Update:
    """Give the description of an update, without its commits yet."""
    kind, name = _kind_and_name(update.ref)
    return Update(
        ref=readable(update.ref),
        kind=kind,
        name=readable(name),
        change="deleted" if update.new is None else "created" if update.old is None else "updated",
        forced=update.forced,
        old=update.old,
        new=update.new,
        object=update.object,
        tag=shortened_tag(update.tag, max_bytes // 8) if update.tag else None,
        commits=[],
        commit_count=update.commit_count,
        discarded_count=update.discarded_count,
        truncated=update.incomplete,
        ref_bytes=original(update.ref),
        name_bytes=original(name),
    )


def _kind_and_name(ref: str) -> tuple[Literal["branch", "tag", "other"], str]:
    if ref.startswith("refs/heads/"):
        return "branch", ref.removeprefix("refs/heads/")
    if ref.startswith("refs/tags/"):
        return "tag", ref.removeprefix("refs/tags/")
    return "other", ref.removeprefix("refs/")


def _existing(kind: str, updates: list[Update]) -> dict[str, str]:
    return {update.name: update.new for update in updates if update.kind == kind and update.new is not None}
