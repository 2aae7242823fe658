"""The hooks that a plugin may implement. `pulseshim_feeds` is all that a source needs.

A plugin is a module (or object) named by an entry point of the group `pulseshim`; the entry point's name is
the plugin's name and that of its table in the settings. A plugin that cannot be loaded, or raises in any of
these, is quarantined and named with its distribution and version; the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from pulseshim.envelope import Envelope
    from pulseshim.feed import Feed, State
    from pulseshim.parked import Parked
    from pulseshim.problem import Problem
    from pulseshim.settings import Settings

PROJECT = "pulseshim"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def pulseshim_feeds(settings: Settings) -> Iterable[Feed[Any]]:  # type: ignore[empty-body]
    """Give the feeds of this plugin. Asked once at start, and only where the plugin has a table."""


@hookspec
def pulseshim_commands() -> Iterable[click.Command]:  # type: ignore[empty-body]
    """Give commands. A group with the name of an existing one is merged into it."""


@hookspec
def pulseshim_problems(  # type: ignore[empty-body]
    settings: Settings, states: Callable[[str], State], waiting: int
) -> Iterable[Problem]:
    """Give what is wrong with the sources of this plugin, each problem with its remedy, for `check`.

    `states` gives the state of a feed by its name, to be read only; of it, `waiting` says how many
    invocations in the spool are not part yet.
    """


@hookspec
def pulseshim_message_stored(envelope: Envelope) -> None:
    """Take note that an envelope was stored in the outbox. What is raised is logged and changes nothing."""


@hookspec
def pulseshim_envelope_confirmed(envelope: Envelope) -> None:
    """Take note that the broker confirmed an envelope."""


@hookspec
def pulseshim_item_parked(parked: Parked) -> None:
    """Take note that an invocation or an envelope was parked."""
