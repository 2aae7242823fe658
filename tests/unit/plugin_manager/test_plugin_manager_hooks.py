"""The plugin manager: what each hook may do, and what becomes of one that raises."""

import logging
import types

import click
import pytest

from pulseshim import Envelope, Feed, Parked, Problem, Settings, hookimpl
from pulseshim.plugin_manager import PluginManager
from pulseshim.testing import MemoryState
from tests.unit.plugin_manager.installed import EXCHANGE, Install, feed, feeds_of, loaded, named

ENVELOPE = Envelope(
    message_id="1",
    exchange=EXCHANGE.name,
    routing_key="a",
    sequence=1,
    type="t",
    version=1,
    sent=0,
    body=b"{}",
)
PARKED = Parked(
    id=1,
    kind="file",
    feed="",
    subject="/spool",
    cause="foreign",
    traceback="",
    parked_at=0,
    position=None,
    awaiting="person",
)


class Commanding:
    """A plugin that gives commands and finds problems."""

    @hookimpl
    def pulseshim_commands(self) -> list[click.Command]:
        """Give one."""
        return [click.Command("wave")]

    @hookimpl
    def pulseshim_problems(self, waiting: int) -> list[Problem]:
        """Find one."""
        return [Problem("alpha", f"{waiting} invocations wait", "wait, too")]


@pytest.mark.parametrize(
    ("source", "failure"),
    [
        ("return ['wave']", "must give {} values, it gave str"),
        ("yield 1", "must give {} values, it gave int"),
        ("raise OSError('gone')", "OSError: gone"),
    ],
)
@pytest.mark.parametrize(("hook", "kind"), [("commands", "Command"), ("problems", "Problem")])
def test_commands_and_problems_of_a_broken_plugin_are_left_out(
    install: Install, hook: str, kind: str, source: str, failure: str
) -> None:
    """`check` and the help show what the others give."""
    install("broken", f"@hookimpl\ndef pulseshim_{hook}():\n {source}")
    manager = loaded("broken")
    manager.register("alpha", Commanding())

    commands = [command.name for command in manager.commands()]
    problems = [problem.text for problem in manager.problems(Settings(), lambda _feed: MemoryState(), 3)]

    assert (commands, problems) == (["wave"], ["3 invocations wait"])
    assert failure.format(kind) in named(manager, "broken").failure


class Noting:
    """A plugin that takes note of everything."""

    def __init__(self) -> None:
        self.noted: list[object] = []

    @hookimpl
    def pulseshim_message_stored(self, envelope: Envelope) -> None:
        """Note it."""
        self.noted.append(("stored", envelope))

    @hookimpl
    def pulseshim_envelope_confirmed(self, envelope: Envelope) -> None:
        """Note it."""
        self.noted.append(("confirmed", envelope))

    @hookimpl
    def pulseshim_item_parked(self, parked: Parked) -> None:
        """Note it."""
        self.noted.append(("parked", parked))


class Failing:
    """A plugin whose observers raise."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    @hookimpl
    def pulseshim_message_stored(self) -> None:
        """Raise."""
        raise self._error

    @hookimpl
    def pulseshim_envelope_confirmed(self) -> None:
        """Raise."""
        raise self._error

    @hookimpl
    def pulseshim_item_parked(self) -> None:
        """Raise."""
        raise self._error

    @hookimpl
    def pulseshim_feeds(self) -> list[Feed[str]]:
        """Give one."""
        return [feed("failing")]


@pytest.mark.parametrize("error", [ValueError("of the observer"), SystemExit(1)])
def test_an_observer_that_raises_is_logged_and_changes_nothing(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Other observers hear of it, and its own feeds go on: what was stored is stored."""
    noting, manager = Noting(), PluginManager()
    manager.register("before", Failing(error))
    manager.register("noting", noting)
    manager.register("after", Failing(error))

    manager.message_stored(ENVELOPE)
    manager.envelope_confirmed(ENVELOPE)
    manager.item_parked(PARKED)

    assert noting.noted == [("stored", ENVELOPE), ("confirmed", ENVELOPE), ("parked", PARKED)]
    failed = [record for record in caplog.records if record.message == "observer failed"]
    assert [record.__dict__["plugin"] for record in failed] == ["before", "after"] * 3
    assert all(record.levelno == logging.ERROR and record.exc_info for record in failed)
    assert named(manager, "before").failure == ""


def test_whether_anybody_observes_is_known() -> None:
    """Nobody is called for each message where nobody listens."""
    manager = PluginManager()
    manager.register("silent", types.ModuleType("silent"))
    before = manager.observes("pulseshim_message_stored")

    manager.register("noting", Noting())

    assert (before, manager.observes("pulseshim_message_stored")) == (False, True)


def test_a_plugin_that_is_registered_twice_is_left_out_the_second_time() -> None:
    """Its feeds would be given twice."""
    manager, plugin = PluginManager(), Failing(ValueError())
    manager.register("first", plugin)

    manager.register("second", plugin)

    assert feeds_of(manager) == ["failing"]
    assert "ValueError" in named(manager, "second").failure


def test_a_plugin_gets_settings_and_may_leave_out_what_it_does_not_need() -> None:
    """Arguments go by their names."""
    seen: list[object] = []

    class Curious:
        @hookimpl
        def pulseshim_feeds(self, settings: Settings) -> list[Feed[str]]:
            seen.append(settings)
            return [feed("curious")]

    manager, settings = PluginManager(), Settings(origin="/etc/pulseshim/pulseshim.toml")
    manager.register("curious", Curious())

    manager.feeds(settings)

    assert seen == [settings]
