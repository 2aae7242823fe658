"""What one call of the command line works with: settings, plugins, and how it speaks."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from typing import NoReturn

import click
from rich.text import Text

from pulseshim import logs, settings
from pulseshim.commands.terminal import PlainConsole, console, printable
from pulseshim.errors import CommandFailed, SettingsError
from pulseshim.plugin_manager import PluginManager, installed
from pulseshim.store import Store, open_store

PARKED = 4
UNREACHED = 3


class Session:
    """The object of the click context: what `--config` and `--debug` lead to, made when first needed."""

    def __init__(self) -> None:
        self.config: str | None = None
        self.debug = False

    @cached_property
    def settings(self) -> settings.Settings:
        """Give the settings. Raises `SettingsError`."""
        return settings.load(self.config, os.environ)

    @cached_property
    def console(self) -> PlainConsole:
        """Give the console for what people read; long work shows there how far it is."""
        return console(stderr=True)

    def plugins(self) -> PluginManager:
        """Give the plugins that have a table in the settings, loaded."""
        manager = PluginManager()
        entries = {entry.name: entry for entry in installed()}
        missing = sorted(self.settings.plugins.keys() - entries.keys())
        if missing:
            have = ", ".join(entries) or "none"
            raise SettingsError(
                f"{self.settings.origin or 'settings'}: plugins.{missing[0]} names no installed plugin",
                f"install the package that has it, or remove the table (installed: {have})",
            )
        manager.load(entry for name, entry in entries.items() if name in self.settings.plugins)
        return manager

    def store(self, *, readonly: bool = False) -> Store:
        """Open the store, for as long as the command runs. Raises as `open_store` does."""
        store = open_store(self.settings, readonly=readonly)
        return click.get_current_context().with_resource(closing(store))

    def log(self) -> None:
        """Begin to log as the settings say."""
        level = "debug" if self.debug else self.settings.log.level
        logs.configure(level, self.settings.log.format)


def fail(problem: str, remedy: str = "") -> NoReturn:
    """End a command that could not do what it was asked."""
    raise CommandFailed(problem, remedy)


@contextmanager
def progress(session: Session, text: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal that something is being done; what is given changes the text."""
    with session.console.status(Text(printable(text))) as status:
        yield lambda now: status.update(Text(printable(now)))


def equip(command: click.Command) -> click.Command:
    """Let each command take `--config` and `--debug` itself, not only `pulseshim` before it."""
    if isinstance(command, click.Group):
        for child in command.commands.values():
            equip(child)
    elif not any(parameter.name == "config" for parameter in command.params):
        command.params += [_config(), _debug()]
    return command


def _config() -> click.Option:
    return click.Option(
        ["--config"],
        metavar="FILE",
        expose_value=False,
        callback=lambda context, _, value: _note(context, "config", value),
        help="The settings file; else $PULSESHIM_CONFIG, ./pulseshim.toml, /etc/pulseshim/pulseshim.toml.",
    )


def _debug() -> click.Option:
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=lambda context, _, value: _note(context, "debug", value),
        help="Log everything, and show tracebacks.",
    )


def _note(context: click.Context, name: str, value: object) -> None:
    if value:
        setattr(context.ensure_object(Session), name, value)
