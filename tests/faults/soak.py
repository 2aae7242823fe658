"""A run in which everything goes wrong: the plan carried out, the ground healed, the verdict given."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from tests.faults.ground import WINDOW, Ground, wait_until
from tests.faults.plan import Step, faults
from tests.faults.trouble import BLOWS, SPELLS, arm, pause
from tests.faults.verdict import Verdict, judge

LIMIT = 64 << 20
"""The largest message, in bytes, that the broker takes once it is healed."""
REASONS = {
    "invocation": ("RuntimeError: the plugin is broken",),
    "file": ("its name is not one that a recorder gives",),
    "envelope": ("exchange/fault/", "message size", "larger than", "access to exchange", "no exchange"),
}
"""Why something may be parked: words of the cause, by kind."""
LOSSES = ("connection cut", "black hole", "connection stalled", "locked out", "permission taken")
ENDS = ("service killed", "broker restarted", "broker killed", "exchange deleted", "exchange of another type")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run was, and what came of it."""

    faults: Counter[str]
    verdict: Verdict
    kinds: Counter[str]
    starts: int
    exits: Counter[int]

    @property
    def most_duplicates(self) -> int:
        """Give how many duplicates there may be: a window for each connection or process that was lost."""
        counted = sum(self.faults[name] for name in (*LOSSES, *ENDS)) + self.starts
        return counted * WINDOW


def carry_out(
    ground: Ground, steps: Sequence[Step], chance: random.Random, tell: Callable[[int, Step], None]
) -> None:
    """Take the steps one by one; with each, hooks and poll feed may go on by as much."""
    for number, step in enumerate(steps, 1):
        tell(number, step)
        deaths = len(ground.deaths())
        with SPELLS[step.spell](ground) if step.spell else nullcontext():
            if step.moment:
                arm(ground, step.moment)
            ground.progress(number / len(steps))
            pause(chance)
            for blow in step.blows:
                BLOWS[blow](ground)
                pause(chance)
            if step.moment:
                wait_until(lambda seen=deaths: len(ground.deaths()) > seen, f"killed at {step.moment}")  # type: ignore[misc] # mypy infers no type for a default
            pause(chance)
    wait_until(ground.hooks_are_quiet, "the hooks have recorded everything")


def heal(ground: Ground) -> tuple[Counter[str], set[str]]:
    """Let everything go out, what is parked by `parked retry`.

    Give how much of each kind was parked, and the ids of the messages: who is killed behind the commit that
    parks one does not log it.
    """
    wait_until(lambda: _left(ground) == 0, "spool and outbox are empty")
    kinds: Counter[str] = Counter()
    messages: set[str] = set()
    for item in ground.parked():
        kinds[item["kind"]] += 1
        if item["kind"] == "envelope":
            messages.add(item["subject"])
        assert any(words in item["cause"] for words in REASONS[item["kind"]]), item
        if item["kind"] == "file":
            ground.verb("parked", "discard", str(item["id"]))
    _raise_limit(ground)
    for side in ("before", "after"):
        if ground.parked():
            (ground.control / "die").write_text(f"parked.retry {side} 1")
            assert ground.verb("parked", "retry", "--all").returncode < 0
    if ground.parked():
        assert ground.verb("parked", "retry", "--all").returncode == 0
    wait_until(lambda: _left(ground) == 0 and not ground.parked(), "what was parked has gone out")
    return kinds, messages


def _raise_limit(ground: Ground) -> None:
    """Let the broker take larger messages, as whoever runs it would: a setting and a restart."""
    file = ground.node.directory / "rabbitmq.conf"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("max_message_size")]
    file.write_text("\n".join([*lines, f"max_message_size = {LIMIT}", ""]))
    ground.node.stop()
    ground.node.start()


def _left(ground: Ground) -> int:
    status = ground.status()
    left: int = status["spool"]["count"] + status["outbox"]["count"]
    return left


def soak(
    ground: Ground, steps: Sequence[Step], seed: int, tell: Callable[[int, Step], None] = lambda *_: None
) -> Outcome:
    """Make all the trouble, heal it, and assert that the promise was kept."""
    carry_out(ground, steps, random.Random(seed), tell)
    polled = ground.polled
    wait_until(lambda: _polled(ground) == polled, "the poll feed has read everything")
    kinds, parked = heal(ground)
    starts = len(ground.service.ends) + 1
    stopped = ground.service.stop()
    drained = ground.verb("drain")
    verdict = judge(ground, parked)
    assert (stopped, drained.returncode) == (0, 0), drained.stderr
    return Outcome(faults(list(steps)), verdict, kinds, starts, Counter(ground.service.ends))


def _polled(ground: Ground) -> int:
    cursors = {row["feed"]: row["value"] for row in ground.status()["cursors"] if row["field"] == "line"}
    return int(cursors.get("fault.polls", 0))
