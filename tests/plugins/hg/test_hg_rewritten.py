"""A server without evolution: what rewrites history strips what it replaced, before any hook is called."""

import time
from typing import TYPE_CHECKING

import pytest

from tests.plugins.hg.conftest import HG, SYSTEM_HG

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import Announced, Client, HgServer

_EXTENSIONS = "histedit", "rebase", "strip", "uncommit"


@pytest.fixture(params=[HG, SYSTEM_HG], ids=["newest", "system"])
def here(server: "HgServer", system_hg: str, request: pytest.FixtureRequest) -> "Client":
    """Give a client in a repository of the server, which has a public changeset of three files."""
    assert system_hg == SYSTEM_HG
    repository = server.init(publishing=True)
    hgrc = repository / ".hg" / "hgrc"
    hgrc.write_text(hgrc.read_text().replace("evolution = all", "evolution ="))
    with hgrc.open("a") as file:
        file.write("[extensions]\n" + "".join(f"{name} =\n" for name in _EXTENSIONS))
    here = server.client(repository, request.param)
    here.commit("base", a="a", b="b", c="c")
    here("phase", "-p", ".")
    server.forget()
    return here


def told(server: "HgServer") -> "list[Announced]":
    """Give what was announced; nothing was left unrecorded, or seemed to be made up."""
    return [event for event in server.announced() if event.events]


def nodes(event: "Announced") -> list[str]:
    """Give the changesets of a push, as the message on it and as those on each of them name them."""
    changesets = [changeset.node for changeset in event.changesets]
    assert list(event.transaction.changesets) == changesets
    assert event.transaction.changeset_count == len(changesets)
    return changesets


def test_an_amended_changeset_is_announced(server: "HgServer", here: "Client") -> None:
    """One event, of the new one; and one of the bookmark, where it is now."""
    old = here.commit("one", a="1")
    here("bookmark", "-q", "feature")
    server.forget()

    said = here("commit", "--amend", "-m", "better")

    new = here.node(".")
    (amended,) = told(server)
    assert "not recorded" not in said
    assert nodes(amended) == [new]
    assert amended.v1[0]["heads"] == [new]
    assert amended.commit(new)["phase"] == "draft"
    assert [move["new"] for move in amended.data("bookmark.1")["moves"]] == [new]
    assert old not in str(amended)


def test_what_was_amended_before_it_was_read_is_told_by_its_head(server: "HgServer", here: "Client") -> None:
    """The commit happened, and its changeset is gone; the new one is announced like any other."""
    old = here.commit("one", a="1")
    here("commit", "-q", "--amend", "-m", "better")
    new = here.node(".")

    committed, amended = told(server)

    assert (committed.v1[0]["heads"], committed.changesets) == ([old], [])
    assert nodes(amended) == [new]
    assert server.state.counts["gone"] == 1


def test_what_is_rewritten_right_after_it_was_read_is_read_anew(server: "HgServer", here: "Client") -> None:
    """Mercurial takes a changelog for the one it knows if it is as long, and written in the same second."""
    time.sleep(1 - time.time() % 1)
    old = here.commit("one", a="1")
    committed = told(server)
    here("commit", "-q", "--amend", "-m", "better")

    amended = told(server)

    assert [nodes(event) for event in committed + amended] == [[old], [here.node(".")]]
    assert "gone" not in server.state.counts


def test_a_secret_changeset_that_is_amended_is_not_told_of(server: "HgServer", here: "Client") -> None:
    """Neither the old one nor the new one, nor what is on them."""
    here.commit("hush", "--secret", a="1")
    here("bookmark", "-q", "embargoed")
    said = here("commit", "--amend", "-m", "hush hush")

    assert "not recorded" not in said
    assert told(server) == []


def test_a_pull_that_rebases_is_a_pull_and_a_rebase(server: "HgServer", here: "Client") -> None:
    """What was pulled is announced as that, all of it, and what was rebased as the rebase."""
    upstream = here.path.with_name("upstream")
    server.hg("clone", "-q", here.path, upstream)
    there = server.client(upstream)
    pulled = [there.commit(text, b=text) for text in ("up1", "up2", "up3", "up4")]
    there("phase", "-p", ".")
    here.commit("local", a="1")
    server.forget()

    said = here("pull", "--rebase", str(upstream))

    pull, rebase = told(server)
    assert "not recorded" not in said
    assert nodes(pull) == pulled
    assert {event.phase for event in pull.changesets} == {"public"}
    assert nodes(rebase) == [here.node("desc(local)")]
    assert [event.phase for event in rebase.changesets] == ["draft"]
    assert "gone" not in server.state.counts


def test_a_rebase_is_announced_by_what_it_made(server: "HgServer", here: "Client") -> None:
    """Two changesets move past a third, which is put back by what strips the old ones, and did not come."""
    base = here.node(".")
    old = [here.commit("one", a="1"), here.commit("two", a="2")]
    here("update", "-q", base)
    other = here.commit("other", b="3")
    server.forget()

    said = here("rebase", "-s", old[0], "-d", other)

    events = told(server)
    assert "not recorded" not in said
    made = here("log", "-r", "desc(one) or desc(two)", "-T", "{node} ").split()
    assert [node for event in events for node in nodes(event)] == made
    assert not set(old) & set(str(events).split("'"))


def test_histedit_is_announced_by_what_it_left(server: "HgServer", here: "Client") -> None:
    """Of what it made and stripped itself, there is nothing but that it was there."""
    old = [here.commit(text, a=text) for text in ("one", "two", "three")]
    server.forget()
    commands = here.path.with_name("commands")
    commands.write_text(f"pick {old[0]}\nroll {old[1]}\nroll {old[2]}\n")

    said = here("histedit", "-r", old[0], "--commands", str(commands))

    events = told(server)
    assert "not recorded" not in said
    assert nodes(events[-1]) == [here.node(".")]
    assert not [event for event in events[:-1] if event.changesets]
    assert not set(old) & set(str(events).split("'"))


@pytest.mark.parametrize("command", [("uncommit", "{one}/a"), ("strip", "-r", ".")])
def test_what_takes_back_is_recorded(server: "HgServer", here: "Client", command: tuple[str, ...]) -> None:
    """What it made is announced; what it took out, and what it put back, is not."""
    base = here.node(".")
    here.commit("one", a="1", b="1")
    here("update", "-q", base)
    here.commit("other", c="2")
    here("update", "-q", "desc(one)")
    server.forget()

    said = here(*(word.format(one=here.path) for word in command))

    made = [node for event in told(server) for node in nodes(event)]
    assert "not recorded" not in said
    assert made == ([here.node(".")] if command[0] == "uncommit" else [])
