"""Installing and removing git's hook while the owner of the repository exchanges files and directories."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim.errors import CommandFailed
from pulseshim_plugins.git_hook import PREVIOUS

if TYPE_CHECKING:
    from tests.plugins.conftest import GitServer

Linking = Callable[..., None]

OTHER_USER = 65534
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
