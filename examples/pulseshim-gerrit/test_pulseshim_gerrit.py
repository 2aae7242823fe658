"""The plugin, as Gerrit would call it."""

from pulseshim.testing import MemoryState, check_shim, invocation
from pulseshim_gerrit import merged_messages, pulseshim_feeds, read_hook

MERGED = ("--change", "tools~main~I5a1e", "--project", "tools", "--branch", "main", "--newrev", "c0ffee")


def test_a_merged_change_becomes_one_message_under_its_project() -> None:
    """Who binds to a project hears of each change that was merged there."""
    (feed,) = pulseshim_feeds()
    events = read_hook(invocation("gerrit", *MERGED), MemoryState())

    (message,) = check_shim(merged_messages, events, feed.exchange)

    assert message.routing_key == "tools"
    assert message.payload() == {"project": "tools", "change": "tools~main~I5a1e", "commit": "c0ffee"}
