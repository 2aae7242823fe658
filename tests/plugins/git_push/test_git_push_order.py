"""The order of pushes: read late, recorded by a wrong clock, or by hooks that overtook each other."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pulseshim import Invocation
from pulseshim_plugins.git_push import drift

if TYPE_CHECKING:
    from tests.plugins.git_push.conftest import Pushes


def recorded_earlier(recorded: Invocation, *, minutes: int) -> Invocation:
    """Give an invocation as it would be, had its hook been at work so many minutes before."""
    return replace(recorded, recorded_at=recorded.recorded_at - timedelta(minutes=minutes))


def ids(payload: dict[str, Any]) -> list[str]:
    """Give the commits that a message tells."""
    return [commit["id"] for update in payload["updates"] for commit in update["commits"]]


def drifted(pushes: "Pushes") -> list[str]:
    """Give the names of refs that are not what is remembered as announced."""
    announced = pushes.state.get(f"refs:{pushes.bare}")
    return [each.ref for each in drift(str(pushes.bare), announced, timeout=30)]


def remember_a_time(pushes: "Pushes", *, minutes: int) -> None:
    """Change when the latest push was recorded to so many minutes later, as a clock would that is ahead."""
    key = f"repository:{pushes.bare}"
    record = pushes.state.get(key)
    pushes.state.set(key, {**record, "recorded_at": str(int(record["recorded_at"]) + minutes * 60 * 10**6)})


def test_a_parked_push_that_comes_late_sets_nothing_back(pushes: "Pushes") -> None:
    """A push that is retried after later ones is told, and leaves what those announced."""
    pushes.commit("One")
    first = recorded_earlier(pushes.push("main"), minutes=3)
    two = pushes.commit("Two")
    parked = recorded_earlier(pushes.push("main"), minutes=2)
    three = pushes.commit("Three")
    third = recorded_earlier(pushes.push("main"), minutes=1)

    payloads = pushes.read(first, third, parked)

    assert ids(payloads[2]) == [two]
    assert pushes.state.get(f"refs:{pushes.bare}") == {"refs/heads/main": three}


@pytest.mark.parametrize(("steps", "known"), [(2, True), (3, True), (2, False)])
def test_a_parked_push_from_a_value_that_the_ref_came_back_to_sets_nothing_back(
    pushes: "Pushes", steps: int, *, known: bool
) -> None:
    """What it began with is what the ref is now, but only because of later pushes."""
    one = pushes.commit("One")
    first = recorded_earlier(pushes.push("main"), minutes=40)
    if known:
        pushes.read(first)
    parked = []
    for minutes in (30, 20)[: steps - 1]:
        pushes.commit("Aside")
        parked.append(recorded_earlier(pushes.push("main"), minutes=minutes))
    back = recorded_earlier(pushes.push(f"+{one}:main"), minutes=10)

    payloads = pushes.read(back, *parked)

    assert [len(ids(payload)) for payload in payloads] == [0, *[1] * (steps - 1)]
    assert drifted(pushes) == []
    pushes.commit("Aside again")
    pushes.read(pushes.push("main"))
    assert drifted(pushes) == []


@pytest.mark.parametrize("known", [False, True])
def test_a_baseline_that_comes_late_sets_nothing_back(pushes: "Pushes", *, known: bool) -> None:
    """It was parked with the push after it, and is retried with that when a later push was read."""
    one = pushes.commit("One")
    pushes.git("push", "-q", "origin", "main")
    if known:
        pushes.read(recorded_earlier(pushes.recorded(b"", {}, "baseline"), minutes=40))
    refs = f"{one} refs/heads/main\n".encode()
    baseline = recorded_earlier(pushes.recorded(refs, {}, "baseline"), minutes=30)
    two = pushes.commit("Two")
    parked = recorded_earlier(pushes.push("main"), minutes=20)
    three = pushes.commit("Three")
    last = recorded_earlier(pushes.push("main"), minutes=10)

    payloads = pushes.read(last, baseline, parked)

    assert [ids(payload) for payload in payloads] == [[three], [two]]
    assert drifted(pushes) == []
    assert pushes.updates("main:branch")[0]["commits"] == []


def test_a_push_that_a_baseline_has_seen_sets_nothing_back(pushes: "Pushes") -> None:
    """It was parked, and the hook was installed again before it was retried."""
    pushes.commit("One")
    pushes.read(recorded_earlier(pushes.push("main"), minutes=40))
    pushes.commit("Two")
    parked = recorded_earlier(pushes.push("main"), minutes=30)
    pushes.commit("Three")
    pushes.push("main")
    refs = pushes.git("for-each-ref", "--format=%(objectname) %(refname)", cwd=pushes.bare) + "\n"
    baseline = recorded_earlier(pushes.recorded(refs.encode(), {}, "baseline"), minutes=20)

    pushes.read(baseline, parked)

    assert drifted(pushes) == []
    assert not pushes.state.counts


def test_a_baseline_of_a_repository_that_became_public_counts_however_old(pushes: "Pushes") -> None:
    """While it was private nothing was announced, so that there is nothing to set back."""
    pushes.commit("One")
    pushes.read(pushes.push("main"))
    pushes.git("config", "pulseshim.url", "", cwd=pushes.bare)
    pushes.read(pushes.push("main:aside"))
    pushes.git("config", "--unset", "pulseshim.url", cwd=pushes.bare)
    refs = pushes.git("for-each-ref", "--format=%(objectname) %(refname)", cwd=pushes.bare) + "\n"

    pushes.read(recorded_earlier(pushes.recorded(refs.encode(), {}, "baseline"), minutes=10))

    assert drifted(pushes) == []


@pytest.mark.parametrize("at_reading", [False, True])
@pytest.mark.parametrize("minutes", [1, 23 * 60])
def test_after_a_clock_that_was_ahead_nothing_is_told_twice(
    pushes: "Pushes", minutes: int, *, at_reading: bool
) -> None:
    """Its push does not make later ones late, whose news would be forgotten, whatever clock read it."""
    pushes.commit("One")
    pushes.read(recorded_earlier(pushes.push("main"), minutes=-minutes))
    if at_reading:
        remember_a_time(pushes, minutes=minutes)
    two = pushes.commit("Two")
    pushes.git("push", "-q", "origin", f"{two}:refs/heads/aside")
    pushes.git("update-ref", "refs/heads/main", two, cwd=pushes.bare)
    pushes.git("update-ref", "-d", "refs/heads/aside", cwd=pushes.bare)
    three = pushes.commit("Three")

    payloads = pushes.read(pushes.push("main"), pushes.push("main:branch"))

    assert [ids(payload) for payload in payloads] == [[three], []]
    assert drifted(pushes) == []


def test_a_clock_that_was_set_back_loses_no_ref(pushes: "Pushes") -> None:
    """Pushes that follow one another are in order, whatever their times say."""
    pushes.commit("One")
    first = pushes.push("main")
    two = pushes.commit("Two")
    second = replace(pushes.push("main"), recorded_at=first.recorded_at - timedelta(hours=1))

    pushes.read(first, second)

    assert pushes.state.get(f"refs:{pushes.bare}") == {"refs/heads/main": two}


@pytest.mark.parametrize("order", [(1, 0), (2, 1, 0), (2, 0, 1)])
def test_pushes_whose_hooks_overtook_each_other_leave_the_latest_value(
    pushes: "Pushes", order: tuple[int, ...]
) -> None:
    """Each commit is told once, and what is announced in the end is what the ref is."""
    pushes.commit()
    pushes.read(pushes.push("main"))
    commits, recorded = [], []
    for _ in order:
        commits.append(pushes.commit())
        recorded.append(pushes.push("main"))
    at = recorded[0].recorded_at
    overtaken = [
        replace(recorded[number], recorded_at=at + timedelta(milliseconds=place))
        for place, number in enumerate(order)
    ]

    payloads = pushes.read(*overtaken)

    told = [commit["id"] for payload in payloads for commit in payload["updates"][0]["commits"]]
    assert sorted(told) == sorted(commits)
    assert drifted(pushes) == []


def test_a_push_back_to_a_value_that_came_unannounced_is_announced(pushes: "Pushes") -> None:
    """It only looks like one that was overtaken: what was announced is the value that it began with."""
    first = pushes.commit()
    pushes.read(pushes.push("main"))
    second = pushes.commit()
    pushes.git("push", "-q", "origin", f"{second}:refs/heads/aside")
    pushes.git("update-ref", "refs/heads/main", second, first, cwd=pushes.bare)
    pushes.commit()
    pushes.read(pushes.push("main"))

    pushes.read(pushes.push("--force", f"{second}:main"))

    assert drifted(pushes) == ["refs/heads/aside"]
