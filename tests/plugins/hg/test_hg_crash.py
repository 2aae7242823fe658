"""Transactions that were cut short or undone: none is announced that did not happen, none twice."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.hg.conftest import HgServer

KILLED = -9


def add_hook(repository: "Path", name: str, command: str) -> str:
    """Put a hook before those of a repository, and give its hgrc as it was."""
    hgrc = repository / ".hg" / "hgrc"
    before = hgrc.read_text()
    hgrc.write_text(f"[hooks]\n{name} = {command}\n{before}")
    return before


def test_a_transaction_that_was_killed_is_no_event(server: "HgServer") -> None:
    """`hg recover` takes back what it wrote, and announces nothing; the push that is tried again is one."""
    repository = server.init()
    clone = server.clone(repository)
    node = clone.commit("a", file="a")
    clone("bookmark", "-q", "feature")
    before = add_hook(repository, "pretxnclose.die", "kill -9 $PPID")

    server.hg("push", "-q", "-B", "feature", cwd=clone.path, status=KILLED)
    abandoned = (repository / ".hg" / "store" / "journal").exists()
    (repository / ".hg" / "hgrc").write_text(before)
    server.hg("recover", "-q", cwd=repository)
    recovered = server.invocations()
    clone("push", "-q", "-B", "feature")

    assert abandoned
    assert recovered == []
    push = server.the_one()
    assert push.types == ["newrepo.1", "changegroup.1", "bookmark.1"]
    assert [changeset.node for changeset in push.changesets] == [node]


def test_a_server_that_was_killed_after_it_was_recorded_is_one_event(server: "HgServer") -> None:
    """The pusher sees a push that failed and tries it again: there is nothing new by then."""
    repository = server.init()
    with (repository / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write("[hooks]\ntxnclose.zzz = kill -9 $PPID\n")
    clone = server.clone(repository)
    node = clone.commit("a", file="a")

    server.hg("push", "-q", cwd=clone.path, status=KILLED)
    clone("push", "-q", status=1)

    assert [changeset.node for changeset in server.the_one().changesets] == [node]


def test_a_push_that_was_taken_back_was_a_push(server: "HgServer") -> None:
    """`hg rollback` is no event of its own: the push is announced by its heads, and so is the next one."""
    repository = server.init()
    clone = server.clone(repository)
    node = clone.commit("a", file="a")
    clone("push", "-q")
    server.hg("rollback", "-q", "--config", "ui.rollback=true", cwd=repository)

    clone("push", "-q")

    first, second = server.announced()
    assert first.v1[0]["heads"] == second.v1[0]["heads"] == [node]
    assert [push.v1[0]["pushlog_pushes"][0]["pushid"] for push in (first, second)] == [1, 2]
