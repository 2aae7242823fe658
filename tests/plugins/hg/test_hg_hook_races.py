"""Installing and removing Mercurial's hook while the owner of the repository exchanges directories."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim.errors import CommandFailed
from pulseshim_plugins.hg_hook import HOOK_FILE, install, remove

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer

AtCall = Callable[[int, Callable[[], object], Callable[[], object]], bool]

OTHER_USER, ANOTHER_USER = 65534, 65533
FEWEST_CALLS = 20


class Neighbours:
    """The directories of two people, each with a repository, where the first puts a link to the other's."""

    def __init__(self, server: "HgServer") -> None:
        self.template = server.init("template", hook=False)
        self.mine, self.others = server.root / "mine", server.root / "others"
        self.repository = self.mine / "project"
        self.hgrc = self.others / "project" / ".hg" / "hgrc"

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
            subprocess.run(["cp", "-R", self.template, path / "project"], check=True)
            if os.geteuid() == 0:
                subprocess.run(["chown", "-R", f"{owner}:{owner}", path], check=True)


@pytest.fixture
def neighbours(server: "HgServer") -> Neighbours:
    """Give two of them."""
    return Neighbours(server)


def test_a_repository_that_becomes_a_link_has_no_hgrc_of_anothers_name_its_files(
    server: "HgServer", neighbours: Neighbours, at_call: AtCall
) -> None:
    """At every second moment: what the other runs is theirs, as when that repository had been named."""
    for number in itertools.count(1, 2):
        neighbours.renew()
        if not at_call(number, neighbours.swap, lambda: install(neighbours.repository, spool=server.spool)):
            break

        text, hook = neighbours.hgrc.read_text(), neighbours.hgrc.with_name(HOOK_FILE)
        assert str(neighbours.mine) not in text, number
        assert (str(hook) in text) == hook.exists(), number
    assert number > FEWEST_CALLS


def test_a_repository_that_becomes_a_link_has_no_hook_of_anothers_removed(
    server: "HgServer", neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It becomes one when its directory is about to be opened."""
    neighbours.renew()
    for repository in (neighbours.repository, neighbours.others / "project"):
        install(repository, spool=server.spool)
    as_it_was = neighbours.hgrc.read_text()
    call, swaps = os.open, [neighbours.swap]

    def opened(path: str | Path, flags: int, *rest: int, **options: int) -> int:
        if flags & os.O_DIRECTORY and swaps:
            swaps.pop()()
        return call(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(CommandFailed, match="it is a link, or no directory"):
        remove(neighbours.repository)

    assert neighbours.hgrc.read_text() == as_it_was
    assert neighbours.hgrc.with_name(HOOK_FILE).exists()
