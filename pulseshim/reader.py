"""The reader: turns what was recorded into envelopes in the outbox, one invocation after the other."""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pulseshim.added import Added
from pulseshim.backoff import Backoff
from pulseshim.errors import StoreError, Suspicious
from pulseshim.feed import Invocation
from pulseshim.parked import Parked
from pulseshim.source import Outlet, messages
from pulseshim.spill import Spill
from pulseshim.spool import Misfit, parse
from pulseshim.state import FeedState
from pulseshim.store import Store

log = logging.getLogger(__name__)

_RESCAN = 5.0
_LONGEST_PAUSE = 30.0
_AT_ONCE = 500
_MOST_PARKED = 256 << 20
_UNFINISHED = "it is half-written: its recorder never finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderEnds:
    """What a reader tells others: the envelopes it stored, and each item it parked."""

    stored: Callable[[Added], None] = lambda _envelopes: None
    parked: Callable[[Parked], None] = lambda _item: None


@dataclass(frozen=True, slots=True)
class _Taken:
    """An invocation that is read, its bytes, the user they came from, and its item where it was parked."""

    invocation: Invocation
    content: bytes
    owner: int | None
    parked: int | None = None


class Reader:
    """Reads the spool, oldest first: an invocation is stored and its file removed, or it is parked.

    Of each user, `most_parked` bytes of invocations are parked at most; beyond that they stay files.
    """

    def __init__(
        self,
        store: Store,
        outlets: Mapping[str, Sequence[Outlet]],
        *,
        random: Callable[[], float],
        ends: ReaderEnds | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        most_parked: int = _MOST_PARKED,
    ) -> None:
        self._store = store
        self._outlets = outlets
        self._ends = ends or ReaderEnds()
        self._backoff = Backoff(_LONGEST_PAUSE, random)
        self._clock_ns = clock_ns
        self._most_parked = most_parked
        self._arrived = threading.Event()
        #: Names in the spool that are no invocations and could not be moved out of the way.
        self.immovable: set[str] = set()
        self._misfits: dict[str, str] = {}
        self._unfinished: set[Path] = set()
        self._parked_sizes: dict[int | None, int] = {}
        self._setting_aside = threading.Lock()

    def wake(self) -> None:
        """Say that something may have arrived."""
        self._arrived.set()

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set."""
        while True:
            # In this order: who stops sets `stop`, then wakes, and neither may be missed.
            self._arrived.clear()
            if stop.is_set():
                return
            try:
                self.read_all(stop)
            except StoreError as error:
                log.error("spool not read", extra={"error": str(error)})
                stop.wait(self._backoff.next())
            else:
                self._backoff.reset()
                if not self._misfits:
                    self._arrived.wait(_RESCAN)

    def read_all(self, stop: threading.Event | None = None) -> int:
        """Read what is there now, or until `stop` is set; say how many files that were. Raises `StoreError`.

        Of what is no invocation, some are set aside behind the others, and the rest the next time: what
        arrives meanwhile is read in between.
        """
        count = 0
        stop = stop or threading.Event()
        self._parked_sizes.clear()
        for item in self._store.parked.to_read():
            if stop.is_set():
                return count
            self._read_again(item)
            count += 1
        names = self._store.spool.names()
        self.immovable.intersection_update(names)
        known = self._misfits
        self._misfits = {name: known[name] for name in names if name in known}
        for name in names:
            if stop.is_set():
                return count
            if name not in self.immovable and name not in self._misfits:
                self._read_file(name)
                count += 1
        self._set_misfits_aside(dict(islice(self._misfits.items(), _AT_ONCE)))
        return count

    def _read_file(self, name: str) -> None:
        spool = self._store.spool
        try:
            invocation, content = spool.read(name, self._clock_ns())
            if not self._store.outbox.is_read(invocation.id):
                self._take(_Taken(invocation, content, invocation.owner))
        except FileNotFoundError:
            return
        except Misfit as misfit:
            self._misfits[name] = f"{misfit}; it was found in the spool"
            return
        spool.remove(name)

    def _set_misfits_aside(self, misfits: Mapping[str, str]) -> None:
        entries = {self._store.spool.entry(name): cause for name, cause in misfits.items()}
        self.immovable.update(entry.name for entry in self._set_aside(entries))
        for name in misfits:
            del self._misfits[name]

    def tidy(self, now: float) -> None:
        """Set aside what recorders began and never finished; `now` is in seconds since 1970.

        What cannot be moved is told of once for as long as it stays. Raises `StoreError` and OSError.
        """
        unfinished = list(self._store.spool.abandoned(now))
        self._unfinished.intersection_update(unfinished)
        entries = iter([entry for entry in unfinished if entry not in self._unfinished])
        while some := dict.fromkeys(islice(entries, _AT_ONCE), _UNFINISHED):
            self._unfinished |= self._set_aside(some)

    def _read_again(self, item: Parked) -> None:
        content = self._store.parked.content(item)
        if not content:
            return  # it was discarded since it was listed
        # Nobody to be asked about is how a source learns that a person vouches for an invocation.
        invocation = parse(content, None if item.trusted else item.owner)
        self._take(_Taken(invocation, content, item.owner, item.id))

    def _take(self, taken: _Taken) -> None:
        """Store what an invocation means, or park it with the reason why that cannot be done.

        Raises `Misfit` where too much of its owner's is parked: the file is to stay their own then.
        """
        invocation = taken.invocation
        outlets = self._outlets.get(invocation.feed)
        read = outlets[0].feed.source.read if outlets else None
        if not outlets or read is None:
            cause = f"no plugin gives the feed {invocation.feed!r} (see pulseshim plugins)"
            self._park(taken, cause, no_feed=True)
            return
        state = self._store.outbox.state(invocation.feed)
        started = time.perf_counter()
        try:
            envelopes = self._stored(outlets, read(invocation, state), taken, state)
        except StoreError:
            raise
        except Suspicious as error:
            self._park(taken, str(error), suspicious=True)
            return
        # Whatever a plugin raises is parked with its traceback; sys.exit() must not end the reader, either.
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the reason stands above
            self._park(taken, f"{type(error).__name__}: {error}", traceback.format_exc())
            return
        log.info(
            "invocation read",
            extra={
                "invocation": invocation.id,
                "feed": invocation.feed,
                "count": len(envelopes),
                "messages": list(envelopes.ids),
                "seconds": round(time.perf_counter() - started, 3),
            },
        )
        self._ends.stored(envelopes)

    def _stored(
        self,
        outlets: Sequence[Outlet],
        events: Iterable[Any],
        taken: _Taken,
        state: FeedState,
    ) -> Added:
        # The source is read before the step begins: it may take long, and the relay must write meanwhile.
        with Spill(self._store.directory) as outgoing:
            outgoing.extend(messages(outlets, events))
            return self._store.outbox.store(
                outgoing, state=state, invocation=taken.invocation.id, parked=taken.parked
            )

    def _park(
        self,
        taken: _Taken,
        cause: str,
        trace: str = "",
        *,
        no_feed: bool = False,
        suspicious: bool = False,
    ) -> None:
        invocation = taken.invocation
        if taken.parked is None:
            self._make_room(taken, cause)
        item = self._store.parked.park_invocation(
            invocation.id,
            invocation.feed,
            taken.content,
            cause,
            trace,
            owner=taken.owner,
            no_feed=no_feed,
            suspicious=suspicious,
        )
        told = {"invocation": invocation.id, "feed": invocation.feed, "item": item.id, "cause": cause}
        log.error("invocation suspected" if suspicious else "invocation parked", extra=told)
        self._ends.parked(item)

    def _make_room(self, taken: _Taken, cause: str) -> None:
        """Count what is parked of a user, who could else fill the disk past any quota. Raises `Misfit`."""
        size = self._parked_sizes.get(taken.owner)
        size = self._store.parked.size(taken.owner) if size is None else size
        if size + len(taken.content) > self._most_parked:
            raise Misfit(f"{cause}; of its owner {size >> 20} MiB are parked, and it stays a file")
        self._parked_sizes[taken.owner] = size + len(taken.content)

    def _set_aside(self, entries: Mapping[Path, str]) -> set[Path]:
        """Set entries aside, tell of each, and give those that could not be moved."""
        stuck = set()
        # Those of `new/` and of `tmp/` are set aside by two threads: one place must not be given to both.
        with self._setting_aside:
            told = self._store.set_aside(entries) if entries else []
        for entry, (item, moved) in zip(entries, told, strict=True):
            if not moved:
                stuck.add(entry)
            extra = {"item": item.id, "path": item.subject, "owner": item.owner, "cause": item.cause}
            log.error("file set aside", extra=extra)
            self._ends.parked(item)
        return stuck
