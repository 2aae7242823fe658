"""A bare repository that is pushed into; pushes are kept as a hook would record them, and read when asked."""

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pulseshim import HookSource, Invocation, Settings
from pulseshim.testing import MemoryState, check_shim, invocation
from pulseshim_plugins.git import pulseshim_feeds

HOOK = """#!/bin/sh
cat > "$GIT_DIR/pushed"
env > "$GIT_DIR/pushed.environ"
"""


@dataclass(slots=True)
class Pushes:
    """A bare repository, a clone to push from, and the feed's state."""

    root: Path
    object_format: str = "sha1"
    bare: Path = field(init=False)
    work: Path = field(init=False)
    state: MemoryState = field(default_factory=MemoryState)
    options: dict[str, Any] = field(default_factory=dict)
    count: int = 0

    def __post_init__(self) -> None:
        self.bare = self.root / "group" / "project.git"
        self.work = self.root / "work"
        self.options["repositories"] = {str(self.root): "https://git.example.org"}
        for options, place in ((["--bare"], self.bare), ([], self.work)):
            init = ["init", "-q", "-b", "main", "--template=", f"--object-format={self.object_format}"]
            self.git(*init, *options, str(place), cwd=self.root)
        (self.bare / "hooks").mkdir()
        (self.bare / "hooks" / "post-receive").write_text(HOOK)
        (self.bare / "hooks" / "post-receive").chmod(0o755)
        self.git("config", "remote.origin.url", str(self.bare))

    @property
    def zero(self) -> str:
        """The id that stands for no object."""
        return "0" * (64 if self.object_format == "sha256" else 40)

    def git(self, *arguments: str | bytes, cwd: Path | None = None, stdin: bytes = b"") -> str:
        """Run git in the clone, or elsewhere, and give what it prints, without the last line's end."""
        self.count += 1
        people = {
            f"GIT_{who}_{what}": text for who in ("AUTHOR", "COMMITTER") for what, text in _PERSON.items()
        }
        environ = {**people, "PATH": os.environ["PATH"], "HOME": str(self.root), "GIT_CONFIG_NOSYSTEM": "1"}
        environ["GIT_COMMITTER_DATE"] = environ["GIT_AUTHOR_DATE"] = f"{1700000000 + self.count} +0000"
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *arguments],
            cwd=cwd or self.work,
            env=environ,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return os.fsdecode(done.stdout).removesuffix("\n")

    def commit(self, message: str = "A change", /, **files: str) -> str:
        """Commit in the clone what there is and what is given, and give the commit's id."""
        for name, text in files.items():
            (self.work / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def commit_object(self, body: bytes) -> str:
        """Write a commit object as it is given, with the empty tree, and give its id."""
        tree = self.git("hash-object", "-t", "tree", "-w", "--stdin")
        text = b"tree " + tree.encode() + b"\n" + body
        return self.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=text)

    def push(self, *arguments: str | bytes, environ: Mapping[str, str] | None = None) -> Invocation:
        """Push, and give what the hook would have recorded."""
        self.git("push", "-q", "origin", *arguments)
        recorded = (self.bare / "pushed").read_bytes()
        (self.bare / "pushed").unlink()
        return self.recorded(recorded, environ)

    def recorded(self, stdin: bytes, environ: Mapping[str, str] | None = None, *arguments: str) -> Invocation:
        """Give the invocation of a hook that had this as its standard input."""
        self.count += 1
        return invocation(
            "git",
            *arguments,
            stdin=stdin,
            environ={"USER": "someone"} if environ is None else environ,
            cwd=str(self.bare),
            recorded_at=datetime.now(UTC),
            id=f"00000000-0000-4000-8000-{self.count:012}",
        )

    def read(self, *invocations: Invocation) -> list[dict[str, Any]]:
        """Read invocations, one after the other, and give the payloads as a consumer gets them."""
        settings = Settings(plugins={"git": self.options})
        (feed,) = pulseshim_feeds(settings)
        assert isinstance(feed.source, HookSource)
        messages = []
        for recorded in invocations:
            messages += check_shim(
                feed.shim, list(feed.source.read(recorded, self.state)), exchange=feed.exchange
            )
        return [msgspec.json.decode(msgspec.json.encode(message.payload())) for message in messages]

    def updates(self, *arguments: str | bytes) -> list[dict[str, Any]]:
        """Push, read at once, and give the updates of the message."""
        (payload,) = self.read(self.push(*arguments))
        updates: list[dict[str, Any]] = payload["updates"]
        return updates


_PERSON = {"NAME": "A Person", "EMAIL": "person@example.org"}


@pytest.fixture
def pushes(tmp_path: Path) -> Pushes:
    """Give a repository that is pushed into."""
    return Pushes(tmp_path)


@pytest.fixture
def sha256_pushes(tmp_path: Path) -> Pushes:
    """Give a repository whose objects have SHA-256 names."""
    return Pushes(tmp_path, object_format="sha256")


@pytest.fixture(scope="session")
def make_pushes() -> Callable[[Path], Pushes]:
    """Give what makes a repository that is pushed into in a directory: for many in one test."""
    return Pushes
