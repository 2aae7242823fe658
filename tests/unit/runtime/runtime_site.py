"""A store, plugins that are given as feeds, and a runtime that puts them together."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from pulseshim import (
    Exchange,
    Feed,
    HookSource,
    Invocation,
    Message,
    PollSource,
    State,
    hookimpl,
)
from pulseshim.plugin_manager import PluginManager
from pulseshim.recorder import record
from pulseshim.runtime import Runtime
from pulseshim.settings import AccountSettings, BrokerSettings, Settings, StoreSettings
from pulseshim.store import Left, held_store
from pulseshim.testing import MemoryPublisher

PATIENCE = 60.0
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


def polled(
    poll: Callable[[State], Iterable[str]], name: str = "polled", every: timedelta | str = timedelta(hours=1)
) -> Feed[str]:
    return Feed(name, PollSource(poll, every), shim, ONE)
