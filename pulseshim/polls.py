"""Polls: each feed that is asked is asked once at a time, and after a failure not before its time."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from pulseshim.added import Added
from pulseshim.backoff import Backoff
from pulseshim.condition import Conditions
from pulseshim.errors import StoreError
from pulseshim.feed import HookSource
from pulseshim.outbox import Outbox
from pulseshim.source import Outlet, described, pause_of, poll

log = logging.getLogger(__name__)

_PAUSE = "pause"
_EPOCH = "1970-01-01T00:00:00+00:00"
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 300.0


class Polls:
    """Asks sources, and notes how it went where `status` and the next process see it.

    A source that says when to come back (`SourceUnavailable.retry_after`) is left alone until then, also by
    another process. `stored` is told of new envelopes; `now` gives seconds since 1970, `clock` those that
    pass, whatever is done to the time of day.
    """

    def __init__(
        self,
        outbox: Outbox,
        conditions: Conditions,
        stored: Callable[[Added], None],
        *,
        random: Callable[[], float],
        now: Callable[[], float],
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._outbox = outbox
        self._conditions = conditions
        self._stored = stored
        self._random = random
        self._now = now
        self._clock = clock or now
        self._backoffs: dict[str, Backoff] = {}
        self._not_before: dict[str, float] = {}

    def wait(self, feed: str) -> float:
        """Give the seconds until a source that said when to come back may be asked; 0: now.

        Where the clock was set back since it said so, that is now: it will say so once more.
        """
        pause = self._outbox.state(feed).get(_PAUSE)
        now = self._now()
        if not pause or now < _timestamp(pause.get("since", _EPOCH)):
            return 0.0
        return max(0.0, _timestamp(pause["until"]) - now)

    def once(
        self,
        outlets: Sequence[Outlet],
        since: datetime | None = None,
        went_on: Callable[[str], object] = lambda _text: None,
    ) -> BaseException | None:
        """Ask a source once and give what went wrong, if anything did; it is logged and noted as well.

        With `since`, what changed from then on is looked for again. `went_on` is told how far a long poll is.
        """
        feed, source = outlets[0].feed.name, outlets[0].feed.source
        if isinstance(source, HookSource):
            raise TypeError(f"{feed} is no feed that can be polled")
        count = 0
        try:
            asked_to_wait = self._outbox.state(feed).get(_PAUSE)
            for number, envelopes in enumerate(poll(self._outbox, outlets, source, since)):
                count += len(envelopes)
                self._stored(envelopes)
                if number:
                    self._conditions.set(f"poll {feed}", "going on", f"{count} messages so far")
                    went_on(f"polling {feed}: {count} messages so far")
                    log.info("poll went on", extra={"feed": feed, "messages": count})
            if self._outbox.state(feed).get(_PAUSE) == asked_to_wait:  # a new one was asked for by `admit`
                self.pause(feed, 0.0)
            self._conditions.set(f"poll {feed}", "done", f"{count} messages")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the next poll tries again
            self._failed(feed, error)
            return error
        return None

    def by_schedule(self, outlets: Sequence[Outlet]) -> float:
        """Ask a source that is due and not too early; give the seconds until the next try, 0 if none."""
        feed = outlets[0].feed.name
        early = max(self._not_before.get(feed, 0.0) - self._clock(), self._asked_to_wait(feed))
        if early > 0:
            return early
        backoff = self._backoffs.setdefault(feed, Backoff(_LONGEST_PAUSE, self._random, first=_FIRST_PAUSE))
        if self.once(outlets) is None:
            backoff.reset()
            return 0.0
        wait = max(backoff.next(), self._asked_to_wait(feed))
        self._not_before[feed] = self._clock() + wait
        return wait

    def _asked_to_wait(self, feed: str) -> float:
        with suppress(StoreError):  # the poll says so; when the service ends, the store may be closed before
            return self.wait(feed)
        return 0.0

    def _failed(self, feed: str, error: BaseException) -> None:
        how, why = described(error)
        wait = pause_of(error)
        if wait > 0:
            why += f" (it asks to come back in {wait:.0f} s)"
        log.error("poll failed", extra={"feed": feed, "error": why})
        with suppress(StoreError):  # which may be why it failed, and stands in the log
            if wait > 0:
                self.pause(feed, wait)
            self._conditions.set(f"poll {feed}", how, why)

    def pause(self, feed: str, seconds: float) -> None:
        """Leave a source alone for some seconds from now on; 0: it may be asked at any time."""
        state = self._outbox.state(feed)
        now = self._now()
        pause = {"since": _iso(now), "until": _iso(now + seconds)} if seconds > 0 else {}
        if state.get(_PAUSE) != pause:
            state.set(_PAUSE, pause)
            self._outbox.store([], state=state)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
