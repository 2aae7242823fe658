"""Pushes of many changesets: read in batches, announced whole, with messages of bounded size."""

import tracemalloc
from typing import TYPE_CHECKING

from pulseshim_plugins.hg_options import HgOptions
from pulseshim_plugins.hg_transaction import read_transaction

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer

MANY = 4500


def test_a_push_of_many_changesets_streams(server: "HgServer") -> None:
    """Each comes once, in order, over the ends of batches; the heads are asked for; memory stays small."""
    repository = server.init()
    server.hg("debugbuilddag", "-q", f"+{MANY}", cwd=repository)
    (invocation,) = server.invocations()
    options = HgOptions(repositories={str(server.root): "https://hg.example.org"})
    events = read_transaction(invocation, server.state, options, server.servers)

    tracemalloc.start()
    transaction = next(events)
    nodes = [event.node for event in events]  # type: ignore[union-attr]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    expected = tuple(server.hg("log", "-r", "all()", "-T", "{node} ", cwd=repository).split())
    assert tuple(nodes) == transaction.changesets == expected  # type: ignore[union-attr]
    assert transaction.heads == expected[-1:]  # type: ignore[union-attr]
    assert peak < 32 * 1024 * 1024
