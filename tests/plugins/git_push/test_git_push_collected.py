"""Objects that git has collected between a push and its reading."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugins.git_push.conftest import Pushes


def test_collected_objects_do_not_stop_a_push(pushes: "Pushes") -> None:
    """A force push and gc before anything is read: all is told, as far as it is known."""
    base = pushes.commit("Base")
    first = pushes.push("main")
    lost = pushes.commit("Lost")
    second = pushes.push("main")
    pushes.git("reset", "-q", "--hard", base)
    new = pushes.commit("New")
    third = pushes.push("+main", "main:topic")
    pushes.git("gc", "-q", "--prune=now", cwd=pushes.bare)

    payloads = pushes.read(first, second, third)

    gone, forced = payloads[1]["updates"][0], payloads[2]["updates"][0]
    assert (gone["new"], gone["object"], gone["truncated"], gone["commits"]) == (lost, None, True, [])
    assert (forced["old"], forced["new"], forced["object"]) == (lost, new, "commit")
    assert (forced["forced"], forced["truncated"], forced["commits"]) == (True, True, [])
    assert payloads[2]["updates"][1]["commits"][-1]["id"] == new


@pytest.mark.parametrize(
    "bound", ["other ref", "same push", "another history", "another history in the same push", "nothing"]
)
def test_a_force_push_whose_old_value_was_collected_brings_what_no_other_ref_has(
    pushes: "Pushes", bound: str
) -> None:
    """As far as there is another ref to tell what was there before; else nobody knows, and none is told."""
    base = pushes.commit("Base")
    pushes.push("main:stable" if bound == "other ref" else "main")
    pushes.git("checkout", "-q", "--orphan", "pages")
    pages = pushes.commit("Pages")
    pushes.push("pages" if "another history" in bound else "pages:main", "--force")
    pushes.git("checkout", "-q", "-B", "main", base)
    pushes.commit("Lost")
    pushes.push("+main")
    refs = pushes.git("for-each-ref", "--format=%(objectname) %(refname)", cwd=pushes.bare) + "\n"
    pushes.read(pushes.recorded(refs.encode(), {}, "baseline"))
    pushes.git("reset", "-q", "--hard", base)
    new = pushes.commit("New")
    recorded = pushes.push("+main", f"{base}:refs/heads/topic")
    if "same push" in bound:
        tip = base if bound == "same push" else pages
        recorded = pushes.recorded(recorded.stdin + f"{tip} {tip} refs/heads/z\n".encode())
    pushes.git("gc", "-q", "--prune=now", cwd=pushes.bare)

    (payload,) = pushes.read(recorded)

    (forced, topic, *_) = payload["updates"]
    bounded = bound in ("other ref", "same push")
    assert ([each["id"] for each in forced["commits"]], forced["commit_count"]) == (
        ([new], 1) if bounded else ([], 0)
    )
    assert (forced["forced"], forced["truncated"], forced["discarded_count"]) == (True, True, 0)
    assert [each["id"] for each in topic["commits"]] == ([] if bounded else [base])
    assert topic["truncated"] is False


def test_a_tag_that_moved_from_what_was_collected_is_described(pushes: "Pushes") -> None:
    """What it is now is there."""
    tip = pushes.commit("One")
    pushes.git("tag", "-a", "v1", "-m", "Release")
    tag = pushes.git("rev-parse", "v1")
    pushes.read(pushes.push("main", "v1"))

    (payload,) = pushes.read(pushes.recorded(f"{'1' * 40} {tag} refs/tags/v1\n".encode()))

    (update,) = payload["updates"]
    assert (update["forced"], update["truncated"], update["tag"]["object"]) == (True, True, tip)


def test_a_collected_announced_value_does_not_stop_later_pushes(pushes: "Pushes") -> None:
    """An exclusion that is gone excludes nothing, and nothing fails."""
    base = pushes.commit("Base")
    pushes.read(pushes.push("main"))
    pushes.commit("Lost")
    pushes.git("tag", "-a", "lost", "-m", "Lost too")
    pushes.read(pushes.push("main:topic", "lost"))
    for ref in ("refs/heads/topic", "refs/tags/lost"):
        pushes.git("update-ref", "-d", ref, cwd=pushes.bare)
    pushes.git("gc", "-q", "--prune=now", cwd=pushes.bare)
    pushes.git("reset", "-q", "--hard", base)
    new = pushes.commit("New")

    (update,) = pushes.updates("main")

    assert [commit["id"] for commit in update["commits"]] == [new]
