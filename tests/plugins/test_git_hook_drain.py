"""The drain that a hook starts: it outlives the push, and holds nothing of it."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugins.conftest import GitServer

Until = Callable[[Callable[[], bool]], None]
WriteHook = Callable[[Path, str], Path]

STUB = """\
#!/bin/sh
ls -l /proc/$$/fd > "$1.fds"
pwd > "$1.cwd"
env > "$1.environ"
cut -d' ' -f6 /proc/$$/stat > "$1.session"
echo $$ > "$1.part" && mv "$1.part" "$1"
exec sleep 600
"""


@pytest.fixture
def stub(tmp_path: Path, write_hook: WriteHook) -> Iterator[list[str]]:
    """Give a command that notes how it was started, and its number, and then lives on."""
    note = tmp_path / "noted"
    yield [str(write_hook(tmp_path / "stub", STUB)), str(note)]
    if note.exists():
        os.kill(int(note.read_text()), signal.SIGKILL)


def test_a_push_does_not_wait_for_the_drain(server: "GitServer", stub: list[str], until: Until) -> None:
    """When the push has returned, the drain still lives: in its own session, with nothing of the push."""
    repository = server.init("project.git", "--bare")
    clone = server.clone(repository)
    server.environ["KEPT"] = "yes"
    server.install(repository, drain=stub)
    note = Path(stub[1])

    server.push(clone)

    until(note.exists)
    number = int(note.read_text())
    os.kill(number, 0)
    opened = {
        line.split(" -> ")[1] for line in Path(f"{note}.fds").read_text().splitlines() if " -> " in line
    }
    environ = Path(f"{note}.environ").read_text().splitlines()
    assert {target for target in opened if not target.startswith(str(note.parent))} == {"/dev/null"}
    assert Path(f"{note}.cwd").read_text() == "/\n"
    assert int(Path(f"{note}.session").read_text()) != os.getsid(0)
    assert "KEPT=yes" in environ
    assert [line for line in environ if line.startswith("GIT_")] == []


def test_a_push_that_is_not_recorded_starts_no_drain(server: "GitServer", stub: list[str]) -> None:
    """There is nothing to drain of it."""
    repository = server.init("project.git", "--bare")
    clone = server.clone(repository)
    server.install(repository, drain=stub)
    (server.spool / "new").rmdir()

    said = server.push(clone)

    assert "this push was not recorded" in said
    assert not Path(stub[1]).exists()


def test_a_push_of_nothing_starts_no_drain(server: "GitServer") -> None:
    """Run without input, the hook does not even try: a program that is not there would be named."""
    repository = server.init("project.git", "--bare")
    hook = server.install(repository, drain=["/does/not/exist"]).place.path

    done = subprocess.run([hook], input=b"", cwd=repository, capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("program", ["/does/not/exist", "/etc/passwd"])
def test_a_drain_that_cannot_be_started_is_named(server: "GitServer", program: str) -> None:
    """The push is recorded, and one line says what does not work."""
    repository = server.init("project.git", "--bare")
    clone = server.clone(repository)
    server.install(repository, drain=[program, "drain"])

    said = server.push(clone)

    assert "pulseshim could not be started" in said
    assert program in said
    assert len(server.invocations()) == 1
