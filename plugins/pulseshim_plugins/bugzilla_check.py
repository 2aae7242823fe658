"""What is wrong with the servers that are polled, for `check`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pulseshim import Problem, PulseshimError, Settings, SettingsError
from pulseshim_plugins.bugzilla_client import Client
from pulseshim_plugins.bugzilla_options import Server, read_servers

_SKEW = timedelta(minutes=1)
_LOOKED_AT = timedelta(days=1)
_AT_ONCE = 200


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
        weak = _paging(client, at)
    except SettingsError as error:
        yield Problem("settings", error.problem, error.remedy)
    except PulseshimError as error:
        yield Problem(feed, error.problem, error.remedy)
    else:
        if weak:
            yield Problem(feed, *weak, "warning")
        if abs(at - now) > _SKEW:
            text = f"the clock of {server.url} differs from ours by {abs(at - now).total_seconds():.0f} s"
            yield Problem(feed, text, "nothing is lost by it; see which of the two is wrong", "warning")
    finally:
        client.close()


def _paging(client: Client, at: datetime) -> tuple[str, str] | None:
    """Give what is weak in how the server pages the bugs of the last day, and the remedy; None: nothing."""
    since, now = ((at - ago).strftime("%Y-%m-%dT%H:%M:%S") for ago in (_LOOKED_AT, timedelta()))
    page = client.search(since, limit=_AT_ONCE)
    rest = client.search(since, limit=_AT_ONCE, offset=len(page)) if page else []
    url = client.server.url
    if rest and rest[0] == page[0]:
        text = (
            f"{url} takes no notice of offset: where more bugs change in a second than it shows, a poll fails"
        )
        return text, "see what removes it on the way"
    # A bug that changed between the two stands behind the first page, too.
    if rest and rest[0][0] < now and len(page) < _AT_ONCE:
        text = f"{url} shows no more than {len(page)} at once: many bugs take many requests"
        return text, f"raise its max_search_results to {_AT_ONCE} at least"
    return None
