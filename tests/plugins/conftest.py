"""A git server in a directory: repositories, people who push to them, and the spool the hook records into."""

import itertools
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pulseshim.errors import CommandFailed
from pulseshim.feed import Invocation
from pulseshim.spool import Spool
from pulseshim_plugins.git_hook import HookState, install

PYTHON = "/usr/bin/python3"


@dataclass(frozen=True, slots=True)
class GitServer:
    """Repositories below `root`, and the spool beside them."""

    root: Path
    spool: Path
    environ: dict[str, str] = field(default_factory=dict)

    def git(self, *arguments: str | bytes, cwd: Path) -> subprocess.CompletedProcess[bytes]:
        """Run git and give what came of it; it must succeed."""
        done = subprocess.run(
            ["git", *arguments], cwd=cwd, env=self._environ(), capture_output=True, check=False, timeout=250
        )
        assert done.returncode == 0, done.stderr
        return done

    def init(self, name: str, *options: str) -> Path:
        """Make a repository, without the sample hooks."""
        self.git("init", "--quiet", "--template=", "--initial-branch=main", *options, name, cwd=self.root)
        return self.root / name

    def clone(self, repository: Path) -> Path:
        """Make a clone of a repository, with one commit that is not pushed."""
        clone = self.root / f"clone-of-{repository.name}"
        self.git("clone", "--quiet", "--template=", str(repository), str(clone), cwd=self.root)
        self.git("commit", "--quiet", "--allow-empty", "--message=A change", cwd=clone)
        return clone

    def push(self, clone: Path, *refspecs: str | bytes) -> str:
        """Push, and give what the pusher gets to read."""
        done = self.git("push", "origin", *(refspecs or ("HEAD:refs/heads/main",)), cwd=clone)
        return os.fsdecode(done.stderr)

    def install(self, repository: Path, drain: Sequence[str] = ()) -> HookState:
        """Install the hook that is shipped."""
        return install(repository, spool=self.spool, interpreter=PYTHON, drain=drain)

    def invocations(self) -> list[Invocation]:
        """Give what was recorded, oldest first."""
        spool = Spool(self.spool, largest=1 << 30)
        return [spool.read(name, time.time_ns())[0] for name in spool.names()]

    def _environ(self) -> dict[str, str]:
        person = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
        person |= {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
        return {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C", **person, **self.environ}


@pytest.fixture
def server(tmp_path: Path) -> GitServer:
    """Give a git server without repositories, and with an empty spool that everyone may record into."""
    spool = tmp_path / "store" / "spool"
    Spool(spool, largest=1 << 30).prepare("everyone")
    root = tmp_path / "git"
    root.mkdir()
    return GitServer(root, spool)


@pytest.fixture
def write_hook() -> Callable[[Path, str], Path]:
    """Give a writer of hooks: an executable file with a text."""

    def write(path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Give a patient look at a condition, which must come true within a deadline."""

    def wait(condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come true in time"
            time.sleep(0.01)

    return wait


@pytest.fixture
def at_call(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[int, Callable[[], object], Callable[[], object]], bool]:
    """Give a way to run an action and, just before the n-th call of it that names a file, do something else.

    It says whether there were as many calls. What the action cannot do is passed over.
    """

    def run(number: int, deed: Callable[[], object], action: Callable[[], object]) -> bool:
        count = itertools.count(1)

        def watched(call: Callable[..., object]) -> Callable[..., object]:
            def called(*arguments: object, **options: object) -> object:
                if next(count) == number:
                    deed()
                return call(*arguments, **options)

            return called

        with monkeypatch.context() as patch, suppress(CommandFailed):
            for name in ("open", "stat", "lstat", "readlink", "mkdir", "link", "rename", "unlink", "chown"):
                patch.setattr(os, name, watched(getattr(os, name)))
            action()
        return next(count) > number

    return run
