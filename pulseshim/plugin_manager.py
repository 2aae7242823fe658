"""The plugin manager: loads plugins one by one and quarantines those that fail."""

import logging
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import click
import pluggy

from pulseshim import hookspecs
from pulseshim.envelope import Envelope
from pulseshim.errors import PulseshimError
from pulseshim.feed import Feed, HookSource, PollSource, State, StreamSource
from pulseshim.parked import Parked
from pulseshim.problem import Problem
from pulseshim.settings import Settings

log = logging.getLogger(__name__)

GROUP = "pulseshim"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plugin:
    """What is known of a plugin: whose it is, and why it was quarantined, if it was."""

    name: str
    distribution: str
    version: str
    failure: str = ""
    traceback: str = ""

    def __str__(self) -> str:
        return f"plugin {self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True, slots=True)
class PluginFeed:
    """A feed and the name of the plugin that gave it."""

    plugin: str
    feed: Feed[Any]


def installed() -> list[EntryPoint]:
    """Give the entry points of all installed plugins, one a name, in the order of their names."""
    return sorted({entry.name: entry for entry in entry_points(group=GROUP)}.values(), key=lambda e: e.name)


class PluginManager:
    """The plugins of one process. A plugin that raises anywhere is left out from then on, and named."""

    def __init__(self) -> None:
        self._hooks = pluggy.PluginManager(hookspecs.PROJECT)
        self._hooks.add_hookspecs(hookspecs)
        self._plugins: dict[str, Plugin] = {}

    @property
    def plugins(self) -> list[Plugin]:
        """Give all plugins that were to be loaded, quarantined ones too."""
        return list(self._plugins.values())

    def load(self, entries: Iterable[EntryPoint]) -> None:
        """Load plugins by their entry points."""
        for entry in entries:
            distribution = entry.dist.name if entry.dist else "unknown distribution"
            version = entry.dist.version if entry.dist else ""
            self._plugins[entry.name] = Plugin(entry.name, distribution, version)
            self._guard(entry.name, self._load, entry)

    def register(self, name: str, plugin: object) -> None:
        """Take a plugin that is an object already: for tests, and for plugins without a distribution."""
        self._plugins[name] = Plugin(name, type(plugin).__module__, "")
        self._guard(name, self._register, name, plugin)

    def _load(self, entry: EntryPoint) -> None:
        self._register(entry.name, entry.load())

    def _register(self, name: str, plugin: object) -> None:
        self._hooks.register(plugin, name)
        self._hooks.check_pending()

    def feeds(self, settings: Settings) -> list[PluginFeed]:
        """Give the feeds of all loaded plugins. Raises `SettingsError` where a plugin's table is wrong."""
        given: list[PluginFeed] = []
        for name in self._sound():
            for feeds in self._call(name, "pulseshim_feeds", settings=settings):
                self._guard(name, _check, name, feeds, given)
        return given

    def commands(self) -> list[click.Command]:
        """Give the commands of all loaded plugins."""
        return self._gathered("pulseshim_commands", click.Command)

    def problems(self, settings: Settings, states: Callable[[str], State], waiting: int) -> list[Problem]:
        """Give what the plugins find wrong with their sources."""
        return self._gathered(
            "pulseshim_problems", Problem, settings=settings, states=states, waiting=waiting
        )

    def message_stored(self, envelope: Envelope) -> None:
        """Tell the observers that an envelope was stored."""
        self._observe("pulseshim_message_stored", envelope=envelope)

    def envelope_confirmed(self, envelope: Envelope) -> None:
        """Tell the observers that an envelope was confirmed."""
        self._observe("pulseshim_envelope_confirmed", envelope=envelope)

    def item_parked(self, parked: Parked) -> None:
        """Tell the observers that an item was parked."""
        self._observe("pulseshim_item_parked", parked=parked)

    def observes(self, hook: str) -> bool:
        """Say whether any plugin implements a hook."""
        return bool(getattr(self._hooks.hook, hook).get_hookimpls())

    def _gathered(self, hook: str, kind: type[T], **arguments: object) -> list[T]:
        found: list[T] = []
        for name in self._sound():
            for given in self._call(name, hook, **arguments):
                found += self._guard(name, _all_of, hook, kind, given) or []
        return found

    def _sound(self) -> list[str]:
        return [name for name, plugin in self._plugins.items() if not plugin.failure]

    def _call(self, name: str, hook: str, **arguments: object) -> list[Any]:
        """Call one plugin's implementations of a hook; a plugin that raises gives nothing."""
        others = [self._hooks.get_plugin(other) for other in self._plugins if other != name]
        caller = self._hooks.subset_hook_caller(hook, [other for other in others if other is not None])
        return self._guard(name, caller, **arguments) or []

    def _guard(self, name: str, action: Callable[..., T], *arguments: object, **named: object) -> T | None:
        """Do what concerns one plugin; quarantine it where that fails. Wrong settings are not its fault."""
        try:
            return action(*arguments, **named)
        except PulseshimError as error:
            if error.exit_code == 2:  # noqa: PLR2004 - usage or settings, as documented in errors
                raise
            self._quarantine(name, error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises must not spread
            self._quarantine(name, error)
        return None

    def _quarantine(self, name: str, error: BaseException) -> None:
        plugin = self._plugins[name]
        failure = f"{type(error).__name__}: {error}" if not isinstance(error, PulseshimError) else str(error)
        trace = "".join(traceback.format_exception(error))
        self._plugins[name] = Plugin(name, plugin.distribution, plugin.version, failure, trace)
        if self._hooks.has_plugin(name):
            self._hooks.unregister(name=name)
        log.error("plugin quarantined", extra={"plugin": str(plugin), "error": failure})

    def _observe(self, hook: str, **arguments: object) -> None:
        """Call observers one by one: what one raises is logged and changes nothing."""
        for implementation in getattr(self._hooks.hook, hook).get_hookimpls():
            try:
                implementation.function(**{k: arguments[k] for k in implementation.argnames})
            except (Exception, SystemExit):
                log.exception("observer failed", extra={"plugin": implementation.plugin_name, "hook": hook})


def _all_of(hook: str, kind: type[T], given: Iterable[object]) -> list[T]:
    """Give what a hook gave, once it is seen to be of a kind."""
    values: list[T] = []
    for value in given:
        if not isinstance(value, kind):
            raise TypeError(f"{hook} must give {kind.__name__} values, it gave {type(value).__name__}")
        values.append(value)
    return values


def _check(name: str, feeds: Iterable[object], given: list[PluginFeed]) -> None:
    """Add what a plugin gave to `given`, once it is seen to be feeds that go together with the others."""
    checked: list[PluginFeed] = []
    for feed in feeds:
        if not isinstance(feed, Feed) or not isinstance(feed.source, HookSource | PollSource | StreamSource):
            raise TypeError(f"pulseshim_feeds must give Feed values, it gave {type(feed).__name__}")
        for other in [*given, *checked]:
            if other.feed.name == feed.name and (
                other.plugin != name or other.feed.source is not feed.source
            ):
                raise ValueError(f"the feed {feed.name} is given twice, by {other.plugin} and {name}")
        checked.append(PluginFeed(name, feed))
    given.extend(checked)
