"""Installing, showing and removing the hook, and what `check` finds wrong with it."""

import os
import subprocess
import tempfile
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim.errors import CommandFailed, StoreUnavailable
from pulseshim_plugins.git_hook import record_baseline, remove, show
from pulseshim_plugins.git_hook_check import hook_problems
from pulseshim_plugins.git_place import references, write_url
from pulseshim_plugins.installation import prepare_spool

if TYPE_CHECKING:
    from tests.plugins.conftest import GitServer

OTHER_USER = 65534
TEMPORARY = Path(tempfile.gettempdir())


@pytest.fixture
def repository(server: "GitServer") -> Path:
    """Give a bare repository."""
    return server.init("project.git", "--bare")


def problems(repository: Path, spool: Path) -> list[str]:
    """Give the problems of a hook, in words."""
    return [problem.text for problem in hook_problems(repository, spool)]


def test_what_is_installed_is_shown(server: "GitServer", repository: Path) -> None:
    """Place, version and all that was filled in can be read back."""
    server.install(repository, drain=["/opt/pulseshim/bin/pulseshim", "drain"])

    state = show(repository)

    assert state.place.path == repository / "hooks" / "post-receive"
    assert (state.version, state.executable, state.interpreter) == ("current", True, "/usr/bin/python3")
    assert state.spool == str(server.spool)
    assert state.drain == ("/opt/pulseshim/bin/pulseshim", "drain")
    assert state.previous is None


def test_installing_again_changes_only_what_is_told(server: "GitServer", repository: Path) -> None:
    """A hook of ours is brought up to date in place, also when it is an older one."""
    server.install(repository, drain=["/bin/drain"])
    first = (repository / "hooks" / "post-receive").read_bytes()

    server.install(repository)
    server.install(repository, drain=["/bin/drain"])

    assert (repository / "hooks" / "post-receive").read_bytes() == first
    assert os.listdir(repository / "hooks") == ["post-receive"]


@pytest.mark.parametrize("made_before", [False, True])
def test_the_hook_belongs_to_whom_the_repository_does(
    server: "GitServer", repository: Path, *, made_before: bool
) -> None:
    """Root installs for that owner, the directory of the hooks included; anybody else for himself."""
    user = OTHER_USER if os.geteuid() == 0 else os.geteuid()
    if made_before:
        (repository / "hooks").mkdir()
    if user == OTHER_USER:
        os.chown(repository / "hooks" if made_before else repository, user, user)

    state = server.install(repository)

    status = state.place.path.stat()
    assert (status.st_uid, status.st_mode & 0o7777) == (user, 0o755)
    assert state.place.path.parent.stat().st_uid == user


@pytest.mark.parametrize("edit", [b"# a line of mine\n", b"print('mine')\n"])
def test_an_edited_hook_is_left_alone(server: "GitServer", repository: Path, edit: bytes) -> None:
    """What a person wrote into our file is not thrown away: neither by install nor by remove."""
    path = server.install(repository).place.path
    with path.open("ab") as file:
        file.write(edit)
    text = path.read_bytes()

    with pytest.raises(CommandFailed, match="was edited since it was installed"):
        server.install(repository)
    with pytest.raises(CommandFailed, match="was edited since it was installed"):
        remove(repository)

    assert path.read_bytes() == text
    assert show(repository).version == "edited"


def test_an_older_version_is_outdated_and_can_go(server: "GitServer", repository: Path) -> None:
    """A hook that another version of pulseshim wrote, and nobody edited, is ours to replace or remove."""
    path = server.install(repository).place.path
    _age(path)

    version = show(repository).version
    remove(repository)

    assert version == "outdated"
    assert not path.exists()


def test_removing_what_is_not_there_is_said(repository: Path) -> None:
    """There is nothing to take out, and nothing is touched."""
    with pytest.raises(CommandFailed, match="is not installed"):
        remove(repository)


def test_the_baseline_has_every_ref(server: "GitServer", repository: Path) -> None:
    """What was there before the first push is recorded, in git's own order."""
    clone = server.clone(repository)
    server.push(clone, "HEAD:refs/heads/main", "HEAD:refs/tags/v1", "HEAD:refs/other/x")
    head = server.git("rev-parse", "HEAD", cwd=clone).stdout.strip()

    identity = record_baseline(
        repository, spool=server.spool, now=1_700_000_000_000_000_000, random=bytes(16)
    )

    [invocation] = server.invocations()
    assert (invocation.id, invocation.feed, invocation.arguments) == (identity, "git", ("baseline",))
    assert invocation.cwd == str(repository)
    refs = (b"refs/heads/main", b"refs/other/x", b"refs/tags/v1")
    assert invocation.stdin == b"".join(head + b" " + ref + b"\n" for ref in refs)


def test_the_baseline_has_no_ref_that_only_names_another(server: "GitServer", repository: Path) -> None:
    """It would keep alive what that one leaves, which no push of it tells."""
    clone = server.clone(repository)
    server.push(clone)
    before = references(repository)
    server.git("symbolic-ref", "refs/heads/master", "refs/heads/main", cwd=repository)

    assert references(repository) == before
    assert before.endswith(b" refs/heads/main\n")


def test_a_baseline_that_cannot_be_recorded_says_why(repository: Path, tmp_path: Path) -> None:
    """The error names the spool and what to do."""
    with pytest.raises(StoreUnavailable, match=r"No such file or directory: .*/missing"):
        record_baseline(repository, spool=tmp_path / "missing", now=0, random=bytes(16))


def test_a_new_spool_is_that_of_the_owner_of_the_store(tmp_path: Path) -> None:
    """Root may install the first hook: the service can read the spool all the same."""
    store = tmp_path / "store"
    store.mkdir()
    user = OTHER_USER if os.geteuid() == 0 else os.geteuid()
    if user == OTHER_USER:
        os.chown(store, user, user)

    prepare_spool(store / "spool", "everyone")

    status = (store / "spool" / "new").stat()
    assert (status.st_uid, status.st_mode & 0o7777) == (user, 0o1733)


def test_the_public_url_is_written_into_the_configuration(server: "GitServer", repository: Path) -> None:
    """It is where the runtime looks for it, and the file's owner stays the same."""
    before = (repository / "config").stat()

    write_url(repository, "https://git.example.org/project")

    said = server.git("config", "pulseshim.url", cwd=repository).stdout
    assert said == b"https://git.example.org/project\n"
    assert (repository / "config").stat().st_uid == before.st_uid


def test_a_sound_hook_has_no_problem(server: "GitServer", repository: Path) -> None:
    """Nothing is said where nothing is wrong."""
    server.install(repository, drain=["/bin/true"])

    assert problems(repository, server.spool) == []


def test_a_hook_that_does_not_run_is_a_problem(server: "GitServer", repository: Path) -> None:
    """Missing, replaced, not executable, hidden: each is told apart."""
    missing = problems(repository, server.spool)
    path = server.install(repository).place.path
    path.chmod(0o644)
    not_executable = problems(repository, server.spool)
    server.git("config", "core.hooksPath", "elsewhere", cwd=repository)
    hidden = problems(repository, server.spool)
    server.git("config", "--unset", "core.hooksPath", cwd=repository)
    path.write_text("#!/bin/sh\n")
    foreign = problems(repository, server.spool)
    gone = problems(server.root / "gone.git", server.spool)

    assert missing == ["the post-receive hook is not installed: pushes are not recorded"]
    assert not_executable == [f"{path} is not executable: git does not run it"]
    assert hidden == [f"git takes hooks from {repository / 'elsewhere'} (core.hooksPath) and runs not {path}"]
    assert foreign == [f"{path} is not pulseshim's hook: pushes are not recorded"]
    assert gone == [f"{server.root / 'gone.git'} is no directory"]


def test_a_hook_that_has_aged_is_a_problem(server: "GitServer", repository: Path) -> None:
    """An interpreter, a drain or a hook that is gone, an edit, another spool: each is named."""
    hooks = repository / "hooks"
    hooks.mkdir()
    (hooks / "post-receive").write_text("#!/bin/sh\n")
    state = server.install(repository, drain=["/does/not/exist"])
    assert state.previous is not None
    state.previous.unlink()
    path = state.place.path
    first = problems(repository, server.spool)
    text = path.read_bytes().replace(b"#!/usr/bin/python3", b"#!/gone/python3")
    path.write_bytes(text)

    second = problems(repository, server.root / "spool")

    assert first == [
        f"{state.previous}, the hook that was there before, is gone",
        f"/does/not/exist, which {path} starts, is not there",
    ]
    assert f"/gone/python3, which runs {path}, is not there" in second
    assert f"{path} was edited since it was installed" in second
    assert f"the hook records into {server.spool}, and the spool is {server.root / 'spool'}" in second


def test_a_spool_that_the_owner_may_not_write_is_a_problem(server: "GitServer", repository: Path) -> None:
    """Permission bits are judged for whom the repository belongs to, not for whoever checks."""
    server.install(repository)
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(repository, OTHER_USER, OTHER_USER)
    for place in takewhile(lambda place: place != TEMPORARY, server.spool.parents):
        place.chmod(0o755)
    closed = server.spool / "tmp"
    before = problems(repository, server.spool)
    closed.chmod(0o1700 if is_root else 0o500)

    after = problems(repository, server.spool)

    user = OTHER_USER if is_root else os.geteuid()
    said = f"the repository's owner (user {user}) may not write into {closed} because of {closed}"
    assert before == []
    assert after == [said]


def _age(path: Path) -> None:
    """Make a hook one that another version of pulseshim wrote: other text, and a digest that fits it."""
    text = path.read_text().replace("# It reads what git tells it", "# It reads what git said")
    lines = text.splitlines(keepends=True)
    number = next(index for index, line in enumerate(lines) if line.startswith("# digest: "))
    lines[number] = "\n"
    done = subprocess.run(["sha256sum"], input="".join(lines).encode(), capture_output=True, check=True)
    lines[number] = f"# digest: {done.stdout.split()[0].decode()}\n"
    path.write_text("".join(lines))
