"""The relay: takes the envelopes of one account from the outbox to the broker, oldest first."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from pulseshim.admission import Admissions
from pulseshim.backoff import Backoff
from pulseshim.envelope import Envelope
from pulseshim.errors import (
    BrokerDenied,
    BrokerError,
    BrokerUnreachable,
    ExchangeRefused,
    NobodyAdmits,
    PublishRefused,
    StoreError,
)
from pulseshim.outbox import Outbox, Stored
from pulseshim.parked import Parked, ParkedItems
from pulseshim.publisher import Settled

log = logging.getLogger(__name__)

_TICK = 1.0
_PATIENCE = 0.05
_LONGEST_PAUSE = 30.0
_FINISH = 5.0
_LOGGED_IDS = 10
_MOST_BYTES = 32 << 20


class Publishing(Protocol):
    """What the relay asks of a publisher (`pulseshim.publisher.Publisher` and its twin in `testing`)."""

    @property
    def blocked(self) -> str | None: ...
    @property
    def connected(self) -> bool: ...
    @property
    def address(self) -> str: ...

    def open(self) -> None: ...
    def publish(self, tag: int, envelope: Envelope) -> None: ...
    def settle(self, timeout: float) -> Settled: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class RelayCounts:
    """What a relay has done since it was made."""

    confirmed: int = 0
    nacked: int = 0
    returned: int = 0
    parked: int = 0
    connections: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayEnds:
    """What a relay asks (what may go) and what it tells: its condition, each envelope confirmed or parked."""

    admissions: Admissions = field(default_factory=Admissions)
    condition: Callable[[str, str], None] = lambda _condition, _detail: None
    confirmed: Callable[[Sequence[Stored]], None] = lambda _envelopes: None
    parked: Callable[[Parked], None] = lambda _item: None


class Relay:
    """One account's way to the broker, worked by one thread.

    Up to `window` envelopes are on their way at once, fewer where they have 32 MiB. After a nack, or where
    the broker closed the channel because of one of them, those without a confirm go one at a time, in order,
    and the one that is refused by itself is parked. What was confirmed behind a nacked one has overtaken it.
    """

    def __init__(
        self,
        account: str,
        outbox: Outbox,
        parked: ParkedItems,
        publisher: Publishing,
        *,
        window: int,
        clock: Callable[[], float],
        random: Callable[[], float],
        ends: RelayEnds | None = None,
    ) -> None:
        self.account = account
        self.counts = RelayCounts()
        self._outbox = outbox
        self._parked = parked
        self._publisher = publisher
        self._window = window
        self._clock = clock
        self._ends = ends or RelayEnds()
        self._admissions = self._ends.admissions
        self._backoff = Backoff(_LONGEST_PAUSE, random)
        self._woken = threading.Event()
        self._condition = ("", "")
        self._in_flight: dict[int, Stored] = {}
        self._settled: list[Stored] = []
        self._after = self._careful_until = 0
        self._nacked = False
        self._unwritten = False
        self._flushed_at = clock()

    def wake(self) -> None:
        """Say that something was stored."""
        self._woken.set()

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop` is set, then wait for what is in flight, a few seconds at most."""
        while not stop.is_set():
            pause = self.turn()
            if pause:
                self._rest(pause, stop)
        self.finish()

    def _rest(self, pause: float, stop: threading.Event) -> None:
        """Wait, sending heartbeats; where there is nothing to wait for, until something is stored."""
        if pause == _TICK:
            self._woken.wait(pause)
            self._woken.clear()
            return
        while pause > 0 and not stop.wait(min(pause, _TICK)):
            pause -= _TICK
            if self._publisher.connected:
                with suppress(BrokerError):  # the next turn finds it lost
                    self._note(self._publisher.settle(0))

    def turn(self) -> float:
        """Do one piece of work and give how long to rest after it, in seconds."""
        try:
            return self._work()
        except StoreError as error:
            # What the broker confirmed is kept, and written before anything else.
            log.error("outbox not written", extra={"account": self.account, "error": str(error)})
            self._unwritten = True
            return self._backoff.next()

    def _work(self) -> float:
        try:
            if self._unwritten and self._settled:
                self._flush()
            self._unwritten = False
            if not self._publisher.connected:
                self._forget()
                self._open()
            idle = not self._fill() and not self._in_flight
            if idle:
                # What a person retries or replays has an old position: it is found from the start.
                self._after = 0
            self._take(self._publisher.settle(0 if idle else _PATIENCE))
            blocked = self._publisher.blocked
            self._tell("blocked" if blocked else "connected", blocked or self._publisher.address)
            return self._after_settling(idle=idle)
        except PublishRefused as error:
            return self._dispute(error)
        except BrokerError as error:
            return self._lost(error)

    def _open(self) -> None:
        self._publisher.open()
        self.counts.connections += 1
        log.info("broker connected", extra={"account": self.account, "address": self._publisher.address})

    def _fill(self) -> bool:
        """Put envelopes on the wire while there is room and the broker takes them; say whether any waited."""
        held = self._admissions.held()
        answered = self._admissions.answered(besides=held)
        if self._publisher.blocked or ((self._nacked or answered) and self._in_flight):
            return False
        if answered:
            self._admissions.take_note(answered)
            self._after = 0
        self._nacked = False
        careful = self._after < self._careful_until
        room = (1 if careful else self._window) - len(self._in_flight)
        in_memory = [*self._in_flight.values(), *self._settled]
        size = _MOST_BYTES - sum(len(stored.envelope.body) for stored in in_memory)
        full_enough = not careful and (room < self._window // 4 or size < _MOST_BYTES // 4)
        if room <= 0 or (self._in_flight and full_enough):
            return False
        waiting = self._outbox.pending(self.account, after=self._after, limit=room, size=size, besides=held)
        for stored in self._admissions.let(waiting):
            try:
                self._admissions.check(stored)
                self._publisher.publish(stored.position, stored.envelope)
            except (ExchangeRefused, NobodyAdmits) as error:
                self._park(stored, str(error))
            else:
                self._in_flight[stored.position] = stored
            self._after = stored.position
        self._after = waiting[-1].position if waiting else self._after
        return bool(waiting)

    def _take(self, settled: Settled) -> None:
        """Take note of what the broker said; write the confirms in batches."""
        self._note(settled)
        late = self._clock() - self._flushed_at > _PATIENCE * 4
        if self._settled and (late or not self._in_flight or len(self._settled) >= self._window // 2):
            self._flush()

    def _note(self, settled: Settled) -> None:
        self.counts.returned += settled.returned
        for stored in [self._in_flight.pop(tag) for tag in settled.nacked if tag in self._in_flight]:
            self.counts.nacked += 1
            self._nacked = True
            self._careful_until = max(self._careful_until, stored.position)
            log.warning("message nacked", extra={"message_id": stored.envelope.message_id})
        self._settled += [self._in_flight.pop(tag) for tag in settled.confirmed if tag in self._in_flight]

    def _flush(self) -> None:
        batch = self._settled
        self._outbox.confirm(self.account, batch)
        self._settled = []
        self._flushed_at = self._clock()
        self.counts.confirmed += len(batch)
        if not self._nacked:
            self._backoff.reset()
        ids = [stored.envelope.message_id for stored in batch[:_LOGGED_IDS]]
        log.info("messages confirmed", extra={"account": self.account, "count": len(batch), "messages": ids})
        self._ends.confirmed(batch)

    def _after_settling(self, *, idle: bool) -> float:
        if self._nacked and not self._in_flight:
            self._forget()
            return self._backoff.next()
        if self._publisher.blocked and not self._in_flight:
            return _PATIENCE * 2
        return _TICK if idle and not self._in_flight else 0.0

    def _dispute(self, error: PublishRefused) -> float:
        """Find the envelope the broker closed the channel for; park it once it is alone to blame."""
        self._salvage()
        in_question = list(self._in_flight.values())
        self._forget()
        if len(in_question) == 1 and in_question[0].position <= self._careful_until:
            self._park(in_question[0], str(error))
            return 0.0
        if in_question:
            self._careful_until = max(self._careful_until, in_question[-1].position)
        log.warning("publishing refused", extra={"account": self.account, "error": str(error)})
        return self._backoff.next()

    def _lost(self, error: BrokerError) -> float:
        self._salvage()
        extra = {"account": self.account, "error": str(error), "unconfirmed": len(self._in_flight)}
        self._forget()
        condition = "denied" if isinstance(error, BrokerDenied) else "unreachable"
        if self._condition != (condition, str(error)):
            log.warning("broker lost", extra=extra)
        self._tell(condition, str(error))
        return self._backoff.next()

    def _salvage(self) -> None:
        """Write what was confirmed before the trouble."""
        with suppress(BrokerError):
            # The publisher still knows what it was told before the connection or the channel went.
            self._note(self._publisher.settle(0))
        if self._settled:
            self._flush()

    def _forget(self) -> None:
        """Start again from the oldest envelope that has no confirm."""
        self._in_flight.clear()
        self._nacked = False
        self._after = 0

    def _park(self, stored: Stored, cause: str) -> None:
        item = self._parked.park_envelope(self.account, stored, cause)
        self.counts.parked += 1
        self._backoff.reset()
        extra = {"message_id": stored.envelope.message_id, "item": item.id, "cause": cause}
        log.error("envelope parked", extra=extra)
        self._ends.parked(item)

    def _tell(self, condition: str, detail: str) -> None:
        if self._condition != (condition, detail):
            self._ends.condition(condition, detail)
            self._condition = (condition, detail)

    def finish(self) -> None:
        """Wait for the confirms of what is in flight, then close the connection."""
        until = self._clock() + _FINISH
        try:
            while self._in_flight and self._clock() < until:
                self._take(self._publisher.settle(_PATIENCE))
            if self._settled:
                self._flush()
        except (BrokerUnreachable, PublishRefused, StoreError) as error:
            log.warning("relay stopped with messages in flight", extra={"error": str(error)})
        self._publisher.close()
        with suppress(StoreError):
            self._tell("stopped", "")
