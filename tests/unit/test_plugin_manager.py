"""The plugin manager: plugins of every kind of brokenness are named and left out, the others go on."""

import importlib
import logging
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from pulseshim import Envelope, Exchange, Feed, HookSource, Parked, Problem, Settings, SettingsError, hookimpl
from pulseshim.plugin_manager import Plugin, PluginManager, installed
from pulseshim.testing import MemoryState

Install = Callable[[str, str], None]

EXCHANGE = Exchange("exchange/tests/v1", "Tests", "Of the tests.", ())
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
PREAMBLE = """
import msgspec
from pulseshim import Exchange, Feed, HookSource, PulseshimError, Settings, hookimpl
EXCHANGE = Exchange("exchange/tests/v1", "Tests", "Of the tests.", ())
SOURCE = HookSource(lambda invocation, state: [])
def feed(name, source=SOURCE):
    return Feed(name, source, lambda event: [], EXCHANGE)
"""
SOUND = """
@hookimpl
def pulseshim_feeds(settings):
    return [feed("NAME")]
"""


def feed(name: str) -> Feed[str]:
    return Feed(name, HookSource(lambda _invocation, _state: []), lambda _event: [], EXCHANGE)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution `<name>-dist` 1.2 that holds one module and registers it as a plugin."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def put(name: str, source: str) -> None:
        module = f"tests_plugin_{name}"
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(PREAMBLE + source.replace("NAME", name))
        metadata = tmp_path / f"{name}_dist-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[pulseshim]\n{name} = {module}\n")
        importlib.invalidate_caches()

    yield put
    for module in modules:
        sys.modules.pop(module, None)


def loaded(*names: str) -> PluginManager:
    """Give a manager that has loaded the installed plugins with these names."""
    manager = PluginManager()
    manager.load(entry for entry in installed() if entry.name in names)
    return manager


def named(manager: PluginManager, name: str) -> Plugin:
    return next(plugin for plugin in manager.plugins if plugin.name == name)


def feeds_of(manager: PluginManager) -> list[str]:
    return [given.feed.name for given in manager.feeds(Settings())]


def test_a_plugin_gives_its_feeds_and_is_known_by_its_distribution(install: Install) -> None:
    """Entry points of the group `pulseshim` are found, first-party or not."""
    install("alpha", SOUND)

    manager = loaded("alpha")

    assert [(given.plugin, given.feed.name) for given in manager.feeds(Settings())] == [("alpha", "alpha")]
    assert manager.plugins == [Plugin("alpha", "alpha-dist", "1.2")]
    assert str(manager.plugins[0]) == "plugin alpha (alpha-dist 1.2)"


def test_our_own_plugin_comes_through_the_same_door() -> None:
    """It is registered like any other."""
    assert "git" in [entry.name for entry in installed()]


def test_plugins_are_loaded_in_the_order_of_their_names(install: Install) -> None:
    """Which one wins does not depend on the order of directories."""
    for name in ("gamma", "alpha", "beta"):
        install(name, SOUND)

    names = [entry.name for entry in installed() if entry.name in ("alpha", "beta", "gamma")]

    assert names == ["alpha", "beta", "gamma"]


@pytest.mark.parametrize(
    ("source", "failure"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def broken(:", "SyntaxError: "),
        ("@hookimpl\ndef pulseshim_feds(settings): return []", "unknown hook 'pulseshim_feds'"),
        ("@hookimpl\ndef pulseshim_feeds(config): return []", "config"),
        ("@hookimpl\ndef pulseshim_feeds(settings): raise KeyError('url')", "KeyError: 'url'"),
        ("@hookimpl\ndef pulseshim_feeds(settings): raise SystemExit('no')", "SystemExit: no"),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): raise PulseshimError('no hg', 'install it')",
            "no hg: install it",
        ),
        (
            "@hookimpl\ndef pulseshim_feeds(settings):\n yield feed('NAME')\n raise OSError('gone')",
            "OSError: gone",
        ),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): return ['NAME']",
            "TypeError: pulseshim_feeds must give Feed values, it gave str",
        ),
        ("@hookimpl\ndef pulseshim_feeds(settings): return 5", "TypeError: 'int' object is not iterable"),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): return [feed('NAME', lambda i, s: [])]",
            "TypeError: pulseshim_feeds must give Feed values",
        ),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): return [feed('No Name')]",
            "'No Name' is no name of a feed",
        ),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): return [feed('NAME'), feed('NAME', HookSource(len))]",
            "ValueError: the feed broken is given twice, by broken and broken",
        ),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): return [feed('alpha')]",
            "ValueError: the feed alpha is given twice, by alpha and broken",
        ),
    ],
)
def test_a_broken_plugin_is_named_and_the_others_go_on(install: Install, source: str, failure: str) -> None:
    """Those before it in the order of names, and those behind it."""
    install("alpha", SOUND)
    install("broken", source)
    install("gamma", SOUND)

    manager = loaded("alpha", "broken", "gamma")
    feeds = feeds_of(manager)

    broken = named(manager, "broken")
    assert feeds == ["alpha", "gamma"]
    assert failure in broken.failure
    assert (broken.distribution, broken.version) == ("broken-dist", "1.2")
    assert "Traceback (most recent call last)" in broken.traceback
    assert [plugin.failure for plugin in manager.plugins if plugin.name != "broken"] == ["", ""]


def test_a_quarantine_is_logged_with_distribution_and_version(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever reads the log knows whom to write to."""
    install("broken", "import no_such_module")

    loaded("broken")

    (record,) = [record for record in caplog.records if record.message == "plugin quarantined"]
    assert record.__dict__["plugin"] == "plugin broken (broken-dist 1.2)"
    assert record.__dict__["error"].startswith("ModuleNotFoundError")


def test_a_quarantined_plugin_is_asked_no_more(install: Install) -> None:
    """Its observers are silent, too."""
    install(
        "broken",
        "@hookimpl\ndef pulseshim_feeds(settings): 1 / 0\n@hookimpl\ndef pulseshim_item_parked(parked): pass",
    )
    manager = loaded("broken")
    before = manager.observes("pulseshim_item_parked")

    manager.feeds(Settings())

    assert (before, manager.observes("pulseshim_item_parked")) == (True, False)
    assert feeds_of(manager) == []


def test_wrong_options_are_an_error_of_the_settings(install: Install) -> None:
    """A misspelt key is no fault of the plugin: a person must correct it, and nothing starts meanwhile."""
    install(
        "alpha",
        "class Options(msgspec.Struct, forbid_unknown_fields=True):\n url: str = ''\n"
        "@hookimpl\ndef pulseshim_feeds(settings):\n settings.options('NAME', Options)\n return []",
    )
    manager = loaded("alpha")

    with pytest.raises(SettingsError, match=r"plugins\.alpha\.ulr is no setting: did you mean url\?"):
        manager.feeds(Settings(plugins={"alpha": {"ulr": "x"}}))

    assert named(manager, "alpha").failure == ""


def test_a_plugin_may_give_several_feeds_of_one_name_and_source(install: Install) -> None:
    """They are one reading, for several exchanges."""
    install("alpha", "@hookimpl\ndef pulseshim_feeds(settings): return [feed('NAME'), feed('NAME')]")

    manager = loaded("alpha")

    assert feeds_of(manager) == ["alpha", "alpha"]


def test_a_plugin_without_any_hook_gives_nothing(install: Install) -> None:
    """It does no harm."""
    install("alpha", "")

    manager = loaded("alpha")

    assert (feeds_of(manager), named(manager, "alpha").failure) == ([], "")


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
