"""Installing git's hook as root in the repository of somebody else, who would lead it elsewhere."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim.errors import CommandFailed
from pulseshim_plugins.git_hook import remove
from pulseshim_plugins.git_place import write_url

if TYPE_CHECKING:
    from tests.plugins.conftest import GitServer

OTHER_USER = 65534
TEMPORARY = Path(tempfile.gettempdir())

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be led further than the owner")


@pytest.fixture
def repository(server: "GitServer") -> Path:
    """Give a bare repository."""
    return server.init("project.git", "--bare")


@pytest.mark.parametrize("way", ["link", "setting", "new"])
def test_a_repository_does_not_lead_root_where_its_owner_may_not_write(
    server: "GitServer", repository: Path, tmp_path: Path, way: str
) -> None:
    """A link in it, or its core.hooksPath, to a directory of somebody else: nothing is made there."""
    other = tmp_path / "cron.daily"
    other.mkdir()
    shutil.rmtree(repository / "hooks", ignore_errors=True)
    target = other / "made" if way == "new" else other
    if way == "setting":
        subprocess.run(["git", "-C", repository, "config", "core.hooksPath", target], check=True)
    else:
        (repository / "hooks").symlink_to(target)
    os.chown(repository, OTHER_USER, OTHER_USER)

    with pytest.raises(CommandFailed, match="which belongs to another user"):
        server.install(repository)

    assert list(other.iterdir()) == []


def test_a_repository_does_not_lead_root_to_a_hook_of_anothers_that_is_to_be_removed(
    server: "GitServer", repository: Path, tmp_path: Path
) -> None:
    """Its core.hooksPath names where the hook of somebody else is."""
    other = tmp_path / "hooks"
    other.mkdir()
    subprocess.run(["git", "-C", repository, "config", "core.hooksPath", other], check=True)
    server.install(repository)
    os.chown(repository, OTHER_USER, OTHER_USER)

    with pytest.raises(CommandFailed, match="which belongs to another user"):
        remove(repository)

    assert os.listdir(other) == ["post-receive"]


def test_a_link_to_a_repository_that_an_administrator_names_is_one_name_of_it(
    server: "GitServer", repository: Path, tmp_path: Path
) -> None:
    """The directory of all repositories may be a link, as those of old paths are."""
    link = tmp_path / "srv"
    link.symlink_to(server.root)

    state = server.install(link / repository.name)
    remove(link / repository.name)

    assert state.place.path == repository / "hooks" / "post-receive"
    assert os.listdir(repository / "hooks") == []


def test_hooks_that_the_owner_may_not_change_are_installed_by_root(
    server: "GitServer", repository: Path
) -> None:
    """A directory of root's inside the repository is no way out of it."""
    (repository / "hooks").mkdir(exist_ok=True)
    os.chown(repository, OTHER_USER, OTHER_USER)

    assert server.install(repository).version == "current"


def test_the_url_is_written_with_the_rights_of_the_owner() -> None:
    """A configuration that is a link leads root nowhere that the owner could not go."""
    with tempfile.TemporaryDirectory(dir=TEMPORARY) as directory:
        root = Path(directory)
        root.chmod(0o755)
        other = root / "other"
        other.write_text("[user]\n\tname = root\n")
        for name in ("linked", "plain"):
            repository = root / name
            subprocess.run(["git", "init", "-q", "--bare", repository], check=True)
            if name == "linked":
                shutil.copy(repository / "config", root / "copy")
                (repository / "config").unlink()
                (repository / "config").symlink_to(other)
            subprocess.run(["chown", "-Rh", f"{OTHER_USER}:{OTHER_USER}", repository], check=True)

        write_url(root / "plain", "https://git.example.org/plain")
        with pytest.raises(CommandFailed, match="git config failed"):
            write_url(root / "linked", "https://git.example.org/linked")

        assert "git.example.org/plain" in (root / "plain" / "config").read_text()
        assert (root / "plain" / "config").stat().st_uid == OTHER_USER
        assert other.read_text() == "[user]\n\tname = root\n"
