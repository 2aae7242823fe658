"""The promise, tried: what was recorded is published, whatever happens to machine, broker and service.

The long form is `make soak`; both carry out plans of the same faults on the same ground.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.faults.conftest import BLOWS, MOMENTS, SHORT, SPELLS, plan, soak

if TYPE_CHECKING:
    from tests.faults.conftest import Ground

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

SEED = 1
EVENTS, KEYS = 1800, 10
AT_COMMITS = ("outbox.store", "outbox.confirm")


def test_nothing_is_lost_when_everything_goes_wrong(make_ground: Callable[[int, int], "Ground"]) -> None:
    """All is there, in order, without a gap; parked is what was refused, and goes out by `parked retry`."""
    steps = plan(SEED, SHORT, {where: MOMENTS[where] for where in AT_COMMITS})
    ground = make_ground(EVENTS, KEYS)

    outcome = soak(ground, steps, SEED)

    assert {*BLOWS, *SPELLS} <= outcome.faults.keys()
    assert outcome.verdict.accepted >= EVENTS
    assert outcome.verdict.nacked
    assert outcome.verdict.duplicates <= outcome.most_duplicates
    assert outcome.kinds.keys() == {"envelope", "file", "invocation"}
    assert outcome.starts > len(AT_COMMITS) * 2
