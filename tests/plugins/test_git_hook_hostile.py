"""Repositories whose owner wishes harm to whoever installs or checks their hook."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim import Settings
from pulseshim.errors import CommandFailed
from pulseshim.settings import StoreSettings
from pulseshim.testing import MemoryState
from pulseshim_plugins.git_check import problems
from pulseshim_plugins.git_hook import show
from pulseshim_plugins.git_hook_check import hook_problems
from pulseshim_plugins.git_place import read_git

if TYPE_CHECKING:
    from tests.plugins.conftest import GitServer

HUGE = 1 << 40


@pytest.fixture
def repository(server: "GitServer") -> Path:
    """Give a bare repository."""
    return server.init("project.git", "--bare")


def pipe(path: Path) -> None:
    """Put a pipe that nobody writes to in a place."""
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path, 0o755)


@pytest.mark.parametrize("drivers", [False, True])
def test_a_hook_that_is_a_pipe_is_named_and_not_waited_for(
    server: "GitServer", repository: Path, *, drivers: bool
) -> None:
    """Whether or not other hooks lie beside it."""
    hook = repository / "hooks" / "post-receive"
    pipe(hook)
    if drivers:
        hook.with_name("post-receive.d").mkdir()

    (problem,) = hook_problems(repository, server.spool)

    assert problem.text == (
        f"the hook of {repository} cannot be read or written (it is no regular file: {hook})"
    )


def test_a_hook_that_is_a_device_is_named(server: "GitServer", repository: Path) -> None:
    """One that never ends fills no memory."""
    hook = repository / "hooks" / "post-receive"
    hook.parent.mkdir()
    hook.symlink_to("/dev/zero")

    (problem,) = hook_problems(repository, server.spool)

    assert "it is no regular file" in problem.text


def test_of_a_huge_hook_only_the_beginning_is_read(repository: Path) -> None:
    """A program of somebody else's may be larger than any hook of ours."""
    hook = repository / "hooks" / "post-receive"
    hook.parent.mkdir()
    hook.touch()
    os.truncate(hook, HUGE)

    assert show(repository).version == "foreign"


def test_git_is_not_waited_for_without_end(repository: Path) -> None:
    """A configuration that includes a pipe nobody writes to stops one question."""
    pipe(repository / "pipe")
    with (repository / "config").open("a") as config:
        config.write(f"[include]\n\tpath = {repository / 'pipe'}\n")

    with pytest.raises(CommandFailed, match="git did not answer within 1 s"):
        read_git(repository, "config", "core.bare", timeout=1.0)


def test_a_repository_that_git_cannot_read_is_a_problem_and_the_next_is_looked_at(
    server: "GitServer", tmp_path: Path
) -> None:
    """One owner cannot keep `check` from what it says about others."""
    broken, sound = (server.init(name, "--bare") for name in ("a.git", "b.git"))
    for each in (broken, sound):
        server.install(each)
    (broken / "packed-refs").write_text("no refs\n")
    state = MemoryState({f"refs:{each}": {"refs/heads/main": "1" * 40} for each in (broken, sound)})
    settings = Settings(store=StoreSettings(directory=str(tmp_path / "store")))

    found = {problem.subject: problem.text for problem in problems(settings, state, 0)}

    assert "git for-each-ref" in found[str(broken)]
    assert "1 refs changed" in found[str(sound)]


@pytest.mark.parametrize(
    "line",
    [
        b"PREVIOUS = 5",
        b"PREVIOUS = b'../../x'",
        b"PREVIOUS = b'..'",
        b"PREVIOUS = b'a\\0b'",
        b"PREVIOUS = 'text'",
        b"PREVIOUS = {[]: 1}",
        b"PREVIOUS = " + b"-" * 200_000,
        b"PREVIOUS = " + b"[" * 200_000,
        b"DRAIN = 5",
        b"DRAIN = [5, b'x']",
        b"DRAIN = [b'a\\0b']",
        b"SPOOL = None",
        b"SPOOL = b'a\\0b'",
    ],
)
def test_a_hook_of_ours_with_a_line_that_makes_no_sense_is_one_that_was_edited(
    server: "GitServer", repository: Path, line: bytes
) -> None:
    """What cannot be read of it is empty, and nobody is led anywhere by it."""
    path = server.install(repository).place.path
    path.write_bytes(path.read_bytes() + b"\n" + line + b"\n")
    name = line.partition(b" ")[0].decode().lower()

    state = show(repository)

    assert state.version == "edited"
    assert not getattr(state, name)
    assert hook_problems(repository, server.spool)


@pytest.mark.parametrize("trick", ["a null byte", "a link to itself", "a number"])
def test_a_repository_whose_hook_makes_no_sense_is_a_problem_and_the_next_is_looked_at(
    server: "GitServer", tmp_path: Path, trick: str
) -> None:
    """One owner cannot keep `check` from what it says about others."""
    broken, sound = (server.init(name, "--bare") for name in ("a.git", "b.git"))
    for each in (broken, sound):
        server.install(each)
    hook = broken / "hooks" / "post-receive"
    text = hook.read_bytes()
    if trick == "a null byte":
        hook.write_bytes(text.replace(b"/python3", b"/py\0thon3", 1))
    elif trick == "a number":
        hook.write_bytes(text + b"\nPREVIOUS = 5\n")
    else:
        hook.unlink()
        hook.symlink_to(hook)
    state = MemoryState({f"refs:{each}": {"refs/heads/main": "1" * 40} for each in (broken, sound)})
    settings = Settings(store=StoreSettings(directory=str(tmp_path / "store")))

    found = {problem.subject: problem.text for problem in problems(settings, state, 0)}

    assert found[str(broken)]
    assert "1 refs changed" in found[str(sound)]
