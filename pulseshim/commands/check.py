"""`pulseshim check`: looks for everything that is wrong, each problem with its remedy."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

import click

from pulseshim.account import resolve
from pulseshim.backlog import figures
from pulseshim.commands.owner import by_owner
from pulseshim.commands.session import Session
from pulseshim.commands.terminal import say
from pulseshim.condition import Conditions
from pulseshim.envelope import rfc3339
from pulseshim.errors import ExchangeRefused, PulseshimError, SettingsError
from pulseshim.failover import connect
from pulseshim.feed import PollSource, State
from pulseshim.plugin_manager import PluginFeed, PluginManager
from pulseshim.problem import Problem
from pulseshim.runtime import exchange_accounts
from pulseshim.scheduler import trigger
from pulseshim.settings import Settings
from pulseshim.state import EmptyState
from pulseshim.store import Store, holder, milliseconds, open_store

_CLOCK_MILLISECONDS = 60_000
_SETTINGS = 2
_CODES = {"settings": _SETTINGS, "broker": 3}


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of problems.")
@click.pass_obj
def command(session: Session, *, as_json: bool) -> int:
    """Look at settings, plugins, store, broker, exchanges, permissions, hooks and clock.

    Every problem is shown with its remedy. Nothing is changed but that exchanges are declared. Exits 1
    where an error was found (2 where it is a setting, 3 where the broker is not reached); warnings alone
    exit 0.
    """
    settings = session.settings
    plugins = session.plugins()
    found = list(problems(settings, plugins))
    if as_json:
        click.echo(json.dumps([asdict(problem) for problem in found]))
    else:
        for problem in found:
            say(f"{problem.severity}: {problem.subject}: {problem.text}", f"  {problem.remedy}")
        errors = sum(problem.severity == "error" for problem in found)
        click.echo(f"{errors} errors, {len(found) - errors} warnings" if found else "nothing is wrong")
    codes = {_CODES.get(problem.subject, 1) for problem in found if problem.severity == "error"}
    return next((code for code in (2, 3, 1) if code in codes), 0)


def problems(settings: Settings, plugins: PluginManager) -> Iterator[Problem]:
    """Give everything that is found to be wrong."""
    if not settings.origin and not settings.plugins:
        remedy = "write /etc/pulseshim/pulseshim.toml, see docs/reference/settings.md"
        yield Problem("settings", "there is no settings file and no plugin is on", remedy, "warning")
    owned: Mapping[str, str] = {}
    asked = True
    try:
        feeds = plugins.feeds(settings)
        owned = exchange_accounts(settings, feeds)
        yield from _schedules(feeds)
    except SettingsError as error:
        asked = False
        yield Problem("settings", error.problem, error.remedy)
    yield from _store(settings)
    if asked:
        yield from _asked(settings, plugins)
    yield from _broker(settings, owned)
    for plugin in plugins.plugins:
        if plugin.failure:
            yield Problem(str(plugin), plugin.failure, "install what it needs, or report this to its author")


def _schedules(feeds: Sequence[PluginFeed]) -> Iterator[Problem]:
    """Give the schedules that are none: the service would not start with them."""
    sources = {given.feed.name: given.feed.source for given in feeds}
    for name, source in sources.items():
        if isinstance(source, PollSource):
            try:
                trigger(name, source.every, source.jitter)
            except SettingsError as error:
                yield Problem("settings", error.problem, error.remedy)


def _asked(settings: Settings, plugins: PluginManager) -> Iterator[Problem]:
    """Give what the plugins find; where no store can be read, of sources of which nothing is stored."""
    with ExitStack() as stack:
        states: Callable[[str], State] = EmptyState
        waiting = 0
        with suppress(PulseshimError):  # that was said
            store = open_store(settings, readonly=True)
            stack.callback(store.close)
            states, waiting = store.outbox.state, store.spool.backlog().count
        try:
            yield from plugins.problems(settings, states, waiting)
        except PulseshimError as error:
            yield Problem(
                "settings" if error.exit_code == _SETTINGS else "store", error.problem, error.remedy
            )


def _store(settings: Settings) -> Iterator[Problem]:
    try:
        store = open_store(settings, readonly=True)
    except PulseshimError as error:
        missing = not (settings.directory / "outbox.sqlite3").exists()
        yield Problem("store", error.problem, error.remedy, "warning" if missing else "error")
        return
    try:
        yield from _directories(settings.directory)
        now = figures(store)
        if parked := sum(now.parked.values()):
            yield Problem("store", f"{parked} items are parked", "pulseshim parked list", "warning")
        if now.suspicious:
            text = f"invocations are set aside as suspicious, {by_owner(now.suspicious)}"
            remedy = "parked list shows why; discard them, or let them go on by parked retry --trust"
            yield Problem("store", text, remedy, "warning")
        ((latest,),) = store.database.query("SELECT coalesce(max(sent), 0) FROM envelopes")
        if latest > milliseconds() + _CLOCK_MILLISECONDS:
            text = "the last message was sealed later than it is now: the clock was set back"
            yield Problem(
                "clock", text, "let a time service (chrony, systemd-timesyncd) keep the clock", "warning"
            )
        yield from _sources(store, listening=bool(holder(settings.directory)))
        waiting = now.spool
        if waiting and not holder(settings.directory):
            text = f"{waiting} invocations wait in the spool and nothing works on the store"
            yield Problem("store", text, "start pulseshim run, or drain from cron", "warning")
    except PulseshimError as error:
        yield Problem("store", error.problem, error.remedy)
    finally:
        store.close()


def _sources(store: Store, *, listening: bool) -> Iterator[Problem]:
    """Give the polls that failed and, while a service listens, the streams that do."""
    for condition in Conditions(store.database, milliseconds).all():
        kind, _, feed = condition.subject.partition(" ")
        if condition.condition not in ("failed", "refused"):
            continue
        subject = "settings" if condition.condition == "refused" else feed
        if kind == "poll":
            text = f"the last poll of {feed} failed: {condition.detail}"
            yield Problem(subject, text, f"correct that; pulseshim poll {feed} asks again now")
        elif kind == "stream" and listening:
            text = f"{feed} is not heard since {rfc3339(condition.since)}: {condition.detail}"
            yield Problem(subject, text, "correct that; the service tries again by itself")


def _directories(directory: Path) -> Iterator[Problem]:
    outbox = directory / "outbox.sqlite3"
    for path in (directory, outbox, directory / "spool" / "new", directory / "spool" / "tmp"):
        if path == outbox and not path.exists() and not holder(directory):
            text = f"there is no outbox in {directory} yet: nothing was read or published"
            yield Problem("store", text, "the first pulseshim run or drain makes it", "warning")
        elif not path.exists():
            yield Problem("store", f"{path} is missing", "pulseshim run or drain makes it")
        elif path.stat().st_uid != os.geteuid():
            text = f"{path} belongs to another user than the one who asks"
            yield Problem("store", text, "run check as the account of pulseshim", "warning")


def _broker(settings: Settings, owned: Mapping[str, str]) -> Iterator[Problem]:
    for name in sorted({"", *settings.broker.accounts} if not owned else set(owned.values())):
        try:
            account = resolve(settings.broker, name, os.environ)
            if account.in_memory:
                text = "broker.url is memory://: no message leaves the process"
                yield Problem("broker", text, "set broker.url to your RabbitMQ, amqps://…", "warning")
            connection = connect(account)
        except SettingsError as error:
            yield Problem("settings", error.problem, error.remedy)
            continue
        except PulseshimError as error:
            yield Problem("broker", error.problem, error.remedy)
            continue
        try:
            for exchange in sorted(
                exchange for exchange, account_name in owned.items() if account_name == name
            ):
                yield from _tried(exchange, connection.declare, connection.check_write)
        finally:
            connection.close()


def _tried(exchange: str, *actions: Callable[[str], None]) -> Iterator[Problem]:
    try:
        for action in actions:
            action(exchange)
    except ExchangeRefused as error:
        yield Problem(exchange, error.problem, error.remedy)
    except PulseshimError as error:
        yield Problem("broker", error.problem, error.remedy)
