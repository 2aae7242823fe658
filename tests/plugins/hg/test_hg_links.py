"""Installing as root into the repository of somebody else, and beside what is nobody else's business."""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim.errors import CommandFailed
from pulseshim_plugins.hg_hook import HOOK_FILE, install, remove

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer

OTHER_USER = 65534
PASSWORD = "[auth]\nx.prefix = h\nx.password = secret\n"


def mode(path: Path) -> int:
    """Give the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("before", [0o600, 0o640])
def test_an_hgrc_keeps_its_mode_and_its_owner(server: "HgServer", before: int) -> None:
    """It may hold passwords: neither installing nor removing lets anybody read them."""
    repository = server.init(hook=False)
    hgrc = repository / ".hg" / "hgrc"
    hgrc.write_text(PASSWORD)
    hgrc.chmod(before)
    if os.geteuid() == 0:
        os.chown(hgrc, OTHER_USER, OTHER_USER)
    owner = hgrc.stat()

    install(repository, spool=server.spool)
    installed = mode(hgrc)
    remove(repository)

    assert (installed, mode(hgrc)) == (before, before)
    assert (hgrc.stat().st_uid, hgrc.stat().st_gid) == (owner.st_uid, owner.st_gid)
    assert hgrc.read_text() == PASSWORD


def test_new_files_can_be_read_by_whoever_pushes(server: "HgServer") -> None:
    """A mask of root's shell has no say in it."""
    repository = server.init(hook=False)
    (repository / ".hg" / "hgrc").unlink()
    mask = os.umask(0o077)
    try:
        install(repository, spool=server.spool)
    finally:
        os.umask(mask)

    assert mode(repository / ".hg" / "hgrc") == mode(repository / ".hg" / HOOK_FILE) == 0o644


@pytest.mark.parametrize(("verb", "name"), [("install", "hgrc"), ("install", HOOK_FILE), ("remove", "hgrc")])
def test_a_link_is_not_followed(server: "HgServer", verb: str, name: str) -> None:
    """What it leads to stays as it is, contents and mode; the error names the link and the remedy."""
    repository = server.init(hook=False)
    other = server.root.parent / "other"
    other.write_text("root's\n")
    other.chmod(0o600)
    file = repository / ".hg" / name
    file.unlink(missing_ok=True)
    file.symlink_to(other)

    with pytest.raises(CommandFailed, match=f"it is a link, or no file: .*{name}.*put the file") as caught:
        install(repository, spool=server.spool) if verb == "install" else remove(repository)

    assert str(file) in str(caught.value)
    assert (other.read_text(), mode(other)) == ("root's\n", 0o600)
    assert file.is_symlink()


def test_a_link_to_the_whole_of_another_repository_is_not_followed(server: "HgServer") -> None:
    """The administrator names the repository that is meant."""
    other = server.init("other", hook=False)
    before = (other / ".hg" / "hgrc").read_text()
    link = server.root / "link"
    link.mkdir()
    (link / ".hg").symlink_to(other / ".hg")

    with pytest.raises(CommandFailed, match="is a link"):
        install(link, spool=server.spool)

    assert (other / ".hg" / "hgrc").read_text() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_share_does_not_lead_to_the_repository_of_another(server: "HgServer") -> None:
    """Its owner could name any repository in `sharedpath`."""
    other, share = server.init("other", hook=False), server.init("share", hook=False)
    before = (other / ".hg" / "hgrc").read_text()
    (share / ".hg" / "sharedpath").write_text(str(other / ".hg"))
    os.chown(share / ".hg", OTHER_USER, OTHER_USER)

    with pytest.raises(CommandFailed, match="which belongs to another user"):
        install(share, spool=server.spool)

    assert (other / ".hg" / "hgrc").read_text() == before


def test_a_link_to_a_repository_that_an_administrator_names_is_one_name_of_it(server: "HgServer") -> None:
    """The file and the lines are those of the repository itself."""
    repository = server.init(hook=False)
    link = server.root / "link"
    link.symlink_to(server.root)

    install(link / repository.name, spool=server.spool)

    assert f"= {repository / '.hg' / HOOK_FILE}\n" in (repository / ".hg" / "hgrc").read_text()
    assert remove(link / repository.name).repository == repository
