"""Admission: whether what waits for an exchange may be published. Its feeds are asked beside the relay."""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pulseshim.backoff import Backoff
from pulseshim.envelope import Envelope
from pulseshim.errors import NobodyAdmits, PulseshimError, SourceUnavailable, StoreError
from pulseshim.feed import Admit
from pulseshim.outbox import Outbox, Stored

log = logging.getLogger(__name__)

HELD_BACK = "held back"
"""The condition of an exchange whose feeds cannot say now what may be published."""

_OPEN = ("open", "")
_AT_ONCE = 200
_HOLDS_FOR = 30.0
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_TICK = 1.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """The positions of what may be published, until a time by the clock."""

    positions: frozenset[int] = frozenset()
    until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionEnds:
    """What an admission tells others: its condition, and that there is an answer.

    Also what it shares with the polls of a feed: how long the source wants to be left alone.
    """

    condition: Callable[[str, str], None] = lambda _condition, _detail: None
    answered: Callable[[], None] = lambda: None
    wait: Callable[[str], float] = lambda _feed: 0.0
    pause: Callable[[str, float], None] = lambda _feed, _seconds: None


class Admission:
    """What the feeds of one exchange say of its envelopes: the relay asks, a thread of its own finds out.

    Until there is an answer, the exchange is held, so that the order of its messages stays. An answer is good
    for half a minute and for this process alone: who is killed asks again.
    """

    def __init__(
        self,
        exchange: str,
        feeds: Mapping[str, Admit],
        outbox: Outbox,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        ends: AdmissionEnds | None = None,
    ) -> None:
        self.exchange = exchange
        self.feeds = feeds
        self.has_answered = False
        self._outbox = outbox
        self._clock = clock
        self._ends = ends or AdmissionEnds()
        self._backoff = Backoff(_LONGEST_PAUSE, random, first=_FIRST_PAUSE)
        self._wanted = threading.Event()
        self._asked: Sequence[Stored] = ()
        self._answer = _Answer()
        # What a process before this one noted last is not known.
        self._condition = self._noted = ("", "")

    @property
    def is_asked(self) -> bool:
        """Say whether there is a question without an answer: the exchange is held."""
        return bool(self._asked)

    def admits(self, stored: Stored) -> bool:
        """Say whether an envelope is known to be free to go."""
        return stored.position in self._answer.positions and self._clock() < self._answer.until

    def ask(self, envelopes: Sequence[Stored]) -> None:
        """Ask of the oldest of some envelopes; a question that has no answer yet stays."""
        if not self._asked:
            self._asked = envelopes[:_AT_ONCE]
            self._wanted.set()

    def wake(self) -> None:
        """Say that `stop` was set."""
        self._wanted.set()

    def run(self, stop: threading.Event) -> None:
        """Answer until `stop` is set."""
        while not stop.is_set():
            self._wanted.wait(_TICK)
            stop.wait(self.turn())

    def turn(self) -> float:
        """Find the answer to what is asked, if anything is; give how long to rest after it, in seconds."""
        self._wanted.clear()
        if not self._asked:
            self._note()
            return 0.0
        try:
            # What the source says of one moment is true of the time before it, not of that after it.
            until = self._clock() + _HOLDS_FOR
            positions = self._admitted()
            self._withhold([stored for stored in self._asked if stored.position not in positions])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - nothing goes out unless it was admitted
            return self._hold(error)
        self._backoff.reset()
        self._condition = _OPEN
        self._note()
        # In this order: who sees that nothing is asked must see the answer, too.
        self._answer, self.has_answered = _Answer(positions, until), True
        self._asked = ()
        self._ends.answered()
        return 0.0

    def _admitted(self) -> frozenset[int]:
        """Give the positions of what may go: all but what a feed that was asked left out."""
        positions = {stored.position for stored in self._asked}
        for feed, admit in self.feeds.items():
            group = [stored for stored in self._asked if stored.admitted_by == feed]
            if group:
                ids = self._ask_source(feed, admit, [stored.envelope for stored in group])
                positions -= {stored.position for stored in group if stored.envelope.message_id not in ids}
        return frozenset(positions)

    def _ask_source(self, feed: str, admit: Admit, envelopes: Sequence[Envelope]) -> set[str]:
        wait = self._ends.wait(feed)
        if wait:
            raise SourceUnavailable(f"{feed} asks to be left alone", "it is asked then", retry_after=wait)
        try:
            return {envelope.message_id for envelope in admit(envelopes)}
        except SourceUnavailable as error:
            if error.retry_after:
                self._ends.pause(feed, error.retry_after)
            raise

    def _withhold(self, envelopes: Sequence[Stored]) -> None:
        if not envelopes:
            return
        self._outbox.withhold(envelopes)
        # Not even their ids: those are made of what must not be told.
        log.warning("messages withheld", extra={"exchange": self.exchange, "count": len(envelopes)})

    def _hold(self, error: BaseException) -> float:
        # What another error says may be of what must not be told.
        text = str(error) if isinstance(error, PulseshimError) else f"{type(error).__name__} was raised"
        if self._condition != (HELD_BACK, text):
            self._condition = (HELD_BACK, text)
            log.warning("messages held back", extra={"exchange": self.exchange, "error": text})
        self._note()
        self._wanted.set()
        wait = error.retry_after if isinstance(error, SourceUnavailable) else 0.0
        return max(wait, self._backoff.next())

    def _note(self) -> None:
        """Tell the condition where it is not told yet; later, while the store cannot be written."""
        if self._noted != self._condition:
            with suppress(StoreError):  # it stands in the log
                self._ends.condition(*self._condition)
                self._noted = self._condition


class Admissions:
    """The admissions of one account's exchanges, as its relay looks at them."""

    def __init__(self, admissions: Iterable[Admission] = ()) -> None:
        self._admissions = {admission.exchange: admission for admission in admissions}

    def held(self) -> list[str]:
        """Give the exchanges of which nothing may be published now."""
        return [name for name, admission in self._admissions.items() if admission.is_asked]

    def answered(self, *, besides: Collection[str]) -> list[str]:
        """Give the exchanges with an answer not taken note of, but for those that were held just now."""
        return [name for name, a in self._admissions.items() if a.has_answered and name not in besides]

    def take_note(self, exchanges: Iterable[str]) -> None:
        """Know that the relay begins anew with the oldest envelopes of some exchanges."""
        for name in exchanges:
            self._admissions[name].has_answered = False

    def let(self, envelopes: Sequence[Stored]) -> Iterator[Stored]:
        """Give those that may be published now, in their order; of the others it is asked."""
        asked: dict[str, list[Stored]] = {}
        for stored in envelopes:
            name = stored.envelope.exchange
            if name in asked or not self._is_free(stored):
                asked.setdefault(name, []).append(stored)
            else:
                yield stored
        for name, waiting in asked.items():
            self._admissions[name].ask(waiting)

    def _is_free(self, stored: Stored) -> bool:
        return not self._has_judge(stored) or self._admissions[stored.envelope.exchange].admits(stored)

    def _has_judge(self, stored: Stored) -> bool:
        admission = self._admissions.get(stored.envelope.exchange)
        return admission is not None and stored.admitted_by in admission.feeds

    def check(self, stored: Stored) -> None:
        """See that there is a feed to admit what must be admitted. Raises `NobodyAdmits`."""
        if stored.admitted_by and not self._has_judge(stored):
            raise NobodyAdmits(
                f"no feed {stored.admitted_by} says whether this may be published on"
                f" {stored.envelope.exchange} now",
                "turn the feed on again and retry, or discard it",
            )
