"""How a push is made to fit into messages of a limited size: refs are divided, commits are left out.

Sizes are those of the encoded JSON, in bytes, measured and never guessed.
"""

from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from pulseshim_shims.git_payload import Commit, FileChange, Tag, Update

T = TypeVar("T", Commit, Tag)

_encode = msgspec.json.Encoder().encode


def split(updates: Sequence[Update], room: int) -> list[list[Update]]:
    """Divide updates, in order, into as few sections as `room` bytes each allow.

    An update that is larger than that by itself (a ref with a name of many kilobytes) is a section of its
    own.
    """
    sections: list[list[Update]] = []
    left = 0
    for update in updates:
        size = _update_size(update)
        if size > left or not sections:
            sections.append([])
            left = room
        sections[-1].append(update)
        left -= size
    return sections


def room_for_commits(section: Sequence[Update], room: int) -> int:
    """Say how many bytes of `room` the updates of a section leave to their commits."""
    return room - sum(map(_update_size, section))


def fill(section: Sequence[Update], commits: Sequence[Sequence[Commit]], room: int) -> list[Update]:
    """Give the updates of a section with as many of their commits (newest first in, oldest first out) as fit.

    The updates take turns, and one whose next commit does not fit takes no more. A newest commit that does
    not fit is cut in itself, to an equal share of what is left for those whose first turn it is.
    """
    taken: list[list[Commit]] = [[] for _ in section]
    turns = deque(index for index, own in enumerate(commits) if own)
    first_turns = len(turns)
    while turns:
        index = turns.popleft()
        own = taken[index]
        commit: Commit | None = commits[index][len(own)]
        size = _size(commit)
        whole = size <= room
        if not own:
            if not whole:
                commit = shortened_commit(commits[index][0], room // first_turns - 1)
                size = _size(commit)
            first_turns -= 1
        if commit is None or size > room:
            continue
        own.append(commit)
        room -= size
        if whole and len(own) < len(commits[index]):
            turns.append(index)
    return [_filled(update, own[::-1]) for update, own in zip(section, taken, strict=True)]


def shortened_commit(commit: Commit, limit: int) -> Commit | None:
    """Give a commit in at most `limit` bytes of JSON, without some of its files and its message's end.

    Give None where even its id, parents and people do not fit.
    """
    if len(_encode(commit)) <= limit:
        return commit
    count = len(commit.files) if commit.file_count is UNSET else commit.file_count
    bare = replace(commit, files=[], file_count=count)
    if len(_encode(bare)) > limit:
        bare = _with_shorter_message(bare, limit // 2)
    left = limit - len(_encode(bare))
    if left < 0:
        return None
    files: list[FileChange] = []
    for file in commit.files:
        left -= _size(file)
        if left < 0:
            break
        files.append(file)
    return replace(bare, files=files, file_count=UNSET if len(files) == count else count)


def shortened_tag(tag: Tag, limit: int) -> Tag:
    """Give a tag whose message takes at most `limit` bytes of JSON."""
    if len(_encode(tag)) <= limit:
        return tag
    return _with_shorter_message(tag, limit)


def shortened_options(options: Sequence[str], limit: int) -> list[str]:
    """Give the first options that take at most `limit` bytes together, however they must be written."""
    kept: list[str] = []
    for option in options:
        limit -= _size(option.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
        if not option.isascii():
            limit -= 2 * len(option.encode("utf-8", "surrogateescape"))
        if limit < 0:
            break
        kept.append(option)
    return kept


def _size(value: Any) -> int:
    """Say how many bytes a value takes in a list, its comma included."""
    return len(_encode(value)) + 1


def _update_size(update: Update) -> int:
    """Say how many bytes an update takes in `updates`, and in `branches` or `tags`."""
    size = _size(update)
    if update.new is None or update.kind == "other":
        return size
    return size + _size({update.name: update.new})


def _filled(update: Update, commits: list[Commit]) -> Update:
    cut = any(c.file_count is not UNSET or c.message_truncated is not UNSET for c in commits)
    left_out = len(commits) < update.commit_count
    return replace(update, commits=commits, truncated=update.truncated or cut or left_out)


def _with_shorter_message(item: T, limit: int) -> T:
    """Give a commit or tag with the beginning of its message that takes at most `limit` bytes of JSON."""
    utf8 = item.message_bytes is UNSET
    whole = item.message.encode() if item.message_bytes is UNSET else b64decode(item.message_bytes)
    length = min(len(whole), limit)
    while True:
        beginning = whole[:length]
        text = beginning.decode(errors="ignore" if utf8 else "backslashreplace")
        origin = UNSET if utf8 else b64encode(beginning).decode()
        size = _size(text) + (0 if origin is UNSET else _size(origin))
        if size <= limit or not length:
            return replace(item, message=text, message_bytes=origin, message_truncated=True)
        length = length * max(limit, 0) // (size + 1)
