"""The runtime: feeds, accounts and threads put together, with the broker in memory."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pulseshim import (
    Envelope,
    Exchange,
    Feed,
    HookSource,
    Invocation,
    Message,
    Parked,
    PollSource,
    State,
    StreamSource,
    hookimpl,
)
from pulseshim.errors import BrokerDenied, SettingsError, StoreHeld
from pulseshim.plugin_manager import PluginManager
from pulseshim.recorder import record
from pulseshim.runtime import Left, Runtime, left_of
from pulseshim.settings import AccountSettings, BrokerSettings, Settings, StoreSettings
from pulseshim.store import held_store
from pulseshim.testing import MemoryPublisher

PATIENCE = 20.0
NOW = 1_764_025_361 * 10**9


class Landed(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.landed"
    text: str


ONE = Exchange("exchange/tests/one", "Tests", "Of the tests.", (Landed,))
TWO = Exchange("exchange/code/two", "Tests", "Of the tests.", (Landed,))


def shim(text: str) -> Iterator[Landed]:
    """Make a message of each text; "bad" is more than it can bear."""
    if text == "bad":
        raise ValueError("a bad event")
    yield Landed(routing_key="main", event_id=text, text=text)


def words(invocation: Invocation, _state: State) -> Iterable[str]:
    return invocation.arguments


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, and fail when it does not come true."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


class Site:
    """A store, plugins that are given as feeds, and a broker in memory for each account."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack
        self._numbers = count(1)
        self.publishers: dict[str, MemoryPublisher] = {}
        self.declared: dict[str, list[str]] = {}
        self.runtimes: list[Runtime] = []

    def settings(self, accounts: Sequence[str] = (), **plugins: str) -> Settings:
        """Give settings with accounts, and plugins that publish as one of them."""
        return Settings(
            store=StoreSettings(directory=str(self.directory)),
            broker=BrokerSettings(accounts={name: AccountSettings() for name in accounts}),
            plugins={plugin: {"account": account} for plugin, account in plugins.items()},
        )

    def runtime(
        self, *plugins: object, settings: Settings | None = None, publisher: Any = MemoryPublisher
    ) -> Runtime:
        """Make a runtime whose plugins are `first`, `second`…; the one before lets go of the store."""
        self._stack.close()
        settings = settings or self.settings()
        store = self._stack.enter_context(held_store(settings, "run"))
        manager = PluginManager()
        for name, plugin in zip(("first", "second"), plugins, strict=False):
            manager.register(name, plugin)

        def publish(account: str, exchanges: Sequence[str]) -> MemoryPublisher:
            self.declared[account] = list(exchanges)
            return self.publishers.setdefault(account, publisher())

        runtime = Runtime(settings, store, manager, publish, random=lambda: 0.0)
        self.runtimes.append(runtime)
        return runtime

    def record(self, feed: str, *texts: str) -> str:
        """Record an invocation and give its id."""
        number = next(self._numbers)
        spool, random = os.fsencode(self.directory / "spool"), number.to_bytes(16, "big")
        arguments = [os.fsencode(text) for text in texts]
        return str(record(spool, os.fsencode(feed), arguments, [], b"", b"/", NOW + number, random))  # type: ignore[no-untyped-call] # typing costs a hook

    def held(self, account: str = "") -> list[str]:
        """Give the event ids of what the broker has from an account, in order."""
        ids = {message.message_id: text for text in "abcdefgh" for message in shim(text)}
        return [ids[envelope.message_id] for envelope in self.publishers[account].held]

    def work_off(self, runtime: Runtime) -> Left:
        """Read and publish what is there, then stop."""
        runtime.start(watching=False)
        runtime.reader.read_all()
        wait_until(lambda: runtime.left().work == 0)
        return runtime.stop()


class Plugin:
    """A plugin with these feeds."""

    def __init__(self, *feeds: Feed[str]) -> None:
        self.feeds = feeds

    @hookimpl
    def pulseshim_feeds(self) -> Iterable[Feed[str]]:
        """Give them."""
        return self.feeds


def hooked(name: str = "tests", exchange: Exchange = ONE, account: str | None = None) -> Feed[str]:
    """Give a feed whose events are the arguments of its invocations."""
    return Feed(name, HookSource(words), shim, exchange, account)


def polled(poll: Callable[[State], Iterable[str]], name: str = "polled") -> Feed[str]:
    return Feed(name, PollSource(poll, timedelta(hours=1)), shim, ONE)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        site = Site(tmp_path / "store", stack)
        yield site
        for runtime in site.runtimes:
            for publisher in site.publishers.values():
                publisher.unblock()
            if any(thread.is_alive() for thread in (*runtime._readers, *runtime._relayers)):
                runtime.stop()


def test_what_was_recorded_is_published(site: Site) -> None:
    """Events of the invocations in the order of recording, and nothing is left."""
    runtime = site.runtime(Plugin(hooked()))
    site.record("tests", "a", "b")
    site.record("tests", "c")

    left = site.work_off(runtime)

    assert (site.held(), left) == (["a", "b", "c"], Left(spool=0, pending=0, parked=0))


def test_feeds_publish_as_their_accounts_over_a_connection_each(site: Site) -> None:
    """An exchange belongs to one account: the plugin's, the feed's own, or that of `[broker]`."""
    settings = site.settings(("code", "git"), second="git")
    runtime = site.runtime(
        Plugin(hooked("one"), hooked("two", TWO, "code")),
        Plugin(hooked("three", Exchange("exchange/git/v1", "", "", (Landed,)))),
        settings=settings,
    )
    for feed, text in (("one", "a"), ("two", "b"), ("three", "c")):
        site.record(feed, text)

    site.work_off(runtime)

    assert (site.held(), site.held("code"), site.held("git")) == (["a"], ["b"], ["c"])
    assert site.declared == {"": [ONE.name], "code": [TWO.name], "git": ["exchange/git/v1"]}


def test_an_account_that_is_refused_holds_back_nobody_else(site: Site) -> None:
    """Its own messages wait for the password to be corrected."""
    runtime = site.runtime(
        Plugin(hooked("one"), hooked("two", TWO, "code")), settings=site.settings(("code",))
    )
    site.publishers["code"].fault = BrokerDenied("wrong password")
    site.record("two", "b")
    site.record("one", "a")

    runtime.start(watching=False)
    runtime.reader.read_all()
    wait_until(lambda: runtime.left().pending == 1)
    wait_until(lambda: len(runtime.conditions.all()) == 2)
    conditions = {condition.subject: condition.condition for condition in runtime.conditions.all()}

    assert (site.held(), site.held("code")) == (["a"], [])
    assert conditions == {"relay": "connected", "relay code": "denied"}
    assert runtime.stop() == Left(spool=0, pending=1, parked=0)


def test_what_waits_for_an_exchange_follows_it_to_its_new_account(site: Site) -> None:
    """An administrator who gives an exchange to another account loses nothing."""
    before = site.runtime(Plugin(hooked()))
    site.record("tests", "a")
    before.reader.read_all()

    runtime = site.runtime(Plugin(hooked()), settings=site.settings(("code",), first="code"))
    site.work_off(runtime)

    assert (site.held(), site.held("code")) == ([], ["a"])


def test_what_waits_is_published_though_its_plugin_is_gone(site: Site) -> None:
    """It was stored: no plugin is needed to send it."""
    before = site.runtime(Plugin(hooked()))
    site.record("tests", "a")
    before.reader.read_all()

    left = site.work_off(site.runtime())

    assert (site.held(), left.work) == (["a"], 0)


def test_an_account_that_is_not_configured_ends_the_start(site: Site) -> None:
    """Nothing is published as somebody else meanwhile."""
    with pytest.raises(SettingsError, match=r"plugins\.first\.account names no account \('nobody'\)"):
        site.runtime(Plugin(hooked("one", ONE, "nobody")))


def test_an_invocation_of_a_missing_feed_waits_until_the_feed_is_back(site: Site) -> None:
    """It is parked, and goes on by itself once a plugin gives its feed."""
    first = site.work_off(site.runtime())
    site.record("tests", "a")
    second = site.work_off(site.runtime())

    third = site.work_off(site.runtime(Plugin(hooked())))

    assert (first.parked, second, third) == (0, Left(0, 0, parked=1), Left(0, 0, parked=0))
    assert site.held() == ["a"]


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1)])
def test_a_plugin_that_raises_parks_its_invocation_and_the_others_go_on(
    site: Site, error: BaseException
) -> None:
    """Even one that would end the process."""

    def broken(_invocation: Invocation, _state: State) -> Iterator[str]:
        yield "a"
        raise error

    runtime = site.runtime(Plugin(Feed("broken", HookSource(broken), shim, ONE), hooked()))
    site.record("broken")
    site.record("tests", "b")

    left = site.work_off(runtime)

    (item,) = runtime.store.parked.items()
    assert (site.held(), left.parked) == (["b"], 1)
    assert (item.feed, item.awaiting) == ("broken", "person")
    assert item.cause.startswith(type(error).__name__)
    assert "Traceback" in item.traceback


def test_a_poll_stores_its_messages_and_its_cursor_in_one_step(site: Site) -> None:
    """The next poll goes on behind what was stored."""

    def poll(state: State) -> Iterator[str]:
        at = int(state.get("cursor").get("at", "0"))
        yield "abcdefgh"[at]
        state.set("cursor", {"at": str(at + 1)})

    runtime = site.runtime(Plugin(polled(poll)))

    failures = [runtime.poll("polled") for _ in range(3)]
    left = site.work_off(runtime)

    assert (failures, site.held(), left.work) == ([None] * 3, ["a", "b", "c"], 0)
    assert runtime.store.outbox.state("polled").get("cursor") == {"at": "3"}


@pytest.mark.parametrize("error", [OSError("no route"), SystemExit("login page")])
def test_a_poll_that_fails_changes_nothing_and_is_noted(site: Site, error: BaseException) -> None:
    """Neither what it gave before nor the cursor is stored: it will ask for all of it again."""

    def poll(state: State) -> Iterator[str]:
        state.set("cursor", {"at": "1"})
        yield "a"
        raise error

    runtime = site.runtime(Plugin(polled(poll)))

    failure = runtime.poll("polled")

    (condition,) = runtime.conditions.all()
    assert failure is error
    assert (runtime.left().pending, runtime.store.outbox.state("polled").get("cursor")) == (0, {})
    assert (condition.subject, condition.condition, condition.detail) == (
        "poll polled",
        "failed",
        f"{type(error).__name__}: {error}",
    )


def test_a_shim_that_raises_makes_its_poll_fail(site: Site) -> None:
    """Half a poll is not stored."""
    runtime = site.runtime(Plugin(polled(lambda _state: ["a", "bad"])))

    failure = runtime.poll("polled")

    assert isinstance(failure, ValueError)
    assert runtime.left().pending == 0


def test_a_feed_that_no_one_polls_cannot_be_polled(site: Site) -> None:
    """A hook's feed has nothing to ask."""
    runtime = site.runtime(Plugin(hooked()))

    with pytest.raises(TypeError, match="tests is no feed that can be polled"):
        runtime.poll("tests")


def test_a_service_reads_polls_and_listens_until_it_is_stopped(site: Site) -> None:
    """All three kinds of sources at once; what is recorded while it runs is noticed."""
    listening = threading.Event()

    def listen(_state: State, stop: threading.Event) -> Iterator[str]:
        yield "c"
        listening.set()
        stop.wait(PATIENCE)

    runtime = site.runtime(
        Plugin(
            hooked(),
            polled(lambda _state: ["b"]),
            Feed("heard", StreamSource(listen), shim, Exchange("exchange/tests/heard", "", "", (Landed,))),
        )
    )
    runtime.start()
    wait_until(listening.is_set)

    site.record("tests", "a")
    wait_until(lambda: len(site.publishers[""].held) == 3)
    alive = runtime.is_alive()
    left = runtime.stop()

    assert sorted(site.held()) == ["a", "b", "c"]
    assert (alive, runtime.is_alive(), left.work) == (True, False, 0)


def test_a_stop_waits_for_the_confirms_and_says_what_is_left(site: Site) -> None:
    """What cannot be published by then is in the outbox, and the next runtime publishes it."""
    runtime = site.runtime(Plugin(hooked()))
    site.publishers[""].block("low on disk")
    site.record("tests", "a")
    site.record("tests", "bad")
    runtime.start(watching=False)
    runtime.reader.read_all()
    site.record("tests", "c")

    left = runtime.stop()

    assert left == Left(spool=1, pending=1, parked=1)
    assert str(left) == "1 in the spool, 1 to publish, 1 parked"
    assert left_of(runtime.store) == left


def test_a_second_runtime_is_told_who_holds_the_store(site: Site) -> None:
    """Two would publish everything twice."""
    site.runtime(Plugin(hooked()))

    with (
        pytest.raises(StoreHeld, match=rf"pulseshim run \(process {os.getpid()}\) works on the store"),
        ExitStack() as stack,
    ):
        stack.enter_context(held_store(site.settings(), "drain"))


def test_a_new_runtime_forgets_the_conditions_of_the_one_before(site: Site) -> None:
    """`status` shows what is, and not what was before a crash."""
    before = site.runtime(Plugin(polled(lambda _state: [])))
    before.poll("polled")

    runtime = site.runtime()

    assert runtime.conditions.all() == []


class Observing(Plugin):
    """A plugin that notes what it is told, and fails over it when asked to."""

    def __init__(self, *feeds: Feed[str], fails: bool = False) -> None:
        super().__init__(*feeds)
        self.noted: list[tuple[str, str]] = []
        self._fails = fails

    def _note(self, what: str, subject: str) -> None:
        self.noted.append((what, subject))
        if self._fails:
            raise SystemExit("an observer")

    @hookimpl
    def pulseshim_message_stored(self, envelope: Envelope) -> None:
        """Note it."""
        self._note("stored", envelope.message_id)

    @hookimpl
    def pulseshim_envelope_confirmed(self, envelope: Envelope) -> None:
        """Note it."""
        self._note("confirmed", envelope.message_id)

    @hookimpl
    def pulseshim_item_parked(self, parked: Parked) -> None:
        """Note it."""
        self._note("parked", parked.feed)


@pytest.mark.parametrize("fails", [False, True])
def test_observers_hear_of_each_envelope_and_parked_item_and_stop_nothing(site: Site, *, fails: bool) -> None:
    """What they raise is theirs."""
    observer = Observing(hooked(), fails=fails)
    runtime = site.runtime(observer)
    site.record("tests", "a")
    site.record("tests", "bad")
    (message,) = shim("a")

    left = site.work_off(runtime)

    assert sorted(observer.noted) == [
        ("confirmed", message.message_id),
        ("parked", "tests"),
        ("stored", message.message_id),
    ]
    assert (site.held(), left.work) == (["a"], 0)


def test_maintenance_forgets_what_was_kept_long_enough(site: Site) -> None:
    """And sets aside what a recorder left half-written long ago."""
    settings = site.settings()
    runtime = site.runtime(Plugin(hooked()), settings=settings)
    site.record("tests", "a")
    site.work_off(runtime)
    unfinished = site.directory / "spool" / "tmp" / "left"
    unfinished.write_bytes(b"half")
    os.utime(unfinished, (0, 0))
    with runtime.store.database.step() as connection:
        connection.execute("UPDATE confirmed SET confirmed_at = 0")

    runtime.maintain()

    (item,) = runtime.store.parked.items()
    assert runtime.store.outbox.replayable("1", []) == 0
    assert (item.kind, "half-written" in item.cause) == ("file", True)
