"""Repositories and objects that are gone, incomplete or unreadable when a push is read."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim_plugins.git_repository import GitFailed, GitTimedOut

if TYPE_CHECKING:
    from tests.plugins.git_push.conftest import Pushes


def test_a_deleted_repository_still_has_its_push_told(pushes: "Pushes") -> None:
    """What the hook recorded goes out, with nothing guessed."""
    pushes.read(pushes.recorded(b"", {}, "baseline"))
    tip = pushes.commit("One")
    recorded = pushes.push("main")
    shutil.rmtree(pushes.bare)

    (payload,) = pushes.read(recorded)

    assert payload["repo_url"] == "https://git.example.org/group/project"
    assert payload["branches"] == {"main": tip}
    (update,) = payload["updates"]
    assert (update["object"], update["commits"], update["commit_count"]) == (None, [], 0)
    assert update["truncated"] is True


def test_a_repository_that_moved_keeps_its_url(pushes: "Pushes") -> None:
    """The last known URL of a repository that is gone is the one that its pushes are told with."""
    pushes.git("config", "pulseshim.url", "https://other.example.org/own", cwd=pushes.bare)
    pushes.commit("One")
    pushes.read(pushes.push("main"))
    pushes.commit("Two")
    recorded = pushes.push("main")
    pushes.bare.rename(pushes.root / "moved.git")

    (payload,) = pushes.read(recorded)

    assert (payload["repo_url"], payload["push_id"]) == ("https://other.example.org/own", 2)


def test_a_repository_that_was_gone_before_it_was_looked_at_is_private(pushes: "Pushes") -> None:
    """Nobody knows what its own configuration said. Once it is back, it is as it says."""
    pushes.git("config", "pulseshim.url", "", cwd=pushes.bare)
    pushes.commit("Secret")
    first = pushes.push("main")
    pushes.bare.rename(pushes.root / "renamed.git")

    payloads = pushes.read(pushes.recorded(b"", {}, "baseline"), first)

    assert payloads == []
    assert pushes.state.counts == {"private": 1}
    assert pushes.state.entries == {}

    (pushes.root / "renamed.git").rename(pushes.bare)
    pushes.git("config", "--unset", "pulseshim.url", cwd=pushes.bare)
    (payload,) = pushes.read(pushes.push("main:public"))
    assert payload["updates"][0]["ref"] == "refs/heads/public"


def test_a_repository_with_a_hole_tells_what_it_can(pushes: "Pushes") -> None:
    """A commit that is missing within what was pushed leaves the commits out, and says so."""
    one = pushes.commit("One")
    pushes.commit("Two")
    recorded = pushes.push("main")
    (pushes.bare / "objects" / one[:2] / one[2:]).unlink()

    (payload,) = pushes.read(recorded)

    (update,) = payload["updates"]
    assert (update["object"], update["commits"], update["truncated"]) == ("commit", [], True)


def test_a_missing_tree_leaves_the_counts_true(pushes: "Pushes") -> None:
    """Where a commit's files cannot be read, newer commits are still told and all are counted."""
    pushes.commit("One", a="1")
    pushes.commit("Two", a="2")
    tree = pushes.git("rev-parse", "HEAD~^{tree}")
    three = pushes.commit("Three", a="3")
    pushes.commit("Four", a="4")
    recorded = pushes.push("main")
    (pushes.bare / "objects" / tree[:2] / tree[2:]).unlink()

    (payload,) = pushes.read(recorded)

    (update,) = payload["updates"]
    assert three in [commit["id"] for commit in update["commits"]]
    assert len(update["commits"]) < update["commit_count"] == 4
    assert update["truncated"] is True


def test_a_tag_that_moved_is_forced_though_all_is_gone(pushes: "Pushes") -> None:
    """What the hook's own line says needs no objects."""
    old, new = "1" * 40, "2" * 40

    (payload,) = pushes.read(
        pushes.recorded(f"{old} {new} refs/tags/v1\n{old} {new} refs/heads/x\n".encode())
    )

    assert [(update["forced"], update["truncated"]) for update in payload["updates"]] == [
        (True, True),
        (False, True),
    ]


def test_a_shallow_repository_ends_where_it_is_cut(pushes: "Pushes") -> None:
    """A push from a shallow clone into a repository that takes it has the commits that came."""
    for number in range(4):
        pushes.commit(f"Number {number}")
    pushes.git("push", "-q", str(pushes.work), "main:whole")
    pushes.git("config", "receive.shallowUpdate", "true", cwd=pushes.bare)
    shallow = pushes.root / "shallow"
    pushes.git("clone", "-q", "--depth=2", f"file://{pushes.work}", str(shallow), cwd=pushes.root)
    pushes.git("push", "-q", str(pushes.bare), "main", cwd=shallow)
    recorded = pushes.recorded((pushes.bare / "pushed").read_bytes())

    (payload,) = pushes.read(recorded)

    (update,) = payload["updates"]
    assert [commit["message"] for commit in update["commits"]] == ["Number 2\n", "Number 3\n"]
    assert update["truncated"] is False


def test_objects_of_an_alternate_are_found(pushes: "Pushes") -> None:
    """A fork that borrows objects is read through its alternates."""
    tip = pushes.commit("One")
    (pushes.bare / "objects" / "info" / "alternates").write_text(f"{pushes.work}/.git/objects\n")

    (update,) = pushes.updates("main")

    assert [commit["id"] for commit in update["commits"]] == [tip]


def test_a_symbolic_ref_does_not_count_as_an_announced_value(pushes: "Pushes") -> None:
    """HEAD and its like lead to refs that are told under their own names."""
    tip = pushes.commit("One")
    pushes.git("symbolic-ref", "refs/heads/alias", "refs/heads/main", cwd=pushes.bare)

    (update,) = pushes.updates("main")

    assert (update["ref"], [commit["id"] for commit in update["commits"]]) == ("refs/heads/main", [tip])


def test_a_git_that_takes_too_long_is_stopped(pushes: "Pushes") -> None:
    """The time for a push is bounded, and the error names repository and setting."""
    pushes.options["timeout"] = "0s"
    pushes.commit("One")

    with pytest.raises(GitFailed, match=r"project\.git took too long.*plugins\.git\.timeout"):
        pushes.read(pushes.push("main"))


def test_a_broken_configuration_is_an_error_to_correct(pushes: "Pushes") -> None:
    """Nothing is told of a repository whose privacy cannot be read."""
    pushes.commit("One")
    recorded = pushes.push("main")
    (pushes.bare / "config").write_text("[core\n")

    with pytest.raises(GitFailed, match="config"):
        pushes.read(recorded)


@pytest.mark.parametrize("url", ["no url", "https://", "https://host/", "/path"])
def test_a_url_without_host_or_path_is_an_error_to_correct(pushes: "Pushes", url: str) -> None:
    """A repository's own URL must give a routing key."""
    pushes.git("config", "pulseshim.url", url, cwd=pushes.bare)
    pushes.commit("One")

    with pytest.raises(GitFailed, match=r"pulseshim\.url"):
        pushes.read(pushes.push("main"))


def test_a_directory_that_is_no_repository_is_one_that_is_gone(pushes: "Pushes") -> None:
    """An invocation that names any other directory reads nothing there, and tells nothing."""
    recorded = replace(
        pushes.recorded(f"{pushes.zero} {'1' * 40} refs/heads/x\n".encode()), cwd=str(pushes.root)
    )

    assert pushes.read(recorded) == []
    assert pushes.state.counts == {"private": 1}


@pytest.fixture
def replace_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give what puts a script in the place of git."""

    def put(script: str) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "git").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    return put


def test_a_git_that_hangs_is_ended_with_all_that_it_started(
    pushes: "Pushes", tmp_path: Path, replace_git: "Callable[[str], None]"
) -> None:
    """Nothing is left behind, though a child holds git's output open."""
    pushes.options["timeout"] = "5s"
    pushes.commit("One")
    recorded = pushes.push("main")
    replace_git(f"sleep 600 & echo $! > {tmp_path}/child; wait")

    with pytest.raises(GitTimedOut, match="took too long"):
        pushes.read(recorded)

    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 60
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "echo 'fatal: cannot open pack: Permission denied' >&2; exit 128",
            "let the account of the runtime read",
        ),
        ("kill -9 $$", r"failed \(-9\)"),
        ("echo 'fatal: out of memory' >&2; exit 128", "out of memory"),
    ],
)
def test_a_failure_of_git_itself_is_no_missing_object(
    pushes: "Pushes", replace_git: "Callable[[str], None]", script: str, words: str
) -> None:
    """What may go better next time is an error, and the push is not told without its commits."""
    pushes.commit("One")
    recorded = pushes.push("main")
    pushes.read(recorded)
    before = dict(pushes.state.entries)
    real = shutil.which("git")
    replace_git(f'case "$*" in *rev-list*) {script};; *) exec {real} "$@";; esac')

    with pytest.raises(GitFailed, match=words):
        pushes.read(recorded)

    assert pushes.state.entries == before


def test_a_git_that_is_not_there_is_named(pushes: "Pushes", monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is to install it."""
    pushes.commit("One")
    recorded = pushes.push("main")
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(GitFailed, match="git"):
        pushes.read(recorded)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
