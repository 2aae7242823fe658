"""What the hg source saw: a transaction, and after it each changeset that came with it."""

from dataclasses import dataclass
from typing import TypeAlias

from pulseshim_shims.hg_payload import BookmarkMove, FileChange, Marker, Phase, PhaseMove, PushEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class HgTransaction:
    """A transaction in a repository that has a public URL, as it was read; nothing in it is secret.

    `id` is Mercurial's. `url` is percent-encoded, `path` is the path of it, decoded and without the leading
    slash. `time` is in seconds since 1970, `user` an e-mail address. `heads` are the heads of what came,
    `changesets` the newest of them, oldest first, of `changeset_count`. `pushes` are the entries of the push
    log that the heads belong to.
    """

    id: str
    url: str
    path: str
    time: int
    user: str
    source: str
    is_new: bool = False
    heads: tuple[str, ...] = ()
    changesets: tuple[str, ...] = ()
    changeset_count: int = 0
    pushes: tuple[PushEntry, ...] = ()
    markers: tuple[Marker, ...] = ()
    bookmarks: tuple[BookmarkMove, ...] = ()
    phases: tuple[PhaseMove, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HgChangeset:
    """A changeset that came with a transaction; `date` is its own, in seconds since 1970.

    `bookmarks` are those that the transaction moved to it, `tags` the global ones that name it.
    """

    transaction: str
    url: str
    path: str
    node: str
    parents: tuple[str, ...]
    branch: str
    author: str
    text: str
    date: float
    phase: Phase
    files: tuple[FileChange, ...]
    bookmarks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


HgEvent: TypeAlias = HgTransaction | HgChangeset
