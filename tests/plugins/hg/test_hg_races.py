"""Pushes to one repository at the same time: each is one event, of its own changesets."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer

HG = str(Path(sys.executable).with_name("hg"))


def wait_for_each_other(repository: Path, pushes: int) -> None:
    """Make each push wait, between its transaction and pulseshim's hook, until all transactions are done."""
    arrived = repository.with_name("arrived")
    arrived.mkdir()
    script = repository.with_name("wait.py")
    script.write_text(_WAIT.format(arrived=str(arrived), pushes=pushes))
    with (repository / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write(f"[extensions]\nwait = {script}\n")


# The extension that is loaded last is the first to be called.
_WAIT = """\
import os
import tempfile
import time

def reposetup(ui, repo):
    class Waiting(repo.__class__):
        def hook(self, name, throw=False, **facts):
            if name == b"txnclose":
                tempfile.mkstemp(dir={arrived!r})
                deadline = time.monotonic() + 30
                while len(os.listdir({arrived!r})) < {pushes} and time.monotonic() < deadline:
                    time.sleep(0.05)
            return super().hook(name, throw, **facts)

    if repo.local():
        repo.__class__ = Waiting
"""


def test_pushes_that_race_are_announced_each_by_its_own_changesets(server: "HgServer") -> None:
    """All are in the repository by the time the first is recorded; no event takes what another brought."""
    # The threads of `hg serve` would race over Mercurial's late imports, too, and fail now and then.
    server.environ["HGDEMANDIMPORT"] = "disable"
    repository = server.init()
    clone = server.clone(repository)
    clone.commit("base", base="base")
    clone("push", "-q")
    server.forget()
    wait_for_each_other(repository, 3)
    names = ("one", "two", "three")
    brought = {}
    for name in names:
        server.hg("clone", "-q", repository, server.root.parent / name)
        racer = server.client(server.root.parent / name)
        brought[name] = [racer.commit(f"{name} {number}", **{name: str(number)}) for number in range(3)]
        racer("bookmark", "-q", name)

    with server.web(repository) as url:
        pushes = [
            subprocess.Popen(
                [HG, "push", "-q", "-f", "-B", name, url],
                cwd=server.root.parent / name,
                env=server.environ,
                stdin=subprocess.DEVNULL,
            )
            for name in names
        ]
        assert [push.wait(100) for push in pushes] == [0, 0, 0]

    events = server.announced()
    assert len(list(repository.with_name("arrived").iterdir())) == 3
    told = {move.bookmark: event for event in events for move in event.transaction.bookmarks}
    assert len(events) == len(told) == 3
    for name, nodes in brought.items():
        assert [changeset.node for changeset in told[name].changesets] == nodes
        assert told[name].v1[0]["heads"] == nodes[-1:]
        assert told[name].code[0]["changesets"] == nodes
