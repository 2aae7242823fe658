"""What is secret stays so when nobody can be asked any more: it was stripped, or the repository is gone."""

import shutil
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import Client, HgServer


@pytest.fixture
def here(server: "HgServer") -> "Client":
    """Give a client in a repository of the server that has a changeset."""
    here = server.client(server.init())
    here.commit("base", base="base")
    server.forget()
    return here


def take_away(server: "HgServer", here: "Client", way: str, *nodes: str) -> None:
    """Strip nodes, or remove the repository."""
    if way == "removed":
        shutil.rmtree(here.path)
        return
    revisions = [word for node in nodes for word in ("-r", node)]
    server.hg("strip", "-q", "--hidden", "--config", "extensions.strip=", *revisions, cwd=here.path)


@pytest.mark.parametrize("way", ["stripped", "removed"])
def test_a_bookmark_on_what_was_secret_is_not_told_of(server: "HgServer", here: "Client", way: str) -> None:
    """Its name may be the secret."""
    base = here.node(".")
    secret = here.commit("hush", "--secret", file="a")
    here("bookmark", "-q", "-r", secret, "embargoed")
    invocations = server.invocations()
    here("update", "-q", base)
    take_away(server, here, way, secret)

    events = [event for invocation in invocations for event in server.read(invocation)]

    assert events == []


@pytest.mark.parametrize("way", ["stripped", "removed"])
def test_a_marker_of_what_was_secret_is_not_told_of(server: "HgServer", here: "Client", way: str) -> None:
    """Of an amended secret changeset, neither the old nor the new node."""
    base = here.node(".")
    old = here.commit("hush", "--secret", file="a")
    here("commit", "-q", "--amend", "-m", "hush hush")
    new = here.node(".")
    invocations = server.invocations()
    here("update", "-q", base)
    take_away(server, here, way, old, new)

    events = [event for invocation in invocations for event in server.read(invocation)]

    assert events == []


def test_a_secret_successor_that_is_gone_is_not_told_of(server: "HgServer", here: "Client") -> None:
    """The old changeset is told as obsolete, as it is where the successor is there and secret."""
    base = here.node(".")
    old = here.commit("open", file="a")
    server.forget()
    here("commit", "-q", "--amend", "--secret", "-m", "closed")
    new = here.node(".")
    (invocation,) = server.invocations()
    here("update", "-q", base)
    take_away(server, here, "stripped", new)

    events = server.read(invocation)

    assert old in str(events)
    assert new not in str(events)


def test_what_was_amended_before_it_was_pushed_is_a_chain(server: "HgServer") -> None:
    """The server never had what is in between. Mercurial gives it the markers all the same: they are told."""
    clone = server.clone(server.init())
    clone.commit("base", base="base")
    nodes = [clone.commit("one", file="a")]
    clone("push", "-q")
    server.forget()
    for text in ("two", "three"):
        clone("commit", "-q", "--amend", "-m", text)
        nodes.append(clone.node("."))

    clone("push", "-q", "-f")

    markers = server.the_one().data("obsolete.1")["markers"]
    told = {(marker["precursor"]["node"], marker["successors"][0]["node"]) for marker in markers}
    assert told == set(pairwise(nodes))


def test_a_tag_that_a_secret_changeset_makes_is_not_told_of(server: "HgServer", here: "Client") -> None:
    """Nobody but the server's owner has read it; a tag that everybody may read is told."""
    shown = here.commit("a", file="a")
    here("tag", "-r", shown, "release")
    here("tag", "-r", shown, "embargoed", "--config", "phases.new-commit=secret")

    commit = server.announced()[0].commit(shown)

    assert commit["tags"] == ["release"]
