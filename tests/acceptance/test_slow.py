"""Plugins that take their time: a verb that is asked to end does so, and loses nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import pytest

from pulseshim.settings import Settings, StoreSettings
from pulseshim.store import open_store
from tests.verb import run_verb

PLUGIN = '''
"""A plugin that takes its time."""

import time
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from pulseshim import Exchange, Feed, HookSource, Message, PollSource, hookimpl


class Told(Message, frozen=True, kw_only=True):
    """A message."""

    type: ClassVar[str] = "slow.told"


EXCHANGE = Exchange("exchange/slow/", "Slow", "Of the tests.", (Told,))


def read(invocation, _state):
    Path("begun").touch()
    time.sleep(1)
    return invocation.arguments


def poll(_state):
    yield "first"
    Path("begun").touch()
    time.sleep(600)


def shim(text):
    yield Told(routing_key="a", event_id=text)


@hookimpl
def pulseshim_feeds(settings):
    return [
        Feed("slow.hook", HookSource(read), shim, EXCHANGE),
        Feed("slow.poll", PollSource(poll, timedelta(hours=1)), shim, EXCHANGE),
    ]
'''
SECONDS = 60.0


class Slow:
    """A directory with the plugin, its settings and its store."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack
        self._numbers = count(1)
        self._environ = {**os.environ, "PYTHONPATH": str(directory), "PULSESHIM_STORE__KEEP": "0s"}
        (directory / "slow.py").write_text(PLUGIN)
        distribution = directory / "slow-1.dist-info"
        distribution.mkdir()
        (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1\n")
        (distribution / "entry_points.txt").write_text("[pulseshim]\nslow = slow\n")
        settings = '[store]\ndirectory = "store"\n[broker]\nurl = "memory://"\n[plugins.slow]\n'
        (directory / "pulseshim.toml").write_text(settings)

    def record(self, many: int) -> None:
        """Record so many invocations."""
        for _ in range(many):
            words = ("emit", "slow.hook", str(next(self._numbers)))
            done = run_verb(words, cwd=self.directory, environ=self._environ)
            assert done.returncode == 0, done.stderr

    def begin(self, verb: str) -> subprocess.Popen[str]:
        """Start a verb, and wait until the plugin has begun."""
        command = [sys.executable, "-m", "pulseshim", verb]
        process = self._stack.enter_context(
            subprocess.Popen(
                command, cwd=self.directory, env=self._environ, stderr=subprocess.PIPE, text=True
            )
        )
        self._stack.callback(process.kill)
        until = time.monotonic() + SECONDS
        while not (self.directory / "begun").exists():
            assert process.poll() is None or (self.directory / "begun").exists()
            assert time.monotonic() < until
            time.sleep(0.01)
        return process

    @property
    def waiting(self) -> int:
        """Give how many invocations are in the spool."""
        return len(list((self.directory / "store" / "spool" / "new").iterdir()))


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    """Give the directory; what was started in it is killed at the end."""
    with ExitStack() as stack:
        yield Slow(tmp_path, stack)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_that_is_asked_to_end_ends_after_the_invocation_it_reads(
    slow: Slow, number: signal.Signals
) -> None:
    """It does not first read all there is, which may be a night's worth; it says what is left."""
    slow.record(12)

    drain = slow.begin("drain")
    drain.send_signal(number)
    _, told = drain.communicate(timeout=SECONDS)

    assert slow.waiting > 0
    assert drain.returncode == 1
    assert f"{slow.waiting} in the spool" in told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_what_a_plugin_holds_up(slow: Slow, number: signal.Signals) -> None:
    """A poll that hangs ends with the first signal where it can, and with the second in any case."""
    poll = slow.begin("poll")

    poll.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        poll.wait(1)
    until = time.monotonic() + SECONDS
    while poll.poll() is None:  # more than once: two signals that wait for a process are one
        poll.send_signal(number)
        assert time.monotonic() < until
        time.sleep(0.2)

    assert poll.returncode == -number


def test_a_service_ends_though_a_poll_hangs(slow: Slow) -> None:
    """It is abandoned: what it had not stored is asked for again by the next service."""
    service = slow.begin("run")

    service.terminate()
    _, told = service.communicate(timeout=SECONDS)

    assert service.returncode == 0
    assert "stopped; left for the next start: 0 in the spool" in told


def test_a_drain_forgets_what_was_kept_long_enough(slow: Slow) -> None:
    """Where only cron runs, nothing else would: the second drain, of a store that keeps nothing."""
    slow.record(1)
    slow.begin("drain").communicate(timeout=SECONDS)
    slow.record(1)
    slow.begin("drain").communicate(timeout=SECONDS)

    with closing(open_store(Settings(store=StoreSettings(directory=str(slow.directory / "store"))))) as store:
        kept = store.outbox.replayable("true", ())

    assert kept <= 1
