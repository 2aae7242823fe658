"""Which repository is meant, and that it is the one that is named."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim.errors import CommandFailed
from pulseshim_plugins.git_hook import remove, show
from pulseshim_plugins.git_hook_check import hook_problems

if TYPE_CHECKING:
    from tests.plugins.conftest import GitServer

OTHER_USER = 65534


@pytest.fixture
def repository(server: "GitServer") -> Path:
    """Give a bare repository."""
    return server.init("project.git", "--bare")


@pytest.mark.parametrize("name", ["nothing", "plain", "project/below"])
def test_what_is_no_repository_is_refused(server: "GitServer", name: str) -> None:
    """A directory inside a repository is none: its parents are not meant."""
    server.init("project")
    (server.root / "plain").mkdir()
    (server.root / "project" / "below").mkdir()

    with pytest.raises(CommandFailed, match=r"is no directory|is no git repository"):
        server.install(server.root / name)


def test_a_repository_that_runs_no_hooks_is_refused(server: "GitServer", repository: Path) -> None:
    """`core.hooksPath=/dev/null` turns hooks off: nothing that is installed would run."""
    server.git("config", "core.hooksPath", "/dev/null", cwd=repository)

    with pytest.raises(CommandFailed, match="runs no hooks"):
        server.install(repository)


def test_git_is_asked_about_the_repository_that_is_named(
    server: "GitServer", repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that point git elsewhere, as inside a hook, do not count."""
    monkeypatch.setenv("GIT_DIR", str(server.init("elsewhere.git", "--bare")))

    state = show(repository)

    assert state.place.git_dir == repository


@pytest.mark.parametrize("kind", ["bare", "git directory", "work tree", "linked work tree"])
def test_a_repository_is_found_where_git_is_told_to_look_for_none(
    server: "GitServer", kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to another user, and whoever runs this has git take no bare one that is not named."""
    path = server.init("x", *(["--bare"] if kind == "bare" else ["--separate-git-dir=gitdir"]))
    expected = path if kind == "bare" else server.root / "gitdir"
    if kind == "linked work tree":
        server.git("commit", "--quiet", "--allow-empty", "--message=A change", cwd=path)
        server.git("worktree", "add", "--quiet", "../linked", cwd=path)
        path = server.root / "linked"
    elif kind == "git directory":
        path = expected
    if os.geteuid() == 0:
        for each in (server.root, *server.root.rglob("*")):
            os.chown(each, OTHER_USER, OTHER_USER)
    settings = server.root / "settings"
    settings.write_text("[safe]\n\tbareRepository = explicit\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))

    server.install(path)

    assert show(path).place.git_dir == expected
    assert "no git repository" not in " ".join(problem.text for problem in hook_problems(path, server.spool))
    assert remove(path).version == "current"
