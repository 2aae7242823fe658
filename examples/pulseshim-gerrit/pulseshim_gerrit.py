"""Announce what a Gerrit server merges. Its hook `change-merged` runs: pulseshim emit gerrit -- "$@"."""

from collections.abc import Iterator
from typing import ClassVar

from pulseshim import (
    Exchange,
    Feed,
    HookSource,
    Invocation,
    Message,
    State,
    bounded_routing_key,
    hookimpl,
    readable,
)


class ChangeMerged(Message, frozen=True, kw_only=True):
    """A change that was submitted and is now part of its branch."""

    type: ClassVar[str] = "gerrit.change-merged"
    project: str
    branch: str
    change: str
    commit: str


def read_hook(invocation: Invocation, _state: State) -> Iterator[dict[str, str]]:
    """Give what Gerrit told its hook: options and their values, by turns."""
    words = [readable(word) for word in invocation.arguments]
    yield dict(zip(words[::2], words[1::2], strict=True))


def merged_messages(event: dict[str, str]) -> Iterator[ChangeMerged]:
    """Give the message of a merged change."""
    project, change, commit = event["--project"], event["--change"], event["--commit"]
    key, event_id = bounded_routing_key(project), f"{change} {commit}"
    yield ChangeMerged(
        routing_key=key,
        event_id=event_id,
        project=project,
        branch=event["--branch"],
        change=change,
        commit=commit,
    )


@hookimpl
def pulseshim_feeds() -> list[Feed[dict[str, str]]]:
    """Give the one feed there is; its routing key is the project."""
    exchange = Exchange("exchange/gerrit/v1", "Gerrit", "Changes that were merged.", (ChangeMerged,))
    return [Feed("gerrit", HookSource(read_hook), merged_messages, exchange)]
