"""The strict consumers of what is announced of Mercurial: a payload with a key they do not know is refused.

Those of `exchange/hgpushes/v1` and `exchange/hgpushes/v2` are in service; `hg.push` and `hg.commit` have the
keys that theirs require, and more; `bookmark.1` and `phase.1` are of this project.
"""

from typing import Annotated, Any, Literal

import msgspec

HOST = "https://hg.example.org"

Node = Annotated[str, msgspec.Meta(pattern="^[0-9a-z]{40}$")]
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
# What the format `email` of JSON Schema is to Ajv.
Email = Annotated[str, msgspec.Meta(pattern=rf"^{_ATOM}(\.{_ATOM})*@({_LABEL}\.)+{_LABEL}$")]
Url = Annotated[str, msgspec.Meta(pattern=f"^{HOST}/")]
When = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Phase = Literal["public", "draft"]


class _Closed(msgspec.Struct, forbid_unknown_fields=True):
    pass


class PushEntry(_Closed):
    """An entry of the push log, as all of them read it."""

    pushid: int
    time: int
    user: Email
    push_json_url: Url
    push_full_json_url: Url


class Version1(_Closed):
    """A push, as it is read on v1."""

    repo_url: Url
    heads: Annotated[list[Node], msgspec.Meta(min_length=1)]
    pushlog_pushes: list[PushEntry]


class Changegroup(Version1):
    """A push, as it is read on v2."""

    source: str


class NewRepository(_Closed):
    """A new repository."""

    repo_url: Url


class Marked(_Closed):
    """A changeset that a marker names."""

    node: Node
    known: bool
    visible: bool | None
    desc: str | None
    push: PushEntry | None


class Marker(_Closed):
    """A marker."""

    precursor: Marked
    successors: list[Marked]
    user: str | None
    time: float


class Obsolete(_Closed):
    """Markers that came."""

    repo_url: Url
    markers: Annotated[list[Marker], msgspec.Meta(min_length=1)]


class BookmarkMove(_Closed):
    """A move of a bookmark."""

    bookmark: Annotated[str, msgspec.Meta(min_length=1)]
    old: Node | None
    new: Node | None


class Bookmarks(_Closed):
    """Moves of bookmarks."""

    repo_url: Url
    moves: Annotated[list[BookmarkMove], msgspec.Meta(min_length=1)]


class PhaseMove(_Closed, rename={"old": "from", "new": "to"}):
    """Changesets that were known and changed their phase: no phase that is secret is ever named."""

    old: Phase
    new: Phase
    heads: list[Node]
    changesets: list[Node]
    changeset_count: Annotated[int, msgspec.Meta(ge=1)]


class Phases(_Closed):
    """Changes of phase."""

    repo_url: Url
    moves: Annotated[list[PhaseMove], msgspec.Meta(min_length=1)]


class Typed(_Closed):
    """What all of v2 has."""

    type: str
    data: dict[str, Any]


class Push(_Closed):
    """A push, as it is read on the exchange of code."""

    repository: Annotated[str, msgspec.Meta(min_length=1)]
    repo_url: Url
    when: When
    who: Email
    changesets: list[Node]
    changeset_count: int | msgspec.UnsetType = msgspec.UNSET


class FileChange(_Closed, rename={"earlier": "from"}):
    """A file of a changeset."""

    change: Literal["added", "modified", "removed", "renamed", "copied"]
    path: Annotated[str, msgspec.Meta(min_length=1)]
    earlier: str | None
    parent: Node | msgspec.UnsetType = msgspec.UNSET
    path_bytes: str | msgspec.UnsetType = msgspec.UNSET
    from_bytes: str | msgspec.UnsetType = msgspec.UNSET


class Commit(_Closed):
    """A changeset, as it is read on the exchange of code."""

    repository: Annotated[str, msgspec.Meta(min_length=1)]
    repo_url: Url
    id: Node
    when: When | None
    who: str
    parents: Annotated[list[Node], msgspec.Meta(max_length=2)]
    branch: Annotated[str, msgspec.Meta(min_length=1)]
    message: str
    bookmarks: list[str]
    tags: list[str]
    phase: Phase
    files: list[FileChange]
    message_truncated: Literal[True] | msgspec.UnsetType = msgspec.UNSET
    file_count: int | msgspec.UnsetType = msgspec.UNSET


KINDS: dict[str, Any] = {
    "changegroup.1": Changegroup,
    "newrepo.1": NewRepository,
    "obsolete.1": Obsolete,
    "bookmark.1": Bookmarks,
    "phase.1": Phases,
}


def accept(exchange: str, payload: dict[str, Any]) -> None:
    """Assert that the consumers of an exchange (v1, v2 or code) accept a payload, and know what it is."""
    if exchange == "v1":
        msgspec.convert(payload, Version1)
    elif exchange == "v2":
        typed = msgspec.convert(payload, Typed)
        msgspec.convert(typed.data, KINDS[typed.type])
    else:
        msgspec.convert(payload, Commit if "id" in payload else Push)
