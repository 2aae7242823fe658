"""Announce what a Gerrit server merges. Its hook `change-merged` runs: pulseshim emit gerrit -- "$@"."""

from collections.abc import Iterator
from typing import ClassVar

from pulseshim import Exchange, Feed, HookSource, Invocation, Message, State, hookimpl, readable


class ChangeMerged(Message, frozen=True, kw_only=True):
    """A change that was submitted; `commit` is what its branch points to now."""

    type: ClassVar[str] = "gerrit.change-merged"
    project: str
    change: str
    commit: str


def read_hook(invocation: Invocation, _state: State) -> Iterator[dict[str, str]]:
    """Give what Gerrit told its hook: options and their values, by turns."""
    words = [readable(word) for word in invocation.arguments]
    yield dict(zip(words[::2], words[1::2], strict=True))


def merged_messages(event: dict[str, str]) -> Iterator[ChangeMerged]:
    """Give the message of a merged change, under the name of its project."""
    project, change, commit = event["--project"], event["--change"], event["--newrev"]
    identity = f"{change} {commit}"
    yield ChangeMerged(routing_key=project, event_id=identity, project=project, change=change, commit=commit)


@hookimpl
def pulseshim_feeds() -> list[Feed[dict[str, str]]]:
    """Give the one feed there is."""
    exchange = Exchange("exchange/gerrit/v1", "Gerrit", "Changes that were merged.", (ChangeMerged,))
    return [Feed("gerrit", HookSource(read_hook), merged_messages, exchange)]
