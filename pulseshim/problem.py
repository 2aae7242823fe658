"""A problem that `check` found, with its remedy."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in one sentence, what to do about it, and how bad it is.

    An `error` keeps events from being recorded or published; a `warning` does not.
    """

    subject: str
    text: str
    remedy: str
    severity: Literal["error", "warning"] = "error"
