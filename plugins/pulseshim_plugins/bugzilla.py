"""The Bugzilla plugin: bugs that changed, announced on `exchange/bugzilla/simple`, one feed a server."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from pulseshim import Exchange, Feed, PollSource, Problem, Settings, State, hookimpl, seconds
from pulseshim.errors import PluginError
from pulseshim_plugins.bugzilla_options import Server, read_servers
from pulseshim_shims.bugzilla import (
    CHANGES,
    BugEvent,
    SimpleBugMessage,
    change_messages,
    simple_messages,
)


@hookimpl
def pulseshim_problems(settings: Settings, states: Callable[[str], State], waiting: int) -> Iterable[Problem]:  # noqa: ARG001 - pluggy passes what is named
    """Give what is wrong with the servers: each is asked."""
    if "bugzilla" not in settings.plugins:
        return []
    from pulseshim_plugins.bugzilla_check import problems  # noqa: PLC0415 - the reason stands below

    return problems(settings, datetime.now(UTC))


@hookimpl
def pulseshim_feeds(settings: Settings) -> Iterable[Feed[Any]]:
    """Give the feeds: for each server that of ids and times, and that of public changes where it is on."""
    return [feed for server in read_servers(settings) for feed in _feeds(server)]


def _feeds(server: Server) -> list[Feed[BugEvent]]:
    try:
        # python-bugzilla and requests cost 100 ms: only those who poll pay for it.
        from pulseshim_plugins.bugzilla_admit import Gatekeeper  # noqa: PLC0415
        from pulseshim_plugins.bugzilla_poll import Poller  # noqa: PLC0415
    except ImportError as error:
        raise PluginError("bugzilla needs python-bugzilla", "pip install 'pulseshim[bugzilla]'") from error
    options = server.options
    poller = Poller(server)
    source: PollSource[BugEvent] = PollSource(
        poller.poll, server.schedule, jitter=seconds(options.jitter), rewind=poller.rewind
    )
    name = f"bugzilla.{server.name}"
    simple = Exchange(
        options.exchange,
        "Changed bugs",
        "One message a change: id and time of the bug. The routing key is the id.",
        (SimpleBugMessage,),
    )
    feeds: list[Feed[BugEvent]] = [Feed(name, source, simple_messages, simple, options.account)]
    if options.changes:
        full = Exchange(
            options.changes_exchange,
            "Changes of public bugs",
            "One message for each field that changed. The routing key says what happened, to which field.",
            CHANGES,
        )
        admit = Gatekeeper(server).admit
        feeds.append(Feed(name, source, change_messages, full, options.account, admit))
    return feeds
