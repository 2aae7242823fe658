"""What a Mercurial transaction means: from what was read of it to the messages that announce it.

The shapes on `exchange/hgpushes/v1` and `exchange/hgpushes/v2` are frozen by those who consume them: nothing
may be added. What does not fit into one message is several of the same type.
"""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from pulseshim import Message, bounded_routing_key, readable
from pulseshim_shims.hg_event import HgEvent, HgTransaction
from pulseshim_shims.hg_fitting import beginning, fitting_marker, newest, sections, size
from pulseshim_shims.hg_payload import BookmarkMove, Marker, PhaseMove, PushEntry

MAX_BYTES = 1024 * 1024
"""The limit for the encoded envelope of a message, in bytes, where no other is set."""

T = TypeVar("T")

_META_BYTES = 1024


class ChangegroupData(msgspec.Struct, frozen=True):
    """What came with a push: its heads among the changesets, and its entries in the push log."""

    repo_url: str
    heads: list[str]
    pushlog_pushes: list[PushEntry]
    source: str


class NewRepositoryData(msgspec.Struct, frozen=True):
    """The repository that is new."""

    repo_url: str


class ObsoleteData(msgspec.Struct, frozen=True):
    """The markers that came."""

    repo_url: str
    markers: list[Marker]


class BookmarkData(msgspec.Struct, frozen=True):
    """The bookmarks that were created, moved and deleted."""

    repo_url: str
    moves: list[BookmarkMove]


class PhaseData(msgspec.Struct, frozen=True):
    """The changes of phase."""

    repo_url: str
    moves: list[PhaseMove]


class HgPushesMessage(Message, frozen=True, kw_only=True):
    """A push, as consumers of `exchange/hgpushes/v1` read it."""

    type: ClassVar[str] = "hg.pushes"

    repo_url: str
    heads: list[str]
    pushlog_pushes: list[PushEntry]


class HgChangegroupMessage(Message, frozen=True, kw_only=True):
    """A push: changesets came, or were secret before."""

    type: ClassVar[str] = "hg.changegroup"

    payload_type: Literal["changegroup.1"] = msgspec.field(default="changegroup.1", name="type")
    data: ChangegroupData


class HgNewRepositoryMessage(Message, frozen=True, kw_only=True):
    """A repository is new: the first transaction in it was recorded."""

    type: ClassVar[str] = "hg.newrepo"

    payload_type: Literal["newrepo.1"] = msgspec.field(default="newrepo.1", name="type")
    data: NewRepositoryData


class HgObsoleteMessage(Message, frozen=True, kw_only=True):
    """Changesets became obsolete."""

    type: ClassVar[str] = "hg.obsolete"

    payload_type: Literal["obsolete.1"] = msgspec.field(default="obsolete.1", name="type")
    data: ObsoleteData


class HgBookmarkMessage(Message, frozen=True, kw_only=True):
    """Bookmarks moved."""

    type: ClassVar[str] = "hg.bookmark"

    payload_type: Literal["bookmark.1"] = msgspec.field(default="bookmark.1", name="type")
    data: BookmarkData


class HgPhaseMessage(Message, frozen=True, kw_only=True):
    """Changesets that were known changed their phase."""

    type: ClassVar[str] = "hg.phase"

    payload_type: Literal["phase.1"] = msgspec.field(default="phase.1", name="type")
    data: PhaseData


V2_MESSAGES = (
    HgChangegroupMessage,
    HgNewRepositoryMessage,
    HgObsoleteMessage,
    HgBookmarkMessage,
    HgPhaseMessage,
)


def v1_messages(event: HgEvent, *, max_bytes: int = MAX_BYTES) -> Iterator[Message]:
    """Give the messages of an event for `exchange/hgpushes/v1`: one a push, unless it has too many heads."""
    if isinstance(event, HgTransaction):
        for number, heads, pushes in _pushes(event, max_bytes):
            yield HgPushesMessage(
                **_address(event, number), repo_url=event.url, heads=heads, pushlog_pushes=pushes
            )


def v2_messages(event: HgEvent, *, max_bytes: int = MAX_BYTES) -> Iterator[Message]:
    """Give the messages of an event for `exchange/hgpushes/v2`: one of each type that it has something of."""
    if not isinstance(event, HgTransaction):
        return
    room = _room(event, max_bytes)
    url = event.url
    if event.is_new:
        yield HgNewRepositoryMessage(**_address(event, 1), data=NewRepositoryData(url))
    for number, heads, pushes in _pushes(event, max_bytes):
        data = ChangegroupData(url, heads, pushes, _source(event))
        yield HgChangegroupMessage(**_address(event, number), data=data)
    markers = (part for marker in event.markers for part in fitting_marker(marker, room))
    for number, some in _numbered(markers, room):
        yield HgObsoleteMessage(**_address(event, number), data=ObsoleteData(url, some))
    bookmarks = (replace(move, bookmark=beginning(move.bookmark, room // 8)) for move in event.bookmarks)
    for number, moves in _numbered(bookmarks, room):
        yield HgBookmarkMessage(**_address(event, number), data=BookmarkData(url, moves))
    phases = (_fitting_phase(move, room) for move in event.phases)
    for number, changes in _numbered(phases, room):
        yield HgPhaseMessage(**_address(event, number), data=PhaseData(url, changes))


def _pushes(event: HgTransaction, max_bytes: int) -> Iterator[tuple[int, list[str], list[PushEntry]]]:
    """Give number, heads and log entries of each message that a push takes: each has the log entries."""
    pushes = list(event.pushes)
    room = _room(event, max_bytes) - sum(map(size, pushes))
    if room <= 0:
        # A pushlog that was copied from elsewhere: what several pushes brought, one transaction has now.
        pushes, room = pushes[-1:], _room(event, max_bytes)
    for number, heads in _numbered(event.heads, room):
        yield number, heads, pushes


def _numbered(items: Iterable[T], room: int) -> Iterator[tuple[int, list[T]]]:
    return enumerate(sections(items, room), 1)


def _fitting_phase(move: PhaseMove, room: int) -> PhaseMove:
    """Give a change of phase that takes at most `room` bytes: the oldest changesets go first, then heads."""
    heads = newest(move.heads, room // 2)
    return replace(move, heads=heads, changesets=newest(move.changesets, room // 2 - _META_BYTES))


def _source(event: HgTransaction) -> str:
    return beginning(readable(event.source), _META_BYTES)


def _room(event: HgTransaction, max_bytes: int) -> int:
    return max_bytes - _META_BYTES - 2 * size(event.url) - size(_source(event))


def _address(event: HgTransaction, number: int) -> dict[str, Any]:
    """Give routing key and id of the message of a type that is the `number`th of its transaction."""
    event_id = event.id if number == 1 else f"{event.id}/{number}"
    return {"routing_key": bounded_routing_key(event.path), "event_id": event_id}
