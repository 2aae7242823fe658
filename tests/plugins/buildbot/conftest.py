"""One master for all tests of this folder, and a way to listen to it inside the test."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pulseshim import Checkpoint, Message
from pulseshim.testing import MemoryState
from pulseshim_plugins.buildbot_listen import listen
from pulseshim_plugins.buildbot_options import MasterOptions
from pulseshim_shims.buildbot import buildbot_messages
from tests.buildbot_master import BuildbotMaster, running_master

Listening = Callable[..., Any]


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuildbotMaster]:
    """Give the session's master, with a worker. Its builds only become more."""
    with running_master(tmp_path_factory.mktemp("buildbot")) as found:
        yield found


class Ear:
    """What a listener announced so far, and what it failed with, if it did."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.looks = 0
        self.ended = False
        self.failure: Exception | None = None

    def keys(self) -> list[str]:
        """Give the routing keys of what was announced, without heartbeats."""
        return [message.routing_key for message in self.messages if message.routing_key != "heartbeat"]

    def wait_for(self, *keys: str, seconds: float = 60) -> None:
        """Wait until all of these routing keys were announced."""
        self.wait_until(lambda: set(keys) <= set(self.keys()), f"{keys} announced", seconds)

    def wait_until(self, condition: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Wait until a condition holds, or fail with what was waited for."""
        deadline = time.monotonic() + seconds
        while True:
            failed = time.monotonic() > deadline or self.failure is not None
            if condition():
                return
            assert not failed, f"not {what}: {self.keys()} {self.failure!r}"
            time.sleep(0.05)


@pytest.fixture
def listening() -> Listening:
    """Give a way to listen to a master, in a `with`: what it gives begins with the first look."""

    @contextmanager
    def listener(
        options: MasterOptions, state: MemoryState | None = None, now: Callable[[], float] = time.time
    ) -> Iterator[Ear]:
        ear, stop = Ear(), threading.Event()
        kept = state or MemoryState()

        def run() -> None:
            try:
                for event in listen(kept, stop, options, now):
                    if isinstance(event, Checkpoint):
                        ear.looks += 1
                    else:
                        ear.messages += buildbot_messages(event, options.hide_properties, options.max_bytes)
            except Exception as error:  # noqa: BLE001 - the test looks at it
                ear.failure = error
            finally:
                ear.ended = True

        thread = threading.Thread(target=run)
        thread.start()
        try:
            # The first two are the beginning and the first look.
            ear.wait_until(lambda: ear.looks > 1 or ear.failure is not None or ear.ended, "listening")
            yield ear
        finally:
            stop.set()
            thread.join(30)
        assert not thread.is_alive()

    return listener
