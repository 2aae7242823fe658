"""How Mercurial takes the hook: as an extension, whose failures cost no push, and once for each event."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim_plugins.hg_hook import HOOK_FILE, install, remove, show
from pulseshim_plugins.hg_trust import untrusted

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer

HOOK = Path(__file__).parents[3] / "contrib" / "hooks" / "hg" / "pulseshim_hg.py"
HG = str(Path(sys.executable).with_name("hg"))
OTHER_USER = 65534
OLD_LINE = f"python:{HOOK}:record_transaction"

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def append(repository: Path, lines: str) -> None:
    """Add lines to the hgrc of a repository."""
    with (repository / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write(lines)


@pytest.mark.parametrize(
    ("damage", "way"),
    [("gone", "path"), ("gone", "ssh"), ("gone", "web"), ("broken", "path"), ("too new", "ssh")],
)
def test_a_hook_that_cannot_be_loaded_costs_no_push(
    server: "HgServer", system_hg: str, damage: str, way: str
) -> None:
    """The file is gone, is cut, or does not run on this Python: Mercurial warns, and takes the push."""
    repository = server.init(hook=False)
    install(repository, spool=server.spool)
    file = repository / ".hg" / HOOK_FILE
    if damage == "gone":
        file.unlink()
    else:
        file.write_text("def record(" if damage == "broken" else "raise ImportError('no module named new')\n")
    clone = server.clone(repository)
    node = clone.commit("a", file="a")

    if way == "path":
        said = clone("push")
    elif way == "ssh":
        ssh = server.root.parent / "ssh"
        ssh.write_text('#!/bin/sh\nshift\nexec sh -c "$*"\n')
        ssh.chmod(0o755)
        said = clone("push", "--ssh", str(ssh), "--remotecmd", system_hg, f"ssh://host/{repository}")
    else:
        with server.web(repository) as url:
            said = clone("push", url)

    assert node in server.hg("log", "-r", node, "--debug", cwd=repository)
    assert "Traceback" not in said
    assert way == "web" or "failed to import extension" in said


def test_a_repository_that_was_renamed_takes_pushes(server: "HgServer") -> None:
    """Its hgrc names the file where it was: pushes go on, `show` says what is wrong, installing heals it."""
    before = server.init("before", hook=False)
    install(before, spool=server.spool)
    repository = before.rename(server.root / "after")
    clone = server.clone(repository)
    clone.commit("a", file="a")
    clone("push", "-q", str(repository))
    lost = server.invocations()
    state = show(repository)

    install(repository, spool=server.spool)
    node = clone.commit("b", file="b")
    clone("push", "-q", str(repository))

    assert lost == []
    assert (state.version, state.file) == ("missing", str(before / ".hg" / HOOK_FILE))
    assert server.the_one().v1[0]["heads"] == [node]


def test_a_hook_that_is_gone_does_not_stop_those_of_other_repositories(server: "HgServer") -> None:
    """One process serves both: it remembers extensions by name, also that one could not be loaded."""
    moved, repository = server.init("moved", hook=False), server.init("project", hook=False)
    for each in (moved, repository):
        install(each, spool=server.spool)
    (moved / ".hg" / HOOK_FILE).unlink()
    clone = server.clone(repository)
    node = clone.commit("a", file="a")

    clone("push", "-q", str(moved))
    clone("push", "-q", str(repository))

    assert server.the_one().v1[0]["heads"] == [node]


def test_removing_the_hook_under_a_running_server_costs_no_push(server: "HgServer") -> None:
    """The server has read the hgrc before, and the file is gone by the next push."""
    repository = server.init(hook=False)
    install(repository, spool=server.spool)
    clone = server.clone(repository)
    with server.web(repository) as url:
        clone.commit("a", file="a")
        clone("push", "-q", url)
        remove(repository)
        node = clone.commit("b", file="b")
        clone("push", "-q", url)

    assert server.client(repository).node("tip") == node


@pytest.mark.parametrize("is_system", [False, True])
def test_a_hook_that_is_named_more_than_once_records_once(
    server: "HgServer", system_hg: str, *, is_system: bool
) -> None:
    """In the server's own hgrc, in the repository's, and in lines of `[hooks]`, of one name or another."""
    repository = server.init(hook=False)
    wide = server.root.parent / "hgrc"
    wide.write_text(f"[extensions]\npulseshim = {HOOK}\n[pulseshim]\nspool = {server.spool}\n")
    server.environ["HGRCPATH"] = str(wide)
    append(repository, f"[hooks]\ntxnclose.pulseshim = {OLD_LINE}\ntxnclose.other = {OLD_LINE}\n")
    install(repository, spool=server.spool)
    clone = server.clone(repository)
    clone.commit("a", file="a")

    program = system_hg if is_system else HG
    server.hg("pull", "-q", str(clone.path), cwd=repository, program=program)
    once = [invocation for invocation in server.invocations() if invocation.cwd == str(repository)]
    server.hg("pull", "-q", str(clone.path), cwd=repository, program=program)
    clone.commit("b", file="b")
    server.hg("pull", "-q", str(clone.path), cwd=repository, program=program)
    twice = [invocation for invocation in server.invocations() if invocation.cwd == str(repository)]

    assert (len(once), len(twice)) == (1, 1)


def test_installing_replaces_lines_of_hooks_that_were_installed(server: "HgServer") -> None:
    """Between the marks, nothing of an older way stays."""
    repository = server.init(hook=False)
    install(repository, spool=server.spool)
    hgrc = repository / ".hg" / "hgrc"
    lines = f"[hooks]\ntxnclose.pulseshim = {OLD_LINE}\n"
    hgrc.write_text(re.sub(r"\[extensions\]\npulseshim_.*\n", lines, hgrc.read_text()))
    before = show(repository)

    install(repository, spool=server.spool)

    assert before.version == "outdated"
    assert "txnclose" not in hgrc.read_text()
    assert show(repository).version == "current"


@only_root
def test_an_extension_in_an_hgrc_that_mercurial_does_not_trust_is_not_loaded(server: "HgServer") -> None:
    """Mercurial says so to the pusher, and pulseshim to the administrator."""
    repository = server.init(hook=False)
    install(repository, spool=server.spool)
    hgrc = repository / ".hg" / "hgrc"
    os.chown(hgrc, OTHER_USER, OTHER_USER)
    clone = server.clone(repository)
    clone.commit("a", file="a")

    said = clone("push")

    assert "not trusting file" in said
    assert [invocation for invocation in server.invocations() if invocation.cwd == str(repository)] == []
    assert untrusted(hgrc)


@only_root
def test_hooks_that_mercurial_does_not_trust_do_not_stop_the_server_s_own(server: "HgServer") -> None:
    """The extension stands in the server's hgrc, and the repository of somebody else has hooks."""
    repository = server.init(hook=False)
    wide = server.root.parent / "hgrc"
    wide.write_text(f"[extensions]\npulseshim = {HOOK}\n[pulseshim]\nspool = {server.spool}\n")
    server.environ["HGRCPATH"] = str(wide)
    append(repository, "[hooks]\nchangegroup.one = true\ntxnclose.two = true\n")
    os.chown(repository / ".hg" / "hgrc", OTHER_USER, OTHER_USER)
    clone = server.clone(repository)
    node = clone.commit("a", file="a")
    server.forget()

    clone("push", "-q")

    assert [event.v1[0]["heads"] for event in server.announced() if event.v1] == [[node]]
