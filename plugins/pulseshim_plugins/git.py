"""The git plugin: pushes that the post-receive hook recorded, announced on `exchange/gitpushes/v1`."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import click

from pulseshim import Exchange, Feed, HookSource, Problem, Settings, State, hookimpl
from pulseshim.errors import PluginError
from pulseshim_plugins.git_commands import commands
from pulseshim_plugins.git_options import GitOptions, check_options
from pulseshim_shims.git import GitPushMessage, push_messages


@hookimpl
def pulseshim_commands() -> Iterable[click.Command]:
    """Give `hook install git`, `hook remove git` and `hook show git`."""
    return commands()


@hookimpl
def pulseshim_problems(settings: Settings, states: Callable[[str], State], waiting: int) -> Iterable[Problem]:
    """Give what is wrong with the repositories that pushes were recorded in."""
    from pulseshim_plugins.git_check import problems  # noqa: PLC0415 - the reason stands below

    return problems(settings, states("git"), waiting)


@hookimpl
def pulseshim_feeds(settings: Settings) -> Iterable[Feed[Any]]:
    """Give the feed of git pushes."""
    try:
        # GitPython costs 60 ms and runs git once: only those who read pushes pay for it.
        from pulseshim_plugins.git_push import read_push  # noqa: PLC0415
    except ImportError as error:
        raise PluginError(
            "git needs GitPython and git", "pip install 'pulseshim[git]', and install git"
        ) from error

    options = settings.options("git", GitOptions)
    check_options(options, settings.origin)
    exchange = Exchange(
        options.exchange,
        "Pushes to git repositories",
        "One message a push; the routing key is the path of the repository in its public URL.",
        (GitPushMessage,),
    )
    shim = partial(
        push_messages,
        max_bytes=options.max_bytes,
        push_json_url=options.push_json_url,
        push_full_json_url=options.push_full_json_url,
    )
    return [Feed("git", HookSource(partial(read_push, options=options)), shim, exchange)]
