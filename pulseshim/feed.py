"""A feed: where events arise, what they mean, and the exchange they are announced on."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from typing import Generic, Protocol, TypeAlias, TypeVar

from pulseshim.envelope import Envelope
from pulseshim.errors import InvalidDeclaration
from pulseshim.exchange import Exchange
from pulseshim.message import Message

E = TypeVar("E")

_NAME = re.compile(r"[a-z][a-z0-9_-]*(\.[A-Za-z0-9_-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What a hook recorded, unread.

    Texts are decoded as `os.fsdecode` does: a byte that is not UTF-8 is a surrogate (U+DC80 to U+DCFF),
    so that `os.fsencode` gives the bytes back. `owner` is the numeric user the spool file belongs to,
    the only word about its writer that can be believed.
    """

    id: str
    feed: str
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str]
    stdin: bytes = b""
    cwd: str
    recorded_at: datetime
    owner: int | None = None


class State(Protocol):
    """What a source remembers, by key: stored in the same step as the envelopes that came of it.

    `get` gives what was last stored (or set) under a key, `{}` where nothing was; `set` replaces it, and
    only the entries that differ are written. `keys` gives the keys that hold something. `count` adds one to
    a durable counter of the feed, shown by `status` and as a metric: for what a source leaves out on
    purpose.
    """

    def get(self, key: str) -> dict[str, str]: ...

    def set(self, key: str, value: Mapping[str, str]) -> None: ...

    def keys(self) -> list[str]: ...

    def count(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a poll or a stream yields between events: store what came before it, and the state as it is now.

    So a source that catches up on much does so in steps; after a crash it goes on behind the last.
    """


# The generic classes have no slots: with them, HookSource[Event](…) is a TypeError on Python 3.11.
@dataclass(frozen=True)
class HookSource(Generic[E]):
    """A source whose events a hook records: `read` makes events of one invocation."""

    read: Callable[[Invocation, State], Iterable[E]]


@dataclass(frozen=True)
class PollSource(Generic[E]):
    """A source that is asked: `poll` gives what is new since the state it keeps.

    `every` is a time between polls, or a cron expression of five fields (in UTC); `jitter` is in seconds.
    `read` is for a source that hooks may tell of, too: like that of `HookSource`, with the same state.
    `rewind` sets the state back (for `poll --since`), so that the next poll gives what changed from a time
    on.

    A poll raises `SourceUnavailable` where the source cannot be asked now, and `SettingsError` where a person
    must correct something.
    """

    poll: Callable[[State], Iterable[E | Checkpoint]]
    every: timedelta | str
    jitter: float = 0.0
    read: Callable[[Invocation, State], Iterable[E]] | None = None
    rewind: Callable[[State, datetime], None] | None = None


@dataclass(frozen=True)
class StreamSource(Generic[E]):
    """A source that speaks by itself: `listen` yields events as they come, until the event is set.

    Each event is stored, with the state, before the next is asked for. When `listen` returns or raises, it is
    called again after a pause; it raises what a poll raises. With the first event or checkpoint the source
    counts as connected. `poll` is for a source that can also be asked once what it has to tell by now, as
    `pulseshim poll` does; `read` and `rewind` are as those of `PollSource`.
    """

    listen: Callable[[State, Event], Iterator[E | Checkpoint]]
    read: Callable[[Invocation, State], Iterable[E]] | None = None
    poll: Callable[[State], Iterable[E | Checkpoint]] | None = None
    rewind: Callable[[State, datetime], None] | None = None


Source: TypeAlias = HookSource[E] | PollSource[E] | StreamSource[E]

Admit: TypeAlias = Callable[[Sequence[Envelope]], Iterable[Envelope]]
"""Gives those of some envelopes that may be published now; the others are withheld for good."""


@dataclass(frozen=True)
class Feed(Generic[E]):
    """A source, the shim that says what its events mean, and the exchange for the messages.

    Feeds of one plugin that share name and source are one reading: its events go to each one's shim,
    and all that comes of them is stored in one step. `account` is for a plugin whose feeds publish as several
    accounts; None: the plugin's own.

    `admit` is for what may have to be kept back by the time it is published: before each publishing (a retry
    and a replay are others) it is given a few hundred envelopes at most, oldest first, and gives those that
    may go. What it leaves out is deleted. While it raises, nothing of the exchange is published, everything
    else is. It is called from a thread of its own, and must end within a bounded time.
    """

    name: str
    source: Source[E]
    shim: Callable[[E], Iterable[Message]]
    exchange: Exchange
    account: str | None = None
    admit: Admit | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidDeclaration(
                f"{self.name!r} is no name of a feed",
                "use the plugin's name, or <plugin>.<server>: letters, digits, - and _",
            )
