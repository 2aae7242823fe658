"""The ways into a repository: pull, unbundle, import, commit, clone, ssh, chg, old servers; and by whom."""

import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer


def write_program(path: Path, text: str) -> Path:
    """Write an executable file."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_commits_on_the_server_are_announced(server: "HgServer") -> None:
    """A commit, an import and a graft are transactions like pushes; the source is what Mercurial calls it."""
    repository = server.init()
    here = server.client(repository)
    first = here.commit("a", file="a")
    patch = repository.parent / "patch"
    patch.write_text(here("export", "-r", first).replace("+a", "+b").replace("# Node ID", "# X"))
    here("update", "-q", "null")

    here("import", "-q", str(patch))

    committed, imported = (event for event in server.announced() if event.v1)
    assert committed.data("changegroup.1")["source"] == "commit"
    assert imported.data("changegroup.1")["source"] == "import"
    assert imported.v1[0]["heads"] == [here.node("tip")]


def test_pull_and_unbundle_are_announced(server: "HgServer") -> None:
    """What the server fetches, and what is brought in a file."""
    repository = server.init()
    clone = server.clone(repository)
    first = clone.commit("a", file="a")
    here = server.client(repository)

    here("pull", "-q", str(clone.path))
    second = clone.commit("b", file="b")
    clone("bundle", "-q", str(clone.path.parent / "bundle"))
    here("unbundle", "-q", str(clone.path.parent / "bundle"))

    pulled, unbundled = server.announced()
    assert (pulled.v1[0]["heads"], unbundled.v1[0]["heads"]) == ([first], [second])
    assert [event.data("changegroup.1")["source"] for event in (pulled, unbundled)] == ["pull", "unbundle"]


def test_a_clone_by_stream_is_a_new_repository(server: "HgServer") -> None:
    """Under a hook in the server's own hgrc: no changegroup comes, and what is pushed later does."""
    origin = server.init("origin", hook=False)
    clone = server.clone(origin)
    clone.commit("a", file="a")
    clone("push", "-q")
    lines = (server.init("other") / ".hg" / "hgrc").read_text()
    rc = server.root.parent / "hgrc"
    rc.write_text(lines)
    server.environ["HGRCPATH"] = str(rc)

    server.hg("clone", "-q", "--stream", "-U", f"file://{origin}", server.root / "streamed")
    cloned = server.announced()
    node = clone.commit("b", file="b")
    server.hg("push", "-q", "-R", clone.path, server.root / "streamed")

    pushed = server.the_one()
    assert not any(event.v1 for event in cloned)
    assert pushed.v1[0]["heads"] == [node]


def test_a_share_is_announced_as_the_repository_that_it_shares(server: "HgServer") -> None:
    """The store is one, and so are path and URL; bookmarks that are the share's own are not told."""
    repository = server.init()
    here = server.client(repository)
    here.commit("a", file="a")
    server.forget()
    share = server.root.parent / "share"
    server.hg("share", "-q", "--config", "extensions.share=", repository, share)
    (share / ".hg" / "hgrc").write_text((repository / ".hg" / "hgrc").read_text())
    there = server.client(share)
    there("bookmark", "-q", "own")

    node = there.commit("b", file="b")

    (event,) = [event for event in server.announced() if event.events]
    assert event.transaction.url == "https://hg.example.org/project"
    assert event.types == ["changegroup.1"]
    assert event.v1[0]["heads"] == [node]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"REMOTE_USER": "grace", "USER": "hg"}, "grace@noreply.invalid"),
        ({"REMOTE_USER": "Grace Hopper <grace@navy.example>"}, "grace@navy.example"),
        ({"REMOTE_USER": "Grace Höpper"}, "Grace.H.pper@noreply.invalid"),
        ({"REMOTE_USER": "john..doe@example.org"}, "john.doe.example.org@noreply.invalid"),
        ({"REMOTE_USER": f"{'a' * 300}@example.org"}, f"{'a' * 64}@noreply.invalid"),
        ({"LOGNAME": "login", "USER": "hg"}, "login@noreply.invalid"),
        ({"USER": "hg"}, "hg@noreply.invalid"),
        ({"USER": ""}, "unknown@noreply.invalid"),
    ],
)
def test_the_pusher_is_an_e_mail_address(server: "HgServer", environ: dict[str, str], expected: str) -> None:
    """REMOTE_USER, the user of ssh, USER, in that order; a name that is no address is made one."""
    server.environ |= environ
    clone = server.clone(server.init())
    clone.commit("a", file="a")

    clone("push", "-q")

    push = server.the_one()
    assert push.v1[0]["pushlog_pushes"][0]["user"] == push.code[0]["who"] == expected


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("remote:http:127.0.0.1:grace%40navy.example", {}, "grace@navy.example"),
        ("remote:https:proxy.example:ada%3Alovelace", {}, "ada.lovelace@noreply.invalid"),
        ("remote:http:127.0.0.1:", {"USER": "hg"}, "hg@noreply.invalid"),
        ("remote:http:127.0.0.1:grace", {"REMOTE_USER": "ada", "USER": "hg"}, "ada@noreply.invalid"),
        ("remote:ssh:127.0.0.1", {"LOGNAME": "ada", "USER": "hg"}, "ada@noreply.invalid"),
    ],
)
def test_the_user_of_hgweb_stands_in_the_url(
    server: "HgServer", url: str, environ: dict[str, str], expected: str
) -> None:
    """Percent-encoded, behind the address: after REMOTE_USER, and before who the server runs as."""
    clone = server.clone(server.init())
    clone.commit("a", file="a")
    clone("push", "-q")
    (invocation,) = server.invocations()
    arguments = (*(word for word in invocation.arguments if not word.startswith("url=")), f"url={url}")

    transaction, *_ = server.read(replace(invocation, arguments=arguments, environ=environ))

    assert transaction.pushes[0].user == expected  # type: ignore[union-attr]


def test_the_order_of_hooks_and_plain_output_change_nothing(server: "HgServer") -> None:
    """A hook that fails first, and HGPLAIN in the pusher's environment: it is recorded all the same."""
    server.environ["HGPLAIN"] = "1"
    repository = server.init()
    with (repository / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write("[hooks]\ntxnclose.first = false\npriority.txnclose.first = 9\n")
    clone = server.clone(repository)
    node = clone.commit("a", file="a")

    said = clone("push")

    assert "txnclose.first hook exited with status 1" in said
    assert server.the_one().v1[0]["heads"] == [node]


def test_a_push_by_ssh_is_recorded_by_the_system_s_mercurial(server: "HgServer", system_hg: str) -> None:
    """The server speaks `hg serve --stdio` on another Mercurial and another Python than pulseshim's."""
    repository = server.init()
    words = '"$@"'
    ssh = write_program(
        server.root.parent / "ssh",
        f'#!/bin/sh\nshift\nexec env REMOTE_USER=grace sh -c "$*"\n# {words}\n',
    )
    clone = server.clone(repository)
    node = clone.commit("a", file="a")

    server.hg(
        "push", "-q", "--ssh", str(ssh), "--remotecmd", system_hg, f"ssh://host/{repository}", cwd=clone.path
    )

    push = server.the_one()
    assert push.v1[0]["heads"] == [node]
    assert push.v1[0]["pushlog_pushes"][0]["user"] == "grace@noreply.invalid"
    assert push.data("changegroup.1")["source"] == "serve"


def test_the_system_s_mercurial_takes_each_kind_of_push(server: "HgServer", system_hg: str) -> None:
    """Changesets, bookmark, phase, amend: what the newer one reads is what the older one recorded."""
    repository = server.init()
    clone = server.clone(repository)
    first = clone.commit("a", file="a")

    def pull(*options: str) -> None:
        server.hg("pull", "-q", *options, str(clone.path), cwd=repository, program=system_hg)

    pull()
    clone("bookmark", "-q", "feature")
    pull("-B", "feature")
    clone("phase", "-p", first)
    pull()
    old = clone.commit("b", file="b")
    pull()
    clone("commit", "-q", "--amend", "-m", "better")
    new = clone.node(".")
    pull()

    events = [event for event in server.announced() if event.events]
    assert [event.types for event in events] == [
        ["newrepo.1", "changegroup.1"],
        ["bookmark.1"],
        ["phase.1"],
        ["changegroup.1", "bookmark.1"],
        ["changegroup.1", "obsolete.1", "bookmark.1"],
    ]
    (marker,) = events[-1].data("obsolete.1")["markers"]
    assert (marker["precursor"]["node"], marker["successors"][0]["node"]) == (old, new)


def test_chg_records_as_hg_does(server: "HgServer", system_hg: str) -> None:
    """A server that lives on from one command to the next records each, with its own environment."""
    chg = Path(system_hg).with_name("chg")
    repository = server.init()
    clone = server.clone(repository)
    sockets = server.root.parent / "sockets"
    sockets.mkdir(mode=0o700)
    server.environ |= {"CHGHG": system_hg, "CHGSOCKNAME": str(sockets / "s")}
    pushes = []
    for user in ("ada", "grace"):
        clone.commit(user, file=user)
        server.environ["REMOTE_USER"] = user
        server.hg("pull", "-q", str(clone.path), cwd=repository, program=str(chg))
        pushes.append(server.the_one())
    server.hg("--kill-chg-daemon", program=str(chg))

    users = [push.v1[0]["pushlog_pushes"][0]["user"] for push in pushes]
    assert users == ["ada@noreply.invalid", "grace@noreply.invalid"]


@pytest.mark.parametrize(("switch", "expected"), [("enable", "True"), ("disable", "False")])
def test_a_server_that_imports_late_records_as_one_that_does_not(
    server: "HgServer", switch: str, expected: str
) -> None:
    """What the hook imports, at its start and for a bookmark, may come through Mercurial's demandimport."""
    server.environ["HGDEMANDIMPORT"] = switch
    repository = server.init()
    probe, seen = repository.with_name("probe.py"), repository.with_name("seen")
    probe.write_text(
        "import hgdemandimport\n\ndef probe(ui, repo, **facts):\n"
        f"    with open({str(seen)!r}, 'w') as file:\n"
        "        file.write(str(hgdemandimport.isenabled()))\n"
    )
    with (repository / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write(f"[hooks]\ntxnclose.aaa = python:{probe}:probe\npriority.txnclose.aaa = 1\n")
    clone = server.clone(repository)
    node = clone.commit("a", file="a")
    clone("bookmark", "-q", "grün")

    # A server that stores other bytes than it was sent: the hook imports a module to tell which.
    server.environ["HGENCODING"] = "latin-1"
    with server.web(repository) as url:
        clone("push", "-q", "-B", "grün", url)

    assert seen.read_text() == expected
    push = server.the_one()
    assert push.v1[0]["heads"] == [node]
    _, stored = (repository / ".hg" / "bookmarks").read_text("utf-8").split()
    assert [move.bookmark for move in push.transaction.bookmarks] == [stored]
