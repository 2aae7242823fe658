"""What a git push looks like in a message, and how bytes that are not UTF-8 travel in it.

git stores names, messages and paths as bytes. Each text here is UTF-8; where the original was not, the text
shows those bytes as `\\xNN` and a field `<name>_bytes` beside it holds all of the original in base64. It is
absent otherwise. Texts come in as `os.fsdecode` gives them: a byte that is not UTF-8 is a surrogate.
"""

from base64 import b64encode
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from pulseshim import readable

ObjectType = Literal["commit", "tag", "tree", "blob"]
_LATEST = 2**63 - 1

FileStatus = Literal["added", "modified", "removed", "renamed", "copied", "type-changed"]


class Person(msgspec.Struct, frozen=True, gc=False):
    """Who wrote or committed or tagged, and when.

    `time` is in seconds since 1970, UTC; null where git finds none, or none below 2^63.
    """

    name: str
    email: str
    time: int | None
    name_bytes: str | UnsetType = UNSET
    email_bytes: str | UnsetType = UNSET


class FileChange(msgspec.Struct, frozen=True, gc=False):
    """A file that a commit changed; `from` is its earlier path where it was renamed or copied, else null.

    A new mode, a submodule's new commit and a link's new target are `modified`; a file that became a link or
    a submodule, or the other way round, is `type-changed`. Of a merge, only files that differ from every
    parent are listed: `removed` where the merge has none, `added` where no parent has one, `renamed` where it
    has another path in some parent (`from`: the first such), `type-changed` where its type differs from some
    parent's, else `modified`.
    """

    change: FileStatus
    path: str
    from_: str | None = msgspec.field(default=None, name="from")
    path_bytes: str | UnsetType = UNSET
    from_bytes: str | UnsetType = UNSET


class Commit(msgspec.Struct, frozen=True, gc=False):
    """A commit and the files it changed.

    `file_count` says how many files there are, where `files` does not list them all; `message_truncated` that
    the message is only its beginning. Both are absent otherwise. A message ends at its first NUL, as in git.
    """

    id: str
    parents: list[str]
    author: Person
    committer: Person
    message: str
    files: list[FileChange]
    message_bytes: str | UnsetType = UNSET
    message_truncated: Literal[True] | UnsetType = UNSET
    file_count: int | UnsetType = UNSET


class Tag(msgspec.Struct, frozen=True, gc=False):
    """An annotated tag; `object` is what it points to, which may be another tag.

    Its signature, if there is one, is the end of its message.
    """

    name: str
    tagger: Person | None
    message: str
    object: str
    object_type: ObjectType
    name_bytes: str | UnsetType = UNSET
    message_bytes: str | UnsetType = UNSET
    message_truncated: Literal[True] | UnsetType = UNSET


class Update(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a push did to one ref.

    `name` is the ref without `refs/heads/`, `refs/tags/` or, for other kinds, `refs/`. `object` is the type
    of the new object: null for a deletion, and where the object was gone when the push was read. `commits`
    are those that came with the push and no earlier update in it reaches, oldest first; `truncated` says that
    something of the update is left out, `commit_count` how many there were. `discarded_count` is how many
    commits the old value reached and no ref of the repository reaches any more. `forced`: the new value does
    not descend from the old one, or a tag moved.
    """

    ref: str
    kind: Literal["branch", "tag", "other"]
    name: str
    change: Literal["created", "updated", "deleted"]
    forced: bool
    old: str | None
    new: str | None
    object: ObjectType | None
    tag: Tag | None
    commits: list[Commit]
    commit_count: int
    discarded_count: int
    truncated: bool
    ref_bytes: str | UnsetType = UNSET
    name_bytes: str | UnsetType = UNSET


def original(text: str) -> str | UnsetType:
    """Give the original bytes of a text in base64 where they are not UTF-8, else UNSET."""
    if text.isascii():
        return UNSET
    try:
        text.encode()
    except UnicodeEncodeError:
        return b64encode(text.encode("utf-8", "surrogateescape")).decode()
    return UNSET


def person(name: str, email: str, time: str) -> Person:
    """Give a person from the texts that git has; a time that is no number below 2^63 becomes null."""
    if name.isascii() and email.isascii():
        return Person(name, email, _seconds(time))
    return Person(readable(name), readable(email), _seconds(time), original(name), original(email))


def file_change(change: FileStatus, path: str, earlier: str | None = None) -> FileChange:
    """Give a changed file from its path and, where it was renamed or copied, its earlier one."""
    if earlier is None:
        return (
            FileChange(change, path)
            if path.isascii()
            else FileChange(change, readable(path), path_bytes=original(path))
        )
    return FileChange(change, readable(path), readable(earlier), original(path), original(earlier))


def _seconds(time: str) -> int | None:
    if not (time.isascii() and time.isdigit()) or len(time) > len(str(_LATEST)):
        return None
    number = int(time)
    return number if number <= _LATEST else None
