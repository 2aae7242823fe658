"""The hg plugin: transactions that the hook recorded, announced on the exchanges of hgpushes and of code."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import click

from pulseshim import Exchange, Feed, HookSource, Problem, Settings, State, hookimpl, seconds
from pulseshim.errors import PluginError
from pulseshim_plugins.hg_commands import commands
from pulseshim_plugins.hg_options import HgOptions, check_options
from pulseshim_plugins.hg_server import HgFailed, Servers, program
from pulseshim_plugins.hg_transaction import read_transaction
from pulseshim_shims.hg import V2_MESSAGES, HgPushesMessage, v1_messages, v2_messages
from pulseshim_shims.hg_code import CODE_MESSAGES, code_messages


@hookimpl
def pulseshim_commands() -> Iterable[click.Command]:
    """Give `hook install hg`, `hook remove hg` and `hook show hg`."""
    return commands()


@hookimpl
def pulseshim_problems(settings: Settings, states: Callable[[str], State]) -> Iterable[Problem]:
    """Give what is wrong with the repositories that transactions were recorded in."""
    from pulseshim_plugins.hg_check import problems  # noqa: PLC0415 - only `check` needs it

    return problems(settings, states("hg"))


@hookimpl
def pulseshim_feeds(settings: Settings) -> Iterable[Feed[Any]]:
    """Give the feeds that are on: all are of one reading, and what comes of it is stored in one step."""
    try:
        program()
    except HgFailed as error:
        raise PluginError(error.problem, error.remedy) from error
    options = settings.options("hg", HgOptions)
    check_options(options, settings.origin)
    servers = Servers(seconds(options.idle))
    source = HookSource(partial(read_transaction, options=options, servers=servers))
    exchanges, limit = options.exchanges, options.max_bytes
    feeds = {
        "v1": (
            partial(v1_messages, max_bytes=limit),
            Exchange(
                exchanges.v1,
                "Pushes to Mercurial repositories, version 1",
                "One message a push; the routing key is the path of the repository in its public URL.",
                (HgPushesMessage,),
            ),
        ),
        "v2": (
            partial(v2_messages, max_bytes=limit),
            Exchange(
                exchanges.v2,
                "What happens in Mercurial repositories",
                "Messages of several types, and new ones any time: consumers ignore those they do not know."
                " The routing key is the path of the repository in its public URL.",
                V2_MESSAGES,
            ),
        ),
        "code": (
            partial(code_messages, max_bytes=limit),
            Exchange(
                exchanges.code,
                "Pushes and changesets",
                "One message a push, `hg.push.` and the words of the repository's path, and one for each of"
                " its changesets, `hg.commit.` and the same words.",
                CODE_MESSAGES,
            ),
        ),
    }
    return [
        Feed("hg", source, *feeds[name], options.accounts.get(name))
        for name in feeds
        if name in options.feeds
    ]
