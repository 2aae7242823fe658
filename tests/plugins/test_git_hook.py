"""Real pushes over the hook that is shipped, in every layout it can be installed in."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim_plugins.git_hook import remove

if TYPE_CHECKING:
    from tests.plugins.conftest import GitServer

WriteHook = Callable[[Path, str], Path]

COPY = '#!/bin/sh\ncat > "$GIT_DIR/seen"\necho "the other hook"\n'


def test_a_push_into_a_bare_repository_is_recorded(server: "GitServer") -> None:
    """The invocation has what git told: old value, new value and ref, and where."""
    repository = server.init("project.git", "--bare")
    clone = server.clone(repository)
    server.install(repository)

    said = server.push(clone)

    head = server.git("rev-parse", "HEAD", cwd=clone).stdout.strip()
    [invocation] = server.invocations()
    assert invocation.feed == "git"
    assert invocation.arguments == ()
    assert invocation.stdin == b"0" * 40 + b" " + head + b" refs/heads/main\n"
    assert invocation.cwd == str(repository)
    assert "pulseshim" not in said


def test_a_push_into_a_work_tree_is_recorded(server: "GitServer") -> None:
    """A repository that is not bare is known by its git directory."""
    repository = server.init("project")
    server.git("config", "receive.denyCurrentBranch", "updateInstead", cwd=repository)
    clone = server.clone(repository)
    server.install(repository)

    server.push(clone)

    assert [invocation.cwd for invocation in server.invocations()] == [str(repository / ".git")]


def test_a_push_into_a_linked_work_tree_is_one_into_its_repository(server: "GitServer") -> None:
    """Whichever work tree is pushed to, it is the same repository and the same hook."""
    repository = server.init("project")
    server.git("commit", "--quiet", "--allow-empty", "--message=First", cwd=repository)
    linked = server.root / "linked"
    server.git("worktree", "add", "--quiet", "-b", "other", str(linked), cwd=repository)
    clone = server.clone(linked)

    state = server.install(linked)
    server.push(clone, "HEAD:refs/heads/new")

    assert state.place.path == repository / ".git" / "hooks" / "post-receive"
    assert [invocation.cwd for invocation in server.invocations()] == [str(repository / ".git")]


def test_a_push_into_a_repository_with_a_git_directory_elsewhere_is_recorded(server: "GitServer") -> None:
    """A `.git` that is a file leads to the repository it names."""
    apart = server.root / "apart.git"
    repository = server.init("project", f"--separate-git-dir={apart}")
    clone = server.clone(repository)
    server.install(repository)

    server.push(clone, "HEAD:refs/heads/new")

    assert [invocation.cwd for invocation in server.invocations()] == [str(apart)]


@pytest.mark.parametrize("hooks", ["relative/hooks", "/absolute"])
def test_a_push_is_recorded_where_the_repository_has_a_hooks_path(server: "GitServer", hooks: str) -> None:
    """The hook goes where git looks for it: a relative path counts from the git directory."""
    repository = server.init("project")
    path = str(server.root) + hooks if hooks.startswith("/") else hooks
    server.git("config", "core.hooksPath", path, cwd=repository)
    (repository / ".git" / "relative").mkdir()
    clone = server.clone(repository)

    state = server.install(repository)
    server.push(clone, "HEAD:refs/heads/new")

    assert state.place.path == repository / ".git" / path / "post-receive"
    assert len(server.invocations()) == 1


def test_a_hooks_path_of_all_repositories_is_told(
    server: "GitServer", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who installs a hook that serves other repositories, too, gets to know it."""
    configuration = tmp_path / "gitconfig"
    configuration.write_text(f"[core]\n\thooksPath = {server.root}/everyone\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    repository = server.init("project.git", "--bare")
    clone = server.clone(repository)

    state = server.install(repository)
    server.push(clone)

    assert state.place.path == server.root / "everyone" / "post-receive"
    assert "global git configuration" in state.place.serves
    assert len(server.invocations()) == 1


@pytest.mark.parametrize(
    "runner", ['for hook in "$0".d/*; do "$hook"; done', "run-parts hooks/post-receive.d"]
)
def test_a_directory_of_hooks_that_is_run_gets_ours(
    server: "GitServer", write_hook: WriteHook, runner: str
) -> None:
    """Where post-receive runs what lies in post-receive.d, that is the place, and the runner stays."""
    repository = server.init("project.git", "--bare")
    hook = write_hook(repository / "hooks" / "post-receive", f"#!/bin/sh\n{runner}\n")
    write_hook(repository / "hooks" / "post-receive.d" / "zzz", COPY.replace("cat >", ": >"))
    clone = server.clone(repository)

    state = server.install(repository)
    said = server.push(clone)

    assert state.place.path == repository / "hooks" / "post-receive.d" / "pulseshim"
    assert hook.read_text() == f"#!/bin/sh\n{runner}\n"
    assert len(server.invocations()) == 1
    assert "the other hook" in said


def test_in_gitlab_the_hook_is_one_of_the_custom_hooks(server: "GitServer") -> None:
    """Gitaly runs custom_hooks/post-receive.d, whatever hooks/ has."""
    repository = server.init("project.git", "--bare")
    (repository / "custom_hooks").mkdir()

    state = server.install(repository)

    assert state.place.path == repository / "custom_hooks" / "post-receive.d" / "pulseshim"
    assert os.access(state.place.path, os.X_OK)


def test_in_gitolite_the_common_hook_is_ours_for_all(server: "GitServer", write_hook: WriteHook) -> None:
    """`gitolite setup` makes links to the common hook again, so that ours must be there to last."""
    repository = server.init("project.git", "--bare")
    common = write_hook(server.root / "gitolite" / "hooks" / "common" / "post-receive", COPY)
    (repository / "hooks").mkdir()
    (repository / "hooks" / "post-receive").symlink_to(common)
    clone = server.clone(repository)

    state = server.install(repository)
    said = server.push(clone)

    assert state.place.path == common
    assert state.place.serves
    assert (repository / "hooks" / "post-receive").is_symlink()
    assert len(server.invocations()) == 1
    assert "the other hook" in said


def test_in_gitolite_a_driver_of_hooks_stays(server: "GitServer", write_hook: WriteHook) -> None:
    """Gitolite removes what it does not know beside its driver: ours goes where it takes hooks from."""
    repository = server.init("project.git", "--bare")
    driver = write_hook(server.root / "local" / "hooks" / "multi-hook-driver", "#!/bin/sh\n")
    (driver.parent / "repo-specific").mkdir()
    (repository / "hooks").mkdir()
    (repository / "hooks" / "post-receive").symlink_to(driver)

    state = server.install(repository)

    assert state.place.path == driver.parent / "repo-specific" / "pulseshim"
    assert "gitolite.conf" in state.place.todo
    assert (repository / "hooks" / "post-receive").readlink() == driver


def test_the_hook_stays_when_gitolite_clears_its_own(server: "GitServer", write_hook: WriteHook) -> None:
    """The hook that was there before has a name that no driver takes for one of its hooks."""
    repository = server.init("project.git", "--bare")
    write_hook(repository / "hooks" / "post-receive", COPY)

    server.install(repository)

    assert [path.name for path in (repository / "hooks").glob("post-receive.*")] == []


def test_pushes_are_no_longer_recorded_after_removal(server: "GitServer") -> None:
    """What was installed is gone, and nothing else is."""
    repository = server.init("project.git", "--bare")
    clone = server.clone(repository)
    server.install(repository)

    remove(repository)
    server.push(clone)

    assert server.invocations() == []
    assert list((repository / "hooks").iterdir()) == []


def test_what_a_pusher_says_and_who_it_is_is_recorded(server: "GitServer") -> None:
    """Push options and the names a server knows people by are kept; other variables are not."""
    repository = server.init("project.git", "--bare")
    server.git("config", "receive.advertisePushOptions", "true", cwd=repository)
    clone = server.clone(repository)
    server.environ.update(REMOTE_USER="ada", GL_USERNAME="ada.l", PASSWORD="secret")
    server.install(repository)

    server.push(clone, "-o", "ci.skip", "-o", "two\tor more=", "HEAD:refs/heads/main")

    [invocation] = server.invocations()
    assert invocation.environ["GIT_PUSH_OPTION_COUNT"] == "2"
    assert invocation.environ["GIT_PUSH_OPTION_1"] == "two\tor more="
    assert invocation.environ["REMOTE_USER"] == "ada"
    assert invocation.environ["GL_USERNAME"] == "ada.l"
    assert "PASSWORD" not in invocation.environ


def test_names_that_are_not_utf8_are_recorded_as_they_are(server: "GitServer") -> None:
    """Refs, directories and variables are bytes."""
    raw = os.fsdecode(b"proj\xff\nect.git")
    repository = server.init(raw, "--bare")
    clone = server.clone(repository)
    server.environ["REMOTE_USER"] = os.fsdecode(b"ad\xe9")
    server.install(repository)

    server.push(clone, b"HEAD:refs/heads/caf\xe9")

    [invocation] = server.invocations()
    assert invocation.stdin.endswith(b" refs/heads/caf\xe9\n")
    assert invocation.cwd == str(repository)
    assert os.fsencode(invocation.environ["REMOTE_USER"]) == b"ad\xe9"


def test_a_push_of_five_thousand_refs_is_one_invocation(server: "GitServer") -> None:
    """A list of refs that no pipe holds at once is read to its end."""
    repository = server.init("project.git", "--bare")
    clone = server.clone(repository)
    head = server.git("rev-parse", "HEAD", cwd=clone).stdout.decode().strip()
    packed = "".join(f"{head} refs/heads/b{number:05}\n" for number in range(5_000))
    (clone / ".git" / "packed-refs").write_text("# pack-refs with: peeled fully-peeled sorted \n" + packed)
    server.install(repository)

    server.push(clone, "refs/heads/b*:refs/heads/b*")

    [invocation] = server.invocations()
    assert len(invocation.stdin.splitlines()) == 5_000
