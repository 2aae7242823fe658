"""What is wrong with the servers that are polled, for `check`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pulseshim import Problem, PulseshimError, Settings, SettingsError
from pulseshim_plugins.bugzilla_client import Client
from pulseshim_plugins.bugzilla_options import Server, read_servers

_SKEW = timedelta(minutes=1)


def problems(settings: Settings, now: datetime) -> Iterator[Problem]:
    """Ask each server for its time, with its key; give what came up. `now` is ours."""
    servers = read_servers(settings)
    if not servers:
        text = "plugins.bugzilla has no server, nothing is polled"
        yield Problem("bugzilla", text, "add a table [plugins.bugzilla.servers.NAME] with a url", "warning")
    for server in servers:
        yield from _asked(server, now)


def _asked(server: Server, now: datetime) -> Iterator[Problem]:
    feed = f"bugzilla.{server.name}"
    client = Client(server, server.read_key())
    try:
        client.connect()
        at = datetime.fromisoformat(client.time()).replace(tzinfo=UTC)
        # A key by parameter that is not known is refused by the first search alone.
        client.search(at.strftime("%Y-%m-%dT%H:%M:%S"), limit=1)
    except SettingsError as error:
        yield Problem("settings", error.problem, error.remedy)
    except PulseshimError as error:
        yield Problem(feed, error.problem, error.remedy)
    else:
        if abs(at - now) > _SKEW:
            text = f"the clock of {server.url} differs from ours by {abs(at - now).total_seconds():.0f} s"
            yield Problem(feed, text, "nothing is lost by it; see which of the two is wrong", "warning")
    finally:
        client.close()
