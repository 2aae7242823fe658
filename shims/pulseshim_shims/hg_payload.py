"""What Mercurial's changesets, markers and bookmarks look like in a message.

Mercurial stores paths as bytes. A path that is not UTF-8 shows those bytes as `\\xNN`, and `path_bytes` or
`from_bytes` beside it holds all of it in base64. Texts come in as `os.fsdecode` gives them: a byte that is
not UTF-8 is a surrogate.
"""

from base64 import b64encode
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from pulseshim import readable

Phase = Literal["public", "draft", "secret"]
Change = Literal["added", "modified", "removed", "renamed", "copied"]


class FileChange(msgspec.Struct, frozen=True, gc=False):
    """A file that a changeset changed; `from` is its earlier path where it was renamed or copied, else null.

    A rename is one entry. Of a merge, the files that differ from each parent are listed, and `parent` says
    from which; it is there for merges alone.
    """

    change: Change
    path: str
    from_: str | None = msgspec.field(default=None, name="from")
    parent: str | UnsetType = UNSET
    path_bytes: str | UnsetType = UNSET
    from_bytes: str | UnsetType = UNSET


class PushEntry(msgspec.Struct, frozen=True, gc=False):
    """A push of the push log; `time` is in seconds since 1970."""

    pushid: int
    time: int
    user: str
    push_json_url: str
    push_full_json_url: str


class MarkedNode(msgspec.Struct, frozen=True, gc=False):
    """A changeset that a marker names: of one that is not in the repository, nothing but `node` is known."""

    node: str
    known: bool
    visible: bool | None
    desc: str | None
    push: PushEntry | None


class Marker(msgspec.Struct, frozen=True, gc=False):
    """An obsolescence marker: `successors` replace `precursor`; where there are none, it was pruned."""

    precursor: MarkedNode
    successors: list[MarkedNode]
    user: str | None
    time: float


class BookmarkMove(msgspec.Struct, frozen=True, gc=False):
    """A bookmark and the changesets it pointed to before and after; null: it was not, or is not, there.

    Of a name that takes more than an eighth of the largest message, there is the beginning.
    """

    bookmark: str
    old: str | None
    new: str | None


class PhaseMove(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Changesets that were there already and changed from one phase to another.

    `changesets` are the newest of them, oldest first; `changeset_count` says how many there are.
    """

    old: Phase = msgspec.field(name="from")
    new: Phase = msgspec.field(name="to")
    heads: list[str]
    changesets: list[str]
    changeset_count: int


def file_change(
    change: Change, path: str, earlier: str | None = None, *, parent: str | None = None
) -> FileChange:
    """Give a changed file from its path, its earlier one, and the parent of a merge it is compared with."""
    against = UNSET if parent is None else parent
    if path.isascii() and (earlier is None or earlier.isascii()):
        return FileChange(change, path, earlier, against)
    return FileChange(
        change,
        readable(path),
        None if earlier is None else readable(earlier),
        against,
        _original(path),
        UNSET if earlier is None else _original(earlier),
    )


def _original(text: str) -> str | UnsetType:
    """Give the original bytes of a text in base64 where they are not UTF-8, else UNSET."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return b64encode(text.encode("utf-8", "surrogateescape")).decode()
    return UNSET
