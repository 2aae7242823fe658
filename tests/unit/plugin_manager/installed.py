"""Plugins that are found or given, and what the manager says of them."""

from collections.abc import Callable

from pulseshim import Exchange, Feed, HookSource, Settings
from pulseshim.plugin_manager import Plugin, PluginManager, installed

Install = Callable[[str, str], None]
EXCHANGE = Exchange("exchange/tests/v1", "Tests", "Of the tests.", ())
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


def loaded(*names: str) -> PluginManager:
    """Give a manager that has loaded the installed plugins with these names."""
    manager = PluginManager()
    manager.load(entry for entry in installed() if entry.name in names)
    return manager


def named(manager: PluginManager, name: str) -> Plugin:
    return next(plugin for plugin in manager.plugins if plugin.name == name)


def feeds_of(manager: PluginManager) -> list[str]:
    return [given.feed.name for given in manager.feeds(Settings())]
