"""The runtime: one store, the plugins' feeds, and the threads that take events from them to the broker."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from random import random as system_random
from typing import TYPE_CHECKING

from pulseshim.added import Added
from pulseshim.admission import Admission, AdmissionEnds, Admissions
from pulseshim.arrivals import Arrivals
from pulseshim.condition import Conditions
from pulseshim.errors import StoreError
from pulseshim.feed import Admit, PollSource, StreamSource
from pulseshim.outbox import Stored
from pulseshim.plugin_manager import PluginFeed, PluginManager
from pulseshim.polls import Polls
from pulseshim.reader import Reader, ReaderEnds
from pulseshim.relay import Publishing, Relay, RelayEnds
from pulseshim.settings import Settings, seconds
from pulseshim.source import Outlet, listen
from pulseshim.store import Left, Store, left_of, milliseconds

if TYPE_CHECKING:
    from pulseshim.scheduler import Scheduler

log = logging.getLogger(__name__)

PublisherFactory = Callable[[str, Sequence[str]], Publishing]
"""Makes the publisher of an account (by its name) that declares these exchanges."""

_MAINTENANCE = timedelta(hours=1)
_READER_JOIN = 2.0
_RELAY_JOIN = 6.0


class Runtime:
    """Everything that runs between the sources and the broker, built from values and started once.

    `start(watching=False)` reads what is there and relays it (for `drain`); otherwise it also waits for new
    invocations, polls and listens, until `stop`.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        plugins: PluginManager,
        publisher: PublisherFactory,
        *,
        random: Callable[[], float] = system_random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.store = store
        self.plugins = plugins
        self.outlets = outlets(settings, plugins.feeds(settings))
        self.conditions = Conditions(store.database, milliseconds)
        self.conditions.clear(keep=[f"poll {name}" for name in self.outlets])
        self.polls = Polls(
            store.outbox, self.conditions, self._stored, random=random, now=time.time, clock=clock
        )
        self.admissions = self._make_admissions(random, clock)
        self.relays = self._make_relays(publisher, random, clock)
        self.reader = Reader(
            store,
            self.outlets,
            random=random,
            ends=ReaderEnds(stored=self._stored, parked=plugins.item_parked),
        )
        self._random = random
        self._clock = clock
        self._scheduler: Scheduler | None = None
        self._arrivals = Arrivals(store.spool.directory / "new", self.reader.wake)
        self._stop_reading = threading.Event()
        self._stop_relaying = threading.Event()
        self._readers: list[threading.Thread] = []
        self._relayers: list[threading.Thread] = []

    def _make_admissions(
        self, random: Callable[[], float], clock: Callable[[], float]
    ) -> dict[str, Admission]:
        """Make an admission for each exchange that has feeds to ask before anything is published there."""
        feeds: dict[str, dict[str, Admit]] = {}
        for feed in (out.feed for group in self.outlets.values() for out in group):
            if feed.admit is not None:
                feeds.setdefault(feed.exchange.name, {})[feed.name] = feed.admit
        return {
            name: Admission(
                name,
                admits,
                self.store.outbox,
                clock=clock,
                random=random,
                ends=AdmissionEnds(
                    condition=partial(self.conditions.set, f"admission {name}"),
                    answered=self._wake_relays,
                    wait=self.polls.wait,
                    pause=self.polls.pause,
                ),
            )
            for name, admits in feeds.items()
        }

    def _make_relays(
        self, publisher: PublisherFactory, random: Callable[[], float], clock: Callable[[], float]
    ) -> dict[str, Relay]:
        """Make a relay for each account that publishes, or for which something waits."""
        outs = [out for group in self.outlets.values() for out in group]
        exchanges = {out.feed.exchange.name: out.account for out in outs}
        self.store.outbox.readdress(exchanges, self.settings.broker.accounts)
        accounts = {*exchanges.values(), *self.store.outbox.waiting()} or {""}
        return {
            account: Relay(
                account,
                self.store.outbox,
                self.store.parked,
                publisher(account, [name for name, owner in exchanges.items() if owner == account]),
                window=self.settings.broker.window,
                clock=clock,
                random=random,
                ends=RelayEnds(
                    admissions=Admissions(
                        a for name, a in self.admissions.items() if exchanges[name] == account
                    ),
                    condition=partial(self.conditions.set, f"relay {account}".rstrip()),
                    confirmed=self._confirmed,
                    parked=self.plugins.item_parked,
                ),
            )
            for account in sorted(accounts)
        }

    def start(self, *, watching: bool = True) -> None:
        """Start the threads and return."""
        if watching:  # what was polled once and is listened to from now on tells of itself
            streams = [n for n, outs in self.outlets.items() if isinstance(outs[0].feed.source, StreamSource)]
            self.conditions.clear(keep=[f"poll {name}" for name in self.outlets if name not in streams])
            self._scheduler = self._schedule()  # before any thread: a schedule may be wrong
        self.store.parked.release(list(self.outlets))
        where, left = str(self.store.directory), str(self.left())
        log.info("runtime started", extra={"feeds": sorted(self.outlets), "store": where, "left": left})
        for account, relay in self.relays.items():
            self._thread(self._relayers, f"relay {account}".rstrip(), partial(relay.run, self._stop_relaying))
        for name, admission in self.admissions.items():
            self._thread(self._readers, f"admission {name}", partial(admission.run, self._stop_reading))
        if self._scheduler:
            self._arrivals.start()
            self._listen()
            self._scheduler.start()
            self._thread(self._readers, "reader", partial(self.reader.run, self._stop_reading))

    def _schedule(self) -> "Scheduler":
        from pulseshim.scheduler import Scheduler  # noqa: PLC0415 - a drain has no need of all it imports

        scheduler = Scheduler(clock=self._clock)
        scheduler.add("maintenance", _MAINTENANCE, self.maintain)
        for name, outs in self.outlets.items():
            source = outs[0].feed.source
            if isinstance(source, PollSource):
                due = partial(self._poll_due, scheduler, name)
                scheduler.add(name, source.every, due, jitter=source.jitter)
        return scheduler

    def _listen(self) -> None:
        for name, outs in self.outlets.items():
            source = outs[0].feed.source
            if isinstance(source, StreamSource):
                heard = partial(
                    listen,
                    self.store.outbox,
                    outs,
                    source,
                    self._stop_reading,
                    self._stored,
                    self._random,
                    partial(self.conditions.set, f"stream {name}"),
                )
                self._thread(self._readers, f"stream {name}", heard)

    def _thread(self, group: list[threading.Thread], name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        group.append(thread)
        thread.start()

    def poll(
        self,
        name: str,
        since: datetime | None = None,
        went_on: Callable[[str], object] = lambda _text: None,
    ) -> BaseException | None:
        """Poll a feed once and give what went wrong, if anything did; it is logged and noted as well."""
        return self.polls.once(self.outlets[name], since, went_on)

    def _poll_due(self, scheduler: "Scheduler", name: str) -> None:
        wait = self.polls.by_schedule(self.outlets[name])
        if wait:
            scheduler.again(name, wait)

    def maintain(self) -> None:
        """Forget what was kept long enough, in the file as well; set aside what recorders left unfinished."""
        try:
            pruned = self.store.outbox.prune(milliseconds() - int(seconds(self.settings.store.keep) * 1000))
            self.store.database.scrub()
            self.reader.tidy(time.time())
            log.debug("store maintained", extra={"pruned": pruned})
        except (StoreError, OSError) as error:
            log.error("store not maintained", extra={"error": str(error)})

    def left(self) -> Left:
        """Give what is left to do."""
        left = left_of(self.store)
        return replace(left, spool=left.spool - len(self.reader.immovable))

    def is_alive(self) -> bool:
        """Say whether all threads that were started still run."""
        return all(thread.is_alive() for thread in (*self._readers, *self._relayers))

    def stop(self) -> Left:
        """Read no more, wait for what is in flight, and give what is left. Takes 9 seconds at most."""
        self._arrivals.stop()
        if self._scheduler:
            self._scheduler.stop()
        self._stop_reading.set()
        self.reader.wake()
        for admission in self.admissions.values():
            admission.wake()
        self._join(self._readers, _READER_JOIN)
        self._stop_relaying.set()
        self._wake_relays()
        self._join(self._relayers, _RELAY_JOIN)
        left = self.left()
        log.info("runtime stopped", extra={"left": str(left)})
        return left

    def _join(self, threads: Sequence[threading.Thread], timeout: float) -> None:
        until = self._clock() + timeout
        for thread in threads:
            thread.join(max(0.0, until - self._clock()))
            if thread.is_alive():
                log.warning("thread abandoned, what it did happens again", extra={"worker": thread.name})

    def _wake_relays(self) -> None:
        for relay in self.relays.values():
            relay.wake()

    def _stored(self, envelopes: Added) -> None:
        if not envelopes:
            return
        self._wake_relays()
        if self.plugins.observes("pulseshim_message_stored"):
            for envelope in envelopes:
                self.plugins.message_stored(envelope)

    def _confirmed(self, confirmed: Sequence[Stored]) -> None:
        if self.plugins.observes("pulseshim_envelope_confirmed"):
            for stored in confirmed:
                self.plugins.envelope_confirmed(stored.envelope)


def outlets(settings: Settings, feeds: Sequence[PluginFeed]) -> Mapping[str, Sequence[Outlet]]:
    """Give the outlets of each feed name. Raises `SettingsError` for an account that is not configured."""
    found: dict[str, list[Outlet]] = {}
    for given in feeds:
        outlet = Outlet(given.feed, settings.account(given.plugin, given.feed.account))
        found.setdefault(given.feed.name, []).append(outlet)
    return found


def exchange_accounts(settings: Settings, feeds: Sequence[PluginFeed]) -> dict[str, str]:
    """Give the account of each exchange. Raises `SettingsError` for an account that is not configured."""
    return {given.feed.exchange.name: settings.account(given.plugin, given.feed.account) for given in feeds}
