"""The buildbot plugin: builds and what belongs to them, announced on `exchange/build/`."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pulseshim import (
    Exchange,
    Feed,
    Problem,
    PulseshimError,
    Settings,
    SettingsError,
    State,
    StreamSource,
    hookimpl,
)
from pulseshim.errors import PluginError
from pulseshim_plugins.buildbot_options import masters
from pulseshim_plugins.buildbot_recorded import read_build
from pulseshim_shims.buildbot import buildbot_messages
from pulseshim_shims.buildbot_message import MESSAGES


@hookimpl
def pulseshim_problems(
    settings: Settings,
    states: Callable[[str], State],  # noqa: ARG001 - the hook has it
    waiting: int,  # noqa: ARG001 - as above
) -> Iterable[Problem]:
    """Give the masters that cannot be read, and why: those that refuse it, or are none, as wrong settings."""
    from pulseshim_plugins.buildbot_client import Client  # noqa: PLC0415 - the reason stands below

    for name, options in masters(settings).items():
        try:
            with Client(options) as client:
                client.rows("masters")
        except SettingsError as error:
            yield Problem("settings", f"buildbot.{name}: {error.problem}", error.remedy)
        except PulseshimError as error:
            yield Problem(f"buildbot.{name}", error.problem, error.remedy)


@hookimpl
def pulseshim_feeds(settings: Settings) -> Iterable[Feed[Any]]:
    """Give the feed of each master."""
    try:
        # urllib3 and websockets cost 100 ms: only those who listen pay for them.
        from pulseshim_plugins.buildbot_listen import catch_up, listen, rewind  # noqa: PLC0415
    except ImportError as error:
        raise PluginError(
            "buildbot needs urllib3 and websockets", "pip install 'pulseshim[buildbot]'"
        ) from error

    return [
        Feed(
            f"buildbot.{name}",
            StreamSource(
                partial(listen, options=options),
                read=partial(read_build, options=options),
                poll=partial(catch_up, options=options),
                rewind=partial(rewind, options=options),
            ),
            partial(buildbot_messages, hide=options.hide_properties, max_bytes=options.max_bytes),
            Exchange(
                options.exchange,
                "Builds of a Buildbot master",
                "Builds, steps, changes, requests and workers; the routing key begins with what it is about.",
                MESSAGES,
            ),
            options.account,
        )
        for name, options in masters(settings).items()
    ]
