"""Installing and removing git's hook while the owner of the repository exchanges files and directories."""

import errno
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim.errors import CommandFailed
from pulseshim_plugins.git_hook import PREVIOUS, remove
from pulseshim_plugins.git_place import write_url

if TYPE_CHECKING:
    from tests.plugins.conftest import GitServer

Linking = Callable[..., None]

AtCall = Callable[[int, Callable[[], object], Callable[[], object]], bool]

OTHER_USER, ANOTHER_USER = 65534, 65533
FEWEST_CALLS = 5
TEMPORARY = Path(tempfile.gettempdir())
URL = "https://git.example.org/mine"
OLD = "#!/bin/sh\n# the hook from before\n"

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def hook(server: "GitServer") -> Path:
    """Give a hook that is in a repository before ours."""
    path = server.init("project.git", "--bare") / "hooks" / "post-receive"
    path.parent.mkdir()
    path.write_text(OLD)
    path.chmod(0o700)
    return path


@pytest.fixture
def linking(monkeypatch: pytest.MonkeyPatch) -> Linking:
    """Give a way to do something at the moment before a hard link is made; with a number, making it fails."""
    link = os.link

    def prepare(deed: Callable[[], object], failure: int = 0) -> None:
        def linked(*places: str, **options: object) -> None:
            deed()
            if failure:
                raise OSError(failure, os.strerror(failure))
            link(*places, **options)  # type: ignore[arg-type] # as they were given

        monkeypatch.setattr(os, "link", linked)

    return prepare


@pytest.mark.parametrize("failure", [0, errno.EMLINK])
def test_a_link_where_the_old_hook_is_to_be_kept_is_not_written_through(
    server: "GitServer", hook: Path, linking: Linking, tmp_path: Path, failure: int
) -> None:
    """It appears after we looked: what it leads to stays as it is, and so does the hook."""
    other, kept = tmp_path / "cron", hook.with_name(PREVIOUS)
    other.write_text("root's\n")
    linking(lambda: kept.symlink_to(other), failure)

    with pytest.raises(CommandFailed, match="is still there from before"):
        server.install(hook.parents[1])

    assert other.read_text() == "root's\n"
    assert hook.read_text() == OLD


def test_a_file_that_only_root_may_read_is_not_copied_for_the_owner(
    server: "GitServer", hook: Path, linking: Linking, tmp_path: Path
) -> None:
    """The hook becomes a link after we looked, and no hard link can be made to it."""
    secret = tmp_path / "secret"
    secret.write_text("root's\n")

    def swap() -> None:
        hook.unlink()
        hook.symlink_to(secret)

    linking(swap, errno.EMLINK)

    with pytest.raises(CommandFailed, match="cannot be read or written"):
        server.install(hook.parents[1])

    assert os.listdir(hook.parent) == ["post-receive"]


def test_without_hard_links_the_old_hook_is_kept_as_a_copy(
    server: "GitServer", hook: Path, linking: Linking
) -> None:
    """It is run as the hook was: same text, same mode."""
    linking(lambda: None, errno.EPERM)

    state = server.install(hook.parents[1])

    assert state.previous == hook.with_name(PREVIOUS)
    assert state.previous.read_text() == OLD
    assert state.previous.stat().st_mode & 0o7777 == 0o700


@only_root
def test_the_copy_belongs_to_the_owner_of_the_hook(server: "GitServer", hook: Path, linking: Linking) -> None:
    """No file of root's with the words of another, which cron or sudo would believe."""
    os.chown(hook, OTHER_USER, OTHER_USER)
    hook.chmod(0o4755)
    linking(lambda: None, errno.EMLINK)

    server.install(hook.parents[1])

    kept = hook.with_name(PREVIOUS).stat()
    assert (kept.st_uid, kept.st_gid, kept.st_mode & 0o7777) == (OTHER_USER, OTHER_USER, 0o755)


@dataclass(frozen=True)
class Neighbours:
    """The directories of two people, each with a repository, where the first puts a link to the other's."""

    server: "GitServer"
    mine: Path
    others: Path

    @property
    def repository(self) -> Path:
        """Give the repository that root is to work on."""
        return self.mine / "project.git"

    def swap(self) -> None:
        """Lead whoever goes through the first directory into the other."""
        os.rename(self.mine, self.mine.with_name("away"))
        os.symlink(self.others, self.mine)

    def renew(self) -> None:
        """Make both as they were at first."""
        for path in (self.mine, self.mine.with_name("away"), self.others):
            if path.is_symlink():
                path.unlink()
            shutil.rmtree(path, ignore_errors=True)
        for path, owner in ((self.mine, OTHER_USER), (self.others, ANOTHER_USER)):
            path.mkdir()
            subprocess.run(["cp", "-R", self.server.root / "template.git", path / "project.git"], check=True)
            if os.geteuid() == 0:
                subprocess.run(["chown", "-R", f"{owner}:{owner}", path], check=True)


@pytest.fixture
def neighbours(server: "GitServer") -> Neighbours:
    """Give two of them, with repositories that have a hook of their owner's."""
    template = server.init("template.git", "--bare")
    (template / "hooks").mkdir()
    (template / "hooks" / "post-receive").write_text(OLD)
    for place in takewhile(lambda place: place != TEMPORARY, template.parents):
        place.chmod(0o755)
    return Neighbours(server, server.root / "mine", server.root / "others")


def told(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Give each file below a directory, with its owner and content, and each directory, with its owner."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_uid,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in directory.rglob("*")
    }


@pytest.mark.parametrize(
    ("verb", "before"), [("install", "no directory"), ("install", "a hook"), ("remove", "ours")]
)
def test_a_repository_that_becomes_a_link_leads_to_no_hook_of_anothers(
    neighbours: Neighbours, at_call: AtCall, verb: str, before: str
) -> None:
    """At whatever moment: the other's hook is there, or kept as when that repository had been named."""
    server, repository = neighbours.server, neighbours.repository
    for number in itertools.count(1):
        neighbours.renew()
        if before == "no directory":
            shutil.rmtree(repository / "hooks")
        elif before == "ours":
            (repository / "hooks" / "post-receive").unlink()
            server.install(repository)
        as_it_was = told(neighbours.others)
        if not at_call(
            number,
            neighbours.swap,
            lambda: server.install(repository) if verb == "install" else remove(repository),
        ):
            break

        now, hook = told(neighbours.others), "project.git/hooks/post-receive"
        assert as_it_was[hook] in (now[hook], now.get(f"{hook}-before-pulseshim")), number
        assert {owner for owner, _ in now.values()} == {owner for owner, _ in as_it_was.values()}, number
    assert number > FEWEST_CALLS


def test_a_repository_that_becomes_a_link_leads_to_no_configuration_of_anothers(
    neighbours: Neighbours, at_call: AtCall
) -> None:
    """At whatever moment after it was found."""
    for number in itertools.count(1):
        neighbours.renew()
        as_it_was = told(neighbours.others)
        if not at_call(number, neighbours.swap, lambda: write_url(neighbours.repository, URL)):
            break

        assert told(neighbours.others) == as_it_was, number
    assert number > FEWEST_CALLS
