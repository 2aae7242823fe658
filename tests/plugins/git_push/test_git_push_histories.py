"""Histories of every shape, pushed in groups and read long after: each commit is announced when it came."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugins.git_push.conftest import Pushes

BRANCHES = ("main", "topic/ž", "50%")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.sampled_from(("a", "b", "c d", 'q"', "línea\n2"))),
        st.tuples(st.just("merge"), st.sampled_from(BRANCHES)),
        st.tuples(st.just("rename"), st.sampled_from(("a", "b"))),
        st.tuples(st.just("remove"), st.sampled_from(("a", "b"))),
        st.tuples(st.just("checkout"), st.sampled_from(BRANCHES)),
        st.tuples(st.just("back"), st.integers(1, 2)),
        st.tuples(st.just("tag"), st.sampled_from(("v1", "v2"))),
        st.tuples(st.just("annotate"), st.sampled_from(("v1", "v3"))),
        st.tuples(st.just("delete"), st.sampled_from((*BRANCHES, "v1"))),
        st.tuples(st.just("push"), st.just("")),
    ),
    min_size=4,
    max_size=14,
)


@settings(
    max_examples=25,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(steps=STEPS)
def test_every_commit_is_announced_when_it_came_and_once(
    make_pushes: "Callable[[Path], Pushes]", steps: list[tuple[str, Any]]
) -> None:
    """Read late and at once, each push has the commits that git would have named at the time, none twice."""
    with tempfile.TemporaryDirectory() as directory:
        pushes = make_pushes(Path(directory))
        pushes.git("config", "receive.denyDeleteCurrent", "ignore", cwd=pushes.bare)
        pushes.commit("Root", a="".join(f"{number}\n" for number in range(9)), b="1")
        baseline = pushes.recorded(b"", {}, "baseline")
        recorded, expected, discarded = [], [], []
        for step, argument in (*steps, ("push", "")):
            if step != "push":
                _take(pushes, step, argument)
                continue
            before = _refs(pushes)
            if _differs(pushes):
                recorded.append(pushes.push("--mirror"))
                expected.append(_only(pushes, _refs(pushes), before))
                discarded.append(_only(pushes, before, _refs(pushes)))

        payloads = pushes.read(baseline, *recorded)

    for payload, came, went in zip(payloads, expected, discarded, strict=True):
        ids = [commit["id"] for update in payload["updates"] for commit in update["commits"]]
        assert len(ids) == len(set(ids)) == sum(update["commit_count"] for update in payload["updates"])
        assert set(ids) == came
        assert all(not update["truncated"] for update in payload["updates"])
        assert (max(update["discarded_count"] for update in payload["updates"]) > 0) == bool(went)
        for update in payload["updates"]:
            order = {commit["id"]: place for place, commit in enumerate(update["commits"])}
            assert all(
                order.get(parent, -1) < order[commit["id"]]
                for commit in update["commits"]
                for parent in commit["parents"]
            )
    assert not pushes.state.counts


def _take(pushes: "Pushes", step: str, argument: Any) -> None:
    """Take a step of a history; one that makes no sense where it stands changes nothing."""
    exists = pushes.git("branch", "--list", str(argument)) != ""
    file = pushes.work / str(argument)
    if step == "commit":
        pushes.commit("Write", **{argument: str(pushes.count)})
    elif step == "merge" and exists:
        pushes.git("merge", "-q", "--no-ff", "-s", "ours", "-m", "Merge", argument)
    elif step == "rename" and file.exists():
        file.rename(pushes.work / f"{argument}-{pushes.count}")
        pushes.commit("Rename")
    elif step == "remove" and file.exists():
        file.unlink()
        pushes.commit("Remove")
    elif step == "checkout":
        pushes.git("checkout", "-q", *([] if exists else ["-b"]), argument)
    elif step == "back":
        count = len(pushes.git("rev-list", "--first-parent", "HEAD").split())
        pushes.git("reset", "-q", "--hard", f"HEAD~{min(argument, count - 1)}")
    elif step in ("tag", "annotate"):
        pushes.git("tag", "-f", *(["-a", "-m", "Tag"] if step == "annotate" else []), argument)
    elif step == "delete" and exists and pushes.git("branch", "--show-current") != argument:
        pushes.git("branch", "-q", "-D", argument)
    elif step == "delete" and pushes.git("tag", "--list", argument):
        pushes.git("tag", "-d", argument)


def _refs(pushes: "Pushes") -> list[str]:
    return pushes.git("for-each-ref", "--format=%(objectname)", cwd=pushes.bare).split()


def _differs(pushes: "Pushes") -> bool:
    listed = "--format=%(objectname) %(refname)"
    return pushes.git("for-each-ref", listed) != pushes.git("for-each-ref", listed, cwd=pushes.bare)


def _only(pushes: "Pushes", ours: list[str], theirs: list[str]) -> set[str]:
    """Give the commits that some values reach and others do not."""
    revisions = "\n".join([*ours, *(f"^{value}" for value in theirs)]) + "\n"
    return (
        set(pushes.git("rev-list", "--stdin", cwd=pushes.bare, stdin=revisions.encode()).split())
        if ours
        else set()
    )
