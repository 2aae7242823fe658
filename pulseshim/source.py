"""What is done with a source that is asked (a poll) or that speaks by itself (a stream)."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pulseshim.added import Added
from pulseshim.backoff import Backoff
from pulseshim.errors import CommandFailed, PulseshimError, SettingsError, SourceUnavailable, StoreError
from pulseshim.feed import Checkpoint, Feed, PollSource, State, StreamSource
from pulseshim.outbox import Outbox, Outgoing

log = logging.getLogger(__name__)

E = TypeVar("E")

_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Outlet:
    """A feed and the account that its messages are published as."""

    feed: Feed[Any]
    account: str


def messages(outlets: Sequence[Outlet], events: Iterable[Any]) -> Iterator[Outgoing]:
    """Give the messages that the shims of outlets make of events, event by event."""
    for event in events:
        for outlet in outlets:
            for message in outlet.feed.shim(event):
                yield Outgoing(
                    message,
                    outlet.feed.exchange,
                    outlet.feed.name,
                    outlet.account,
                    admission=outlet.feed.admit is not None,
                )


def poll(
    outbox: Outbox,
    outlets: Sequence[Outlet],
    source: PollSource[Any] | StreamSource[Any],
    since: datetime | None = None,
) -> Iterator[Added]:
    """Poll once: store what is new with the state it leaves, one step a checkpoint and one at the end.

    Gives the new envelopes of each step. What the source or a shim raises goes through, and nothing is
    stored of what came after the last checkpoint. With `since`, the source is set back to that time first.
    """
    state = outbox.state(outlets[0].feed.name)
    outgoing: list[Outgoing] = []
    for event in asked(source, state, since):
        if isinstance(event, Checkpoint):
            yield outbox.store(outgoing, state=state)
            outgoing = []
        else:
            outgoing += messages(outlets, [event])
    yield outbox.store(outgoing, state=state)


def asked(
    source: PollSource[E] | StreamSource[E], state: State, since: datetime | None
) -> Iterable[E | Checkpoint]:
    """Give what a poll gives, from `since` on where that is given."""
    if source.poll is None:
        raise CommandFailed("this source speaks by itself and cannot be polled", "start pulseshim run")
    if since is not None:
        if source.rewind is None:
            raise CommandFailed("this source cannot be polled from an earlier time", "leave out --since")
        source.rewind(state, since)
    return source.poll(state)


def described(error: BaseException) -> tuple[str, str]:
    """Give what an error makes of a source, `refused` where a setting is wrong or `failed`, and why."""
    kind = "" if isinstance(error, PulseshimError) else f"{type(error).__name__}: "
    return "refused" if isinstance(error, SettingsError) else "failed", f"{kind}{error}"


def pause_of(error: BaseException) -> float:
    """Give for how many seconds a source that failed wants to be left alone; 0 where it does not say."""
    return max(0.0, error.retry_after) if isinstance(error, SourceUnavailable) else 0.0


def listen(
    outbox: Outbox,
    outlets: Sequence[Outlet],
    source: StreamSource[Any],
    stop: threading.Event,
    stored: Callable[[Added], None],
    random: Callable[[], float],
    condition: Callable[[str, str], None],
) -> None:
    """Store each event of a stream as it comes, until `stop` is set; after a failure listen anew.

    `condition` is told how the stream is (`connected`, `ended`, `failed`, `refused`) when that changes, and
    why. A source that says when to come back is left alone until then.
    """
    name = outlets[0].feed.name
    backoff = Backoff(_LONGEST_PAUSE, random)
    while not stop.is_set():
        wait = 0.0
        try:
            for number, envelopes in enumerate(_heard(outbox, outlets, source, stop)):
                stored(envelopes)
                backoff.reset()
                if not number:
                    condition("connected", "")
            if not stop.is_set():
                condition("ended", "it is listened to anew")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a source that fails is asked again
            how, why = described(error)
            wait = pause_of(error)
            log.error("stream failed", extra={"feed": name, "error": why})
            with suppress(StoreError):  # what cannot be noted stands in the log
                condition(how, why)
        stop.wait(max(wait, backoff.next()))


def _heard(
    outbox: Outbox, outlets: Sequence[Outlet], source: StreamSource[Any], stop: threading.Event
) -> Iterator[Added]:
    """Store each event of one session with a stream; give the new envelopes of each step."""
    state = outbox.state(outlets[0].feed.name)
    for event in source.listen(state, stop):
        events = [] if isinstance(event, Checkpoint) else [event]
        yield outbox.store(list(messages(outlets, events)), state=state)
