"""What is remembered between pushes, so that each commit is announced once."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim_plugins.git_push import Drift, drift
from pulseshim_plugins.git_update import NotAPush

if TYPE_CHECKING:
    from tests.plugins.git_push.conftest import Pushes


def drift_of(pushes: "Pushes") -> list[Drift]:
    """Give the refs that are not what is remembered as announced."""
    return drift(str(pushes.bare), pushes.state.get(f"refs:{pushes.bare}"), timeout=30)


def ids(payload: dict) -> list[str]:  # type: ignore[type-arg]
    return [commit["id"] for update in payload["updates"] for commit in update["commits"]]


def test_pushes_read_late_are_told_as_they_were(pushes: "Pushes") -> None:
    """What a push brought does not depend on what the refs are by the time it is read."""
    one = pushes.commit("One")
    first = pushes.push("main")
    two = pushes.commit("Two")
    second = pushes.push("main:topic")
    third = pushes.push("main")
    fourth = pushes.push(":topic")
    pushes.git("reset", "-q", "--hard", one)
    three = pushes.commit("Three")
    fifth = pushes.push("+main")

    payloads = pushes.read(first, second, third, fourth, fifth)

    assert [ids(payload) for payload in payloads] == [[one], [two], [], [], [three]]
    assert [payload["push_id"] for payload in payloads] == [1, 2, 3, 4, 5]
    assert [payload["updates"][0]["discarded_count"] for payload in payloads] == [0, 0, 0, 0, 1]
    assert payloads[1]["branches"] == {"topic": two}


def test_a_commit_that_comes_back_is_told_again(pushes: "Pushes") -> None:
    """What was discarded is on no ref any more, so that pushing it again brings it."""
    base = pushes.commit("Base")
    pushes.push("main")
    back = pushes.commit("Back")
    pushes.read(pushes.push("main"), pushes.push(f"+{base}:refs/heads/main"))

    (payload,) = pushes.read(pushes.push("main"))

    assert ids(payload) == [back]


def test_a_baseline_counts_as_announced(pushes: "Pushes") -> None:
    """What was there when the hook was installed is not announced, and gives no message."""
    pushes.commit("Before")
    pushes.push("main")
    refs = pushes.git("for-each-ref", "--format=%(objectname) %(refname)", cwd=pushes.bare) + "\n"
    baseline = pushes.recorded(refs.encode(), {}, "baseline")
    new = pushes.commit("New")
    push = pushes.push("main:topic")

    payloads = pushes.read(baseline, push)

    assert [ids(payload) for payload in payloads] == [[new]]
    assert payloads[0]["push_id"] == 1
    assert not pushes.state.counts


def test_a_second_baseline_keeps_the_counting(pushes: "Pushes") -> None:
    """Installing the hook again sets the refs and not the number of pushes."""
    tip = pushes.commit("One")
    pushes.read(pushes.push("main"))
    pushes.read(pushes.recorded(f"{tip} refs/heads/main\n".encode(), {}, "baseline"))
    pushes.commit("Two")

    (payload,) = pushes.read(pushes.push("main"))

    assert payload["push_id"] == 2
    assert not pushes.state.counts


def test_without_a_baseline_other_refs_count_as_announced(pushes: "Pushes") -> None:
    """The first push that is seen brings what no other ref of the repository has."""
    pushes.commit("Old")
    pushes.push("main")
    new = pushes.commit("New")

    (payload,) = pushes.read(pushes.push("main:topic"))

    assert ids(payload) == [new]


def test_refs_of_later_pushes_are_not_taken_for_older_ones(pushes: "Pushes") -> None:
    """Pushes that waited for a first reading keep their commits, though other refs have them by then."""
    one = pushes.commit("One")
    first = pushes.push("main")
    second = pushes.push("main:topic")

    payloads = pushes.read(first, second)

    assert [ids(payload) for payload in payloads] == [[one], []]


def test_a_change_that_no_hook_told_of_is_counted(pushes: "Pushes") -> None:
    """A push that finds a ref elsewhere than announced is described as the hook saw it."""
    pushes.commit("One")
    pushes.read(pushes.push("main"))
    elsewhere = pushes.commit("Fetched")
    pushes.push("main:refs/hidden/x")
    pushes.git("update-ref", "refs/heads/main", elsewhere, cwd=pushes.bare)
    new = pushes.commit("New")

    (payload,) = pushes.read(pushes.push("main"))

    assert (ids(payload), payload["updates"][0]["old"]) == ([new], elsewhere)
    assert pushes.state.counts == {"unannounced": 1}


def test_drift_names_refs_that_are_not_as_announced(pushes: "Pushes") -> None:
    """Refs changed, made or removed without a hook are found by comparing."""
    one = pushes.commit("One")
    pushes.read(pushes.push("main", "main:same", "main:gone"))
    two = pushes.commit("Two")
    pushes.push("main:made")
    pushes.git("update-ref", "refs/heads/main", two, cwd=pushes.bare)
    pushes.git("update-ref", "-d", "refs/heads/gone", cwd=pushes.bare)
    announced = pushes.state.get(f"refs:{pushes.bare}")

    drifted = drift(str(pushes.bare), announced, timeout=30)

    assert drifted == [
        Drift("refs/heads/gone", one, None),
        Drift("refs/heads/made", None, two),
        Drift("refs/heads/main", one, two),
    ]


def test_a_private_repository_is_counted_and_not_told(pushes: "Pushes") -> None:
    """Without a public URL there is no message, and its refs are not kept."""
    pushes.options["repositories"] = {"/elsewhere": "https://git.example.org"}
    pushes.commit("Secret")

    payloads = pushes.read(pushes.push("main"), pushes.recorded(b"", {}, "baseline"))

    assert payloads == []
    assert pushes.state.counts == {"private": 1}
    assert pushes.state.entries == {}


def test_an_empty_url_makes_a_repository_private(pushes: "Pushes") -> None:
    """Its own setting wins over the prefix, also when the repository is gone by then."""
    pushes.git("config", "pulseshim.url", "", cwd=pushes.bare)
    pushes.commit("Secret")
    first, second = pushes.push("main"), pushes.push("main:topic")
    assert pushes.read(first) == []
    pushes.bare.rename(pushes.root / "away")

    payloads = pushes.read(second)

    assert payloads == []
    assert pushes.state.counts == {"private": 2}


def test_a_url_of_its_own_wins(pushes: "Pushes") -> None:
    """`pulseshim.url` is the URL; the routing key is its path, decoded."""
    pushes.git("config", "pulseshim.url", "https://other.example.org/a%20b/ç", cwd=pushes.bare)
    pushes.commit("Change")

    (payload,) = pushes.read(pushes.push("main"))

    assert payload["repo_url"] == "https://other.example.org/a%20b/%C3%A7"


def test_a_repository_made_public_starts_from_what_it_has(pushes: "Pushes") -> None:
    """While it was private nothing was kept, so the first public push is as one never seen."""
    pushes.commit("Public")
    pushes.read(pushes.push("main"))
    pushes.git("config", "pulseshim.url", "", cwd=pushes.bare)
    pushes.commit("Secret")
    pushes.read(pushes.push("main"))
    pushes.git("config", "--unset", "pulseshim.url", cwd=pushes.bare)
    new = pushes.commit("New")

    (payload,) = pushes.read(pushes.push("main:topic"))

    assert (ids(payload), payload["push_id"]) == ([new], 2)
    assert pushes.state.counts == {"private": 1}


def test_a_push_into_a_linked_worktree_is_one_of_its_repository(pushes: "Pushes", tmp_path: Path) -> None:
    """A hook that ran in the git directory of a worktree tells of the common one."""
    tip = pushes.commit("One")
    pushes.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    stdin = f"{pushes.zero} {tip} refs/heads/main\n".encode()
    recorded = replace(pushes.recorded(stdin), cwd=str(pushes.work / ".git" / "worktrees" / "linked"))

    (payload,) = pushes.read(recorded)

    assert payload["repo_url"] == "https://git.example.org/work"
    assert ids(payload) == [tip]


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b"a" * 40 + b" refs/heads/x\n", b"0" * 40 + b" " + b"0" * 64 + b" r\n", b"\n"]
)
def test_what_is_no_push_is_refused_with_its_text(pushes: "Pushes", line: bytes) -> None:
    """A line that git would not write is an error that shows it."""
    with pytest.raises(NotAPush, match="a line of a push is"):
        pushes.read(pushes.recorded(line))


def test_an_empty_push_is_none(pushes: "Pushes") -> None:
    """Nothing recorded, nothing told, nothing counted."""
    assert pushes.read(pushes.recorded(b"")) == []
    assert pushes.state.entries == {}
