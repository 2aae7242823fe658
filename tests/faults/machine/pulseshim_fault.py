"""A plugin with two feeds of numbers: one that hooks tell of, one that is asked."""

import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, NamedTuple

from pulseshim import Checkpoint, Exchange, Feed, HookSource, Invocation, Message, PollSource, State, hookimpl

CONTROL = Path(os.environ["FAULT_CONTROL"])
HUGE = 17 << 20
"""More bytes than the broker of the tests takes in one message."""
AT_ONCE = 20


class Number(Message, frozen=True, kw_only=True):
    """The next number of a routing key."""

    type: ClassVar[str] = "fault.number"
    event: str
    number: int
    filling: str = ""


class Event(NamedTuple):
    """What a source says: an identity, a routing key, a number, and what is special about it."""

    identity: str
    key: str
    number: int
    kind: str


def read(invocation: Invocation, state: State) -> Iterator[Event]:
    """Give the event of an invocation; fail on a poisonous one for as long as the plugin is broken."""
    state.set("last", {"number": str(int(state.get("last").get("number", "0")) + 1)})
    key, number, kind = invocation.arguments
    yield Event(invocation.id, key, int(number), kind)
    if kind == "poison" and (CONTROL / "broken").exists():
        raise RuntimeError("the plugin is broken")


def poll(state: State) -> Iterator[Event | Checkpoint]:
    """Give the lines of a file that were not there before, some at a time."""
    lines = (CONTROL / "polled").read_text().splitlines()
    seen = int(state.get("cursor").get("line", "0"))
    for position, line in enumerate(lines[seen:], seen + 1):
        key, number = line.split()
        yield Event(f"line {position}", key, int(number), "plain")
        state.set("cursor", {"line": str(position)})
        if position % AT_ONCE == 0:
            yield Checkpoint()


def messages(event: Event) -> Iterator[Number]:
    """Give the message of an event."""
    filling = "x" * HUGE if event.kind == "huge" else ""
    yield Number(
        routing_key=event.key,
        event_id=event.identity,
        event=event.identity,
        number=event.number,
        filling=filling,
    )


@hookimpl
def pulseshim_feeds() -> Iterable[Feed[Event]]:
    """Give both feeds."""
    exchange = Exchange("exchange/fault/", "Numbers", "Numbers.", (Number,))
    asked = PollSource(poll, every=timedelta(seconds=0.5))
    return [
        Feed("fault", HookSource(read), messages, exchange),
        Feed("fault.polls", asked, messages, exchange),
    ]
