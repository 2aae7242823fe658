"""Where git looks for the post-receive hook of a repository, and where pulseshim's therefore belongs.

    hooks            GIT_DIR/hooks/post-receive, or where core.hooksPath says
    directory        hooks/post-receive.d/pulseshim, where post-receive runs what lies there (Gitea, Forgejo)
    gitlab           custom_hooks/post-receive.d/pulseshim, which Gitaly runs
    gitolite         hooks/common/post-receive: `gitolite setup` links every repository's hook to it
    gitolite-driver  hooks/repo-specific/pulseshim, which `option hook.post-receive` names

Nobody else's file moves: which of these it is, the repository says.
"""

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pulseshim.errors import CommandFailed
from pulseshim_plugins.git_hook_file import is_ours
from pulseshim_plugins.installation import open_directory, read_hook

Layout: TypeAlias = Literal["hooks", "directory", "gitlab", "gitolite", "gitolite-driver"]

# Its owner can make git wait for ever: for a pipe that the configuration includes, for example.
_PATIENCE = 10.0
_PATIENCE_WITH_REFS = 300.0

_KEPT = {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HookPlace:
    """Where the hook of a repository belongs.

    `git_dir` is the real path of the git directory (the common one of linked worktrees), and the directory
    of `path` is given by its real path, too; `chains` says whether a hook that is there already must be run
    by ours; `serves` names the other repositories that run this hook too, empty where there are none;
    `todo` is what a person must still do. `is_own` says whether the repository itself led there, not the
    configuration of this machine or of who runs this.
    """

    git_dir: Path
    path: Path
    layout: Layout
    chains: bool = True
    serves: str = ""
    todo: str = ""
    is_own: bool = True


def find_place(repository: Path) -> HookPlace:
    """Give the place of the hook of a repository: a bare one, a work tree, a linked one, or a git directory.

    Raises `CommandFailed` where there is no repository, or one that runs no hooks.
    """
    git_dir = _git_dir(repository)
    hooks, serves, is_own = _hooks_directory(git_dir)
    place = _place(git_dir, hooks, serves)
    return replace(place, path=place.path.parent.resolve() / place.path.name, is_own=is_own)


def _place(git_dir: Path, hooks: Path, serves: str) -> HookPlace:
    hook = hooks / "post-receive"
    if (git_dir / "custom_hooks").is_dir():
        path = git_dir / "custom_hooks" / "post-receive.d" / "pulseshim"
        return HookPlace(git_dir=git_dir, path=path, layout="gitlab", chains=False)
    if hook.is_symlink():
        target = hook.resolve()
        if target.parent.name == "common" and target.parent.parent.name == "hooks":
            everyone = "all repositories of this gitolite"
            return HookPlace(git_dir=git_dir, path=target, layout="gitolite", serves=everyone)
        if target.name == "multi-hook-driver":
            return _gitolite_driver(git_dir, target)
    if _runs_directory(hook):
        path = hooks / "post-receive.d" / "pulseshim"
        return HookPlace(git_dir=git_dir, path=path, layout="directory", chains=False, serves=serves)
    return HookPlace(git_dir=git_dir, path=hook, layout="hooks", serves=serves)


def _gitolite_driver(git_dir: Path, driver: Path) -> HookPlace:
    """Give the place among gitolite's repo-specific hooks: it removes what it does not know from `hooks/`."""
    return HookPlace(
        git_dir=git_dir,
        path=driver.parent / "repo-specific" / "pulseshim",
        layout="gitolite-driver",
        chains=False,
        serves="the repositories whose gitolite.conf names it",
        todo="add pulseshim to `option hook.post-receive` of this repository in gitolite.conf",
    )


def _runs_directory(hook: Path) -> bool:
    """Say whether a hook is one that runs what lies in `post-receive.d`."""
    if not hook.with_name("post-receive.d").is_dir() or not os.access(hook, os.X_OK):
        return False
    try:
        text = read_hook(hook)
    except OSError:
        return False
    return b".d" in text and not is_ours(text)


def _git_dir(repository: Path) -> Path:
    """Give the real path of the git directory, never that of a repository further up."""
    where = repository.resolve()
    if not where.is_dir():
        raise CommandFailed(f"{repository} is no directory", "give the path of a git repository")
    # It is named, not looked for: what git finds by itself, it may refuse, as another user's or as bare.
    inner = where / ".git"
    named = inner if os.path.lexists(inner) else where
    found = run_git(["-C", str(where), f"--git-dir={named}", "rev-parse", "--git-common-dir"])
    if found.returncode:
        said = os.fsdecode(found.stderr).strip().removeprefix("fatal: ")
        raise CommandFailed(f"{repository} is no git repository ({said})", "give the path of one")
    return (where / os.fsdecode(found.stdout.removesuffix(b"\n"))).resolve()


def _hooks_directory(git_dir: Path) -> tuple[Path, str, bool]:
    """Give the directory git takes hooks from, whom else it serves, and whether the repository names it."""
    own = git_dir / "hooks"
    found = run_git([f"--git-dir={git_dir}", "config", "--show-scope", "-z", "--type=path", "core.hooksPath"])
    if found.returncode:
        serves = "the other repositories that share this directory" if own.is_symlink() else ""
        return own.resolve(), serves, True
    scope, text = os.fsdecode(found.stdout).split("\0")[:2]
    # A relative path counts from where hooks run, and that is the git directory for those of a push.
    hooks = (git_dir / text).resolve()
    if hooks.exists() and not hooks.is_dir():
        raise CommandFailed(f"core.hooksPath is {text}: {git_dir} runs no hooks", "change core.hooksPath")
    if hooks.is_relative_to(git_dir):
        return hooks, "", True
    if scope in ("local", "worktree"):
        return hooks, f"the other repositories whose core.hooksPath is {text}", True
    return hooks, f"all repositories that use this {scope} git configuration", False


def references(git_dir: Path) -> bytes:
    """Give every ref of a repository, one `<object> <ref>` a line, but those that only name another one."""
    form = "--format=%(if)%(symref)%(then)%(else)%(objectname) %(refname)%(end)"
    lines = read_git(git_dir, "for-each-ref", form, timeout=_PATIENCE_WITH_REFS).split(b"\n")
    return b"".join(line + b"\n" for line in lines if line)


def write_url(git_dir: Path, url: str) -> None:
    """Write the public URL of a repository into its configuration, whose owner stays the same.

    `git_dir` is its real path. Root does so with the rights of the owner of the repository: git follows
    links, and they are that owner's. Raises `CommandFailed`.
    """
    try:
        with open_directory(git_dir) as directory:
            _write_url(git_dir, directory, url)
    except OSError as error:
        raise CommandFailed(
            f"the configuration of {git_dir} cannot be written ({error.strerror})",
            "run this as the owner of the repository, or as root",
        ) from error


def _write_url(git_dir: Path, directory: int, url: str) -> None:
    before = os.stat("config", dir_fd=directory, follow_symlinks=False)
    owner = os.fstat(directory) if os.geteuid() == 0 else None
    command = ["--git-dir=.", "config", "pulseshim.url", url]
    _succeed(git_dir, "config", run_git(command, owner=owner, cwd=f"/dev/fd/{directory}"))
    if owner is not None and owner.st_uid != before.st_uid:
        os.chown("config", before.st_uid, before.st_gid, dir_fd=directory, follow_symlinks=False)


def read_git(git_dir: Path, *arguments: str, timeout: float = _PATIENCE) -> bytes:
    """Give what git prints about a repository; raise `CommandFailed` with what it complains about.

    `timeout` is in seconds.
    """
    done = run_git([f"--git-dir={git_dir}", *arguments], timeout=timeout)
    return _succeed(git_dir, arguments[0], done)


def _succeed(git_dir: Path, verb: str, done: subprocess.CompletedProcess[bytes]) -> bytes:
    if done.returncode:
        said = os.fsdecode(done.stderr).strip()
        raise CommandFailed(f"git {verb} failed for {git_dir} ({said})", "correct the repository")
    return done.stdout


def run_git(
    arguments: list[str],
    owner: os.stat_result | None = None,
    cwd: str | None = None,
    timeout: float = _PATIENCE,
) -> subprocess.CompletedProcess[bytes]:
    """Run git with an environment that says nothing about other repositories.

    An administrator names the repository, which may belong to somebody else: none of the commands used here
    runs anything a repository's configuration could name, so that it need not be declared safe first. With
    the status of a file, git has the rights of its owner. After `timeout` seconds it is stopped, and
    `CommandFailed` is raised.
    """
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in _KEPT}
    environ |= {"LC_ALL": "C"}
    command = ["git", "-c", "safe.directory=*", *arguments]
    rights: dict[str, Any] = {}
    if owner is not None:
        rights = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        # What is root's, the owner may not read.
        environ |= dict.fromkeys(("GIT_CONFIG_GLOBAL", "HOME", "XDG_CONFIG_HOME"), os.devnull)
    try:
        nothing = subprocess.DEVNULL
        return subprocess.run(
            command,
            env=environ,
            cwd=cwd,
            stdin=nothing,
            capture_output=True,
            check=False,
            timeout=timeout,
            **rights,
        )
    except FileNotFoundError as error:
        raise CommandFailed("git is not installed, or not on PATH", "install git") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(
            f"git did not answer within {timeout:.0f} s ({' '.join(arguments)})",
            "look for what it waits for: a pipe that the repository's configuration includes, a file system",
        ) from error
