"""One poll of a Bugzilla into a new store: prints the seconds, and the peak memory in MiB."""

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pulseshim import Feed, PollSource, Settings, State
from pulseshim.settings import StoreSettings
from pulseshim.source import Outlet, poll
from pulseshim.store import open_store
from pulseshim_plugins.bugzilla import pulseshim_feeds

S = TypeVar("S", bound=State)

BEGIN = {"time": "2026-11-24T13:00:00", "begin": "2026-11-24T13:00:00"}
"""A cursor behind the filing of the stand-in's bugs and before their changes."""


def settings(url: str, directory: Path) -> Settings:
    """Give settings for that server and a store in that directory."""
    tables = {"bugzilla": {"servers": {"main": {"url": url}}}}
    return Settings(store=StoreSettings(directory=str(directory)), plugins=tables)


def source(url: str) -> tuple[Feed[Any], PollSource[Any]]:
    """Give the feed of a server, and its source."""
    (feed,) = pulseshim_feeds(settings(url, Path()))
    if not isinstance(feed.source, PollSource):
        raise TypeError(feed.name)
    return feed, feed.source


def set_back(state: S) -> S:
    """Let a poll begin where nothing has been read yet."""
    state.set("cursor", BEGIN)
    return state


def stored(url: str, directory: Path) -> Iterator[int]:
    """Poll into a store; give how many messages came of each step."""
    feed, asked = source(url)
    store = open_store(settings(url, directory))
    outbox = store.outbox
    outbox.store([], state=set_back(outbox.state(feed.name)))
    for envelopes in poll(outbox, [Outlet(feed, "")], asked):
        yield len(envelopes)
    store.close()


if __name__ == "__main__":
    begin = time.perf_counter()
    count = sum(stored(sys.argv[1], Path(sys.argv[2])))
    taken = time.perf_counter() - begin
    print(count, taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
