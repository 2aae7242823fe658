"""How things are measured: in turn, several rounds, medians of ratios."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Literal


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    target: str
    measured: str
    spread: str
    met: bool


def seconds_of(action: Callable[[], object]) -> float:
    """Give how long an action takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def in_turn(rounds: int, *actions: Callable[[], float]) -> list[list[float]]:
    """Give what each action measured in each round; the actions of a round are run one after the other.

    Every other round goes backwards, so that none has the better place.
    """
    for action in actions:
        action()
    measured = []
    for number in range(rounds):
        order = actions if number % 2 == 0 else actions[::-1]
        found = [action() for action in order]
        measured.append(found if number % 2 == 0 else found[::-1])
    return [list(column) for column in zip(*measured, strict=True)]


def ratio_row(
    what: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    sense: Literal["at most", "at least"],
    target: float,
) -> Row:
    """Give the row of a ratio, ours to theirs, round by round."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    low, _, high = quantiles(ratios, n=4)
    middle = median(ratios)
    met = middle <= target if sense == "at most" else middle >= target
    return Row(what, f"{sense} {target:g} ×", f"{middle:.2f} ×", f"{low:.2f} to {high:.2f}", met)


def quantity_row(what: str, measured: Sequence[float]) -> Row:
    """Give the row of a quantity that has no target: it says how far a bound is."""
    low, middle, high = quantiles(measured, n=4)
    return Row(what, "", f"{middle:,.0f}", f"{low:,.0f} to {high:,.0f}", met=True)


def run(
    command: Sequence[str], directory: Path, stdin: bytes = b"", environ: dict[str, str] | None = None
) -> None:
    """Run a process to its end; it has to succeed."""
    subprocess.run(command, cwd=directory, input=stdin, env=environ, check=True, capture_output=True)


def git_environ() -> dict[str, str]:
    """Give an environment in which git depends on nobody's configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PULSESHIM_"))}
    names = {
        f"GIT_{role}_{what}": "bench@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    return {**kept, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
