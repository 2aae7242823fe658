"""What happens on the ground, step by step: made by chance from a seed, so that it can happen again."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.faults.trouble import BLOWS, MOMENTS, SPELLS


@dataclass(frozen=True, slots=True)
class Step:
    """A spell, the blows that fall meanwhile, and the moment to be killed at; each may be empty."""

    spell: str = ""
    blows: tuple[str, ...] = ()
    moment: str = ""


LONG: Mapping[str, int] = {
    "connection cut": 60,
    "service killed": 14,
    "broker restarted": 3,
    "broker killed": 3,
    "exchange deleted": 4,
    "foreign file": 2,
    "message too large": 1,
    "clock set forward": 2,
    "clock set back": 2,
    "black hole": 3,
    "connection stalled": 3,
    "connection slow": 4,
    "memory alarm": 3,
    "disk alarm": 3,
    "exchange of another type": 3,
    "permission taken": 3,
    "locked out": 3,
    "queue full": 3,
    "disk full": 4,
    "plugin broken": 1,
}
SHORT: Mapping[str, int] = {
    **dict.fromkeys((*BLOWS, *SPELLS), 1),
    "connection cut": 6,
    "service killed": 2,
    "poison": 0,
}
ALONE = frozenset({"clock set forward", "clock set back", "message too large", "foreign file"})
"""Blows that need the service to work, or the disk to have room, around them."""
NESTED = ("connection cut", "service killed", "exchange deleted", "broker killed")
APART = {("queue full", "broker killed")}
"""What is not tried together: RabbitMQ cuts a queue down to the length of its policy when it starts."""
SIDES = ("before", "after")


def plan(
    seed: int, counts: Mapping[str, int], moments: Mapping[str, tuple[str, tuple[str, ...]]]
) -> list[Step]:
    """Give steps that hold each fault as often as asked; half of those that may, fall into a spell."""
    chance = random.Random(seed)
    spells = [[name] for name in SPELLS for _ in range(counts[name])]
    alone: list[Step] = []
    for name in BLOWS:
        for _ in range(counts.get(name, 0)):
            if name in NESTED and chance.random() < 0.5:
                chance.choice([spell for spell in spells if (spell[0], name) not in APART]).append(name)
            else:
                alone.append(Step(blows=(name,)))
    steps = [*alone, *(_within(spell, blows) for spell, *blows in spells)]
    steps += [
        Step(spell, blows, f"{where} {side}")
        for where, (spell, blows) in moments.items()
        for side in SIDES
        if (where, side) != ("spool.remove", "after")
    ]
    chance.shuffle(steps)
    return steps


def _within(spell: str, blows: list[str]) -> Step:
    """Give a spell with the blows that fall into it; a plugin that is broken meets something to fail on."""
    return Step(spell, (*blows, "poison") if spell == "plugin broken" else tuple(blows))


def faults(steps: list[Step]) -> Counter[str]:
    """Give how often each fault happens in some steps."""
    counts: Counter[str] = Counter()
    for step in steps:
        counts.update([name for name in (step.spell, *step.blows) if name])
        if step.moment:
            counts[f"killed at a commit: {step.moment}"] += 1
    return counts


__all__ = ["LONG", "MOMENTS", "SHORT", "Step", "faults", "plan"]
