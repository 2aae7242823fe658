"""The hook by itself: what can fail is said in one line, and the push goes on."""

import inspect
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pulseshim import recorder

if TYPE_CHECKING:
    from tests.plugins.conftest import GitServer

Until = Callable[[Callable[[], bool]], None]

SHIPPED = Path(__file__).parents[2] / "contrib" / "hooks" / "git" / "post-receive"
LINE = b"0" * 40 + b" " + b"1" * 40 + b" refs/heads/main\n"
OTHER_USER = 65534
TEMPORARY = Path(tempfile.gettempdir())


def run(server: "GitServer", stdin: bytes = LINE, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the hook as git does, but in an environment that has nothing but GIT_DIR."""
    repository = server.root / "project.git"
    if not repository.exists():
        server.init("project.git", "--bare")
        server.install(repository)
    options = {"cwd": repository, "env": {"GIT_DIR": "."}, "timeout": 60, **options}
    hook = repository / "hooks" / "post-receive"
    return subprocess.run([hook], input=stdin, capture_output=True, check=False, **options)


def limited(kind: int, limit: int) -> Callable[[], None]:
    """Give what puts a limit on a child."""
    return lambda: resource.setrlimit(kind, (limit, limit))


def test_the_hook_records_as_the_recorder_does() -> None:
    """The hook carries `record` letter for letter: one format, one way of writing it."""
    source = inspect.getsource(recorder.record)

    text = SHIPPED.read_text()

    assert source in text


def test_the_hook_needs_neither_path_nor_home_nor_pulseshim(server: "GitServer") -> None:
    """With an empty environment it records all the same, and says nothing."""
    done = run(server, env={})

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [invocation.stdin for invocation in server.invocations()] == [LINE]


def test_the_hook_imports_only_what_costs_nothing(server: "GitServer") -> None:
    """Beside what every interpreter loads, there is errno, which is built in."""
    run(server)
    hook = server.root / "project.git" / "hooks" / "post-receive"
    flags = ["/usr/bin/python3", "-IS", "-X", "importtime"]

    def imported(*arguments: str | Path) -> set[str]:
        done = subprocess.run([*flags, *arguments], input=LINE, capture_output=True, check=True)
        return {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}

    assert imported(hook) - imported("-c", "import os") <= {"_signal", "errno", "time"}


def test_an_empty_push_records_nothing(server: "GitServer") -> None:
    """No line on standard input, no invocation."""
    done = run(server, b"")

    assert (done.returncode, done.stderr) == (0, b"")
    assert server.invocations() == []


def test_the_hook_is_of_no_use_as_pre_receive(server: "GitServer") -> None:
    """A push that is not accepted yet must not be announced: it says so and lets the push pass."""
    repository = server.init("project.git", "--bare")
    clone = server.clone(repository)
    hook = server.install(repository).place.path
    hook.rename(hook.with_name("pre-receive"))

    said = server.push(clone)

    assert "it records nothing when run before a push is accepted" in said
    assert server.invocations() == []


@pytest.mark.parametrize("missing", [".", "new", "tmp"])
def test_a_spool_that_is_not_there_is_named(server: "GitServer", missing: str) -> None:
    """One line on standard error, with reason, file and remedy; exit code 0."""
    place = server.spool / missing
    place.rename(server.spool.with_name("elsewhere"))

    done = run(server)

    assert done.returncode == 0
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"pulseshim: this push was not recorded (No such file or directory: /")
    assert os.fsencode(server.spool) in done.stderr
    assert b"`pulseshim check`" in done.stderr


def test_a_full_disk_is_named_and_leaves_nothing_behind(server: "GitServer") -> None:
    """A file that cannot be written whole is not there at all."""
    done = run(server, LINE * 1000, preexec_fn=limited(resource.RLIMIT_FSIZE, 4096))

    assert done.returncode == 0
    assert done.stderr.startswith(b"pulseshim: this push was not recorded (File too large: /")
    assert [os.listdir(server.spool / name) for name in ("tmp", "new")] == [[], []]


def test_one_open_file_is_enough(server: "GitServer") -> None:
    """When the directory cannot be opened to be synced, what is in it counts as recorded: it will be read."""
    run(server, b"")

    done = run(server, preexec_fn=limited(resource.RLIMIT_NOFILE, 4))

    assert (done.returncode, done.stderr) == (0, b"")
    assert len(server.invocations()) == 1


@pytest.mark.parametrize("recorders", ["everyone", "owner"])
def test_another_user_records_where_the_spool_is_open_to_all(server: "GitServer", recorders: str) -> None:
    """A spool for everyone takes any user's push, and the file is that user's; one for its owner does not."""
    recorder.prepare(os.fsencode(server.spool), recorders)
    is_root = os.geteuid() == 0
    for place in takewhile(lambda place: place != TEMPORARY, server.spool.parents):
        place.chmod(0o755)
    user = OTHER_USER if is_root else os.geteuid()

    identity: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if is_root else {}
    done = run(server, **identity)

    recorded = server.invocations()
    assert done.returncode == 0
    if recorders == "everyone" or not is_root:
        assert [invocation.owner for invocation in recorded] == [user]
    else:
        assert recorded == []
        assert done.stderr.startswith(b"pulseshim: this push was not recorded (Permission denied: /")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_pusher_who_goes_away_does_not_undo_the_recording(
    server: "GitServer", until: Until, number: signal.Signals
) -> None:
    """Hanging up or Ctrl-C while the hook works, with nobody reading what it says: the push is recorded."""
    run(server, b"")
    repository = server.root / "project.git"
    readable, writable = os.pipe()
    os.close(readable)
    hook = subprocess.Popen(
        [repository / "hooks" / "post-receive"],
        stdin=subprocess.PIPE,
        stdout=writable,
        stderr=writable,
        cwd=repository,
    )
    os.close(writable)
    status = Path(f"/proc/{hook.pid}/status")
    until(lambda: _ignores(status, number))

    hook.send_signal(number)
    hook.communicate(LINE, timeout=60)

    assert hook.returncode == 0
    assert [invocation.stdin for invocation in server.invocations()] == [LINE]


def _ignores(status: Path, number: signal.Signals) -> bool:
    """Say whether a process ignores all that the hook ignores: the last of them is SIGTERM."""
    [line] = [line for line in status.read_text().splitlines() if line.startswith("SigIgn")]
    mask = int(line.split()[1], 16)
    return all(mask >> each - 1 & 1 for each in (number, signal.SIGTERM))


def test_a_pusher_who_cannot_be_told_is_no_failure(server: "GitServer") -> None:
    """A failure that nobody reads any more does not change the exit code."""
    run(server, b"")
    (server.spool / "new").rmdir()
    repository = server.root / "project.git"
    readable, writable = os.pipe()
    os.close(readable)

    done = subprocess.run(
        [repository / "hooks" / "post-receive"], input=LINE, stderr=writable, cwd=repository, check=False
    )

    os.close(writable)
    assert done.returncode == 0
