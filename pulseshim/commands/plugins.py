"""`pulseshim plugins`: what is installed, what is on, and what is wrong with it."""

import json
from collections.abc import Sequence
from typing import Any

import click

from pulseshim.commands.session import Session
from pulseshim.commands.terminal import say
from pulseshim.errors import SettingsError
from pulseshim.plugin_manager import Plugin, PluginFeed, PluginManager, installed


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_obj
def command(session: Session, *, as_json: bool) -> int:
    """Show each installed plugin: distribution, version, feeds and exchanges; or why it cannot be used.

    Exits 1 where a plugin is quarantined.
    """
    settings = session.settings
    manager = PluginManager()
    manager.load(entry for entry in installed() if entry.name not in settings.plugins)
    off = manager.plugins
    on = PluginManager()
    on.load(entry for entry in installed() if entry.name in settings.plugins)
    wrong: SettingsError | None = None
    feeds: list[PluginFeed] = []
    try:
        feeds = on.feeds(settings)
    except SettingsError as error:
        wrong = error
    rows = sorted(
        [as_object(plugin, feeds, on=True) for plugin in on.plugins]
        + [as_object(plugin, (), on=False) for plugin in off],
        key=lambda row: str(row["name"]),
    )
    if as_json:
        click.echo(json.dumps(rows))
    else:
        show(rows)
    if wrong:
        raise wrong
    return 1 if any(row["failure"] for row in rows) else 0


def as_object(plugin: Plugin, feeds: Sequence[PluginFeed], *, on: bool) -> dict[str, Any]:
    """Give a plugin as a JSON object."""
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "on": on,
        "failure": plugin.failure or None,
        "feeds": [
            {
                "name": given.feed.name,
                "source": type(given.feed.source).__name__,
                "exchange": given.feed.exchange.name,
                "messages": [message.type for message in given.feed.exchange.messages],
            }
            for given in feeds
            if given.plugin == plugin.name
        ],
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print plugins for a person."""
    for row in rows:
        how = (
            "quarantined" if row["failure"] else "on" if row["on"] else "off: it has no table in the settings"
        )
        say(f"{row['name']}  {row['distribution']} {row['version']}  {how}")
        if row["failure"]:
            say(f"  {row['failure']}")
        for feed in row["feeds"]:
            types = ", ".join(feed["messages"])
            say(f"  feed {feed['name']} ({feed['source']}) → {feed['exchange']}: {types}")
    if not rows:
        click.echo("no plugin is installed: pip install 'pulseshim[git]'")
