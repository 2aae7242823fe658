"""What is to be seen in the end: everything, in order, without a gap, each copy the same."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import amqp

from tests.faults.ground import Ground

OWN_KEYS = {"large", "poison"}
"""Keys whose events were parked meanwhile, as was foreseen."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many events were accepted and messages came, and how many of those were there already."""

    accepted: int
    messages: int
    duplicates: int
    nacked: int
    parked: int


def judge(ground: Ground, parked: set[str]) -> Verdict:
    """Assert that the consumer has what was accepted, and give what was counted.

    `parked` are the ids of the messages that went out by `parked retry`.
    """
    messages = ground.vhost.take(ground.queue)
    first = _first_copies(messages)
    tries = ground.tries()
    accepted = {words[1]: (words[2], int(words[3])) for words in tries if words[0] == "ok"}
    accepted |= {
        f"line {line}": (f"polled.{(line - 1) % ground.keys}", (line - 1) // ground.keys)
        for line in range(1, ground.polled + 1)
    }
    failed = {words[1] for words in tries if words[0] == "failed"}
    came = {body["payload"]["event"]: body for body in first.values()}

    assert accepted.keys() <= came.keys(), f"lost: {sorted(accepted.keys() - came.keys())[:10]}"
    # A hook whose disk fills up while it makes the file's name durable says "failed" of what is recorded.
    assert came.keys() - accepted.keys() <= failed
    for event, (key, number) in accepted.items():
        body = came[event]
        assert (body["_meta"]["routing_key"], body["payload"]["number"]) == (key, number)
    nacked = _ids(ground, "message nacked")
    assert _ids(ground, "envelope parked") <= parked
    _check_order(first.values(), nacked | parked)
    return Verdict(len(accepted), len(messages), len(messages) - len(first), len(nacked), len(parked))


def _first_copies(messages: Sequence[amqp.Message]) -> dict[str, dict[str, Any]]:
    """Give the first copy of each message, in the order they came; assert that the others are the same."""
    bodies: dict[str, bytes] = {}
    for message in messages:
        known = bodies.setdefault(message.properties["message_id"], message.body)
        assert known == message.body, "two copies of a message differ"
    first = {message_id: json.loads(body) for message_id, body in bodies.items()}
    for message_id, body in first.items():
        assert body["_meta"]["message_id"] == message_id
    return first


def _check_order(bodies: Iterable[dict[str, Any]], excused: set[str]) -> None:
    """Assert that sequences have no gap, and that what was neither nacked nor parked came in order."""
    by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for body in bodies:
        by_key[body["_meta"]["routing_key"]].append(body)
    for key, told in by_key.items():
        in_order = sorted(told, key=lambda body: body["_meta"]["sequence"])
        sequences = [body["_meta"]["sequence"] for body in in_order]
        assert sequences == list(range(1, len(told) + 1)), f"{key}: a gap in {sequences}"
        numbers = [body["payload"]["number"] for body in in_order]
        assert key in OWN_KEYS or numbers == sorted(numbers), f"{key}: not as it was recorded: {numbers}"
        came = [body["_meta"]["sequence"] for body in told if body["_meta"]["message_id"] not in excused]
        assert came == sorted(came), f"{key}: not in order: {came}"


def _ids(ground: Ground, event: str) -> set[str]:
    """Give the messages that the log says something of."""
    return {line["message_id"] for line in ground.logged() if line["event"] == event}
