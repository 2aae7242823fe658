"""A history that was rewritten before a transaction is read: nothing of others is told as part of it."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pulseshim.testing import MemoryState
from pulseshim_plugins.hg_options import HgOptions
from pulseshim_plugins.hg_server import Servers
from pulseshim_plugins.hg_transaction import read_transaction
from pulseshim_shims.hg_event import HgChangeset, HgTransaction
from tests.hg_consumers import HOST
from tests.hg_fill import fill
from tests.plugins.hg.conftest import announced

if TYPE_CHECKING:
    from pathlib import Path

    from pulseshim.feed import Invocation
    from tests.plugins.hg.conftest import Client, HgServer

MANY = 60
# So many that no heads are recorded.
MANY_MORE = 2500


class CountingServers(Servers):
    """Servers that count what they are asked."""

    asked = 0

    def run(self, path: str, arguments: Sequence[str], deadline: float) -> Iterator[bytes]:
        """Count it."""
        self.asked += 1
        return super().run(path, arguments, deadline)


def heads_on(clone: "Client", parent: str, *names: str) -> list[str]:
    """Commit so many changesets beside each other."""
    nodes = []
    for name in names:
        clone("update", "-q", parent)
        nodes.append(clone.commit(name, **{name: name}))
    return nodes


def strip(server: "HgServer", repository: "Path", *nodes: str) -> None:
    """Strip changesets, and forget that."""
    options = [option for node in nodes for option in ("-r", node)]
    server.hg("strip", "-q", "--no-backup", "--config", "extensions.strip=", *options, cwd=repository)


def test_changesets_that_came_again_are_announced_once_more_and_no_others(server: "HgServer") -> None:
    """Stripped and pushed anew, a changeset stands behind those of the push after its own."""
    repository = server.init()
    clone = server.clone(repository)
    base = clone.commit("base", base="base")
    clone("push", "-q")
    server.forget()
    x1, x2 = heads_on(clone, base, "x1", "x2")
    clone("push", "-q", "-f")
    b1 = clone.commit("b1", b1="b1")
    clone("push", "-q", "-f")
    strip(server, repository, x1)
    clone("push", "-q", "-f", "-r", x1)

    first, second, *rest = [push for push in server.announced() if push.events]

    assert sorted(event.node for event in first.changesets) == sorted([x1, x2])
    assert sorted(first.transaction.changesets) == sorted([x1, x2])
    assert (first.transaction.heads, first.transaction.changeset_count) == ((x1, x2), 2)
    assert [event.node for event in second.changesets] == [b1]
    assert [[event.node for event in push.changesets] for push in rest] == [[x1]]
    assert "gone" not in server.state.counts


@pytest.mark.parametrize("between", [False, True])
def test_of_a_push_that_lost_a_changeset_the_rest_is_announced(server: "HgServer", *, between: bool) -> None:
    """Also where another push's changeset came to stand in its place, so that their number is the same."""
    repository = server.init()
    clone = server.clone(repository)
    base = clone.commit("base", base="base")
    clone("push", "-q")
    server.forget()
    x1, x2, x3 = heads_on(clone, base, "x1", "x2", "x3")
    clone("push", "-q", "-f")
    (b1,) = heads_on(clone, base, "b1")
    if between:
        strip(server, repository, x2, x3)
        clone("push", "-q", "-f", "-r", b1)
        clone("push", "-q", "-f", "-r", x3)
    else:
        strip(server, repository, x2)

    push = server.announced()[0]

    assert sorted(event.node for event in push.changesets) == sorted([x1, x3])
    assert (set(push.transaction.heads), push.transaction.changeset_count) == ({x1, x2, x3}, 3)
    assert server.state.counts["gone"] == 1


def test_what_lies_between_the_ends_is_certain(server: "HgServer") -> None:
    """A push that only moved lost nothing: all that descends from its first is announced."""
    repository = server.init()
    clone = server.clone(repository)
    base = clone.commit("base", base="base")
    clone("push", "-q")
    server.forget()
    line = [clone.commit(name, **{name: name}) for name in ("a", "b", "c")]
    (side,) = heads_on(clone, base, "side")
    clone("push", "-q", "-f")
    (other,) = heads_on(clone, base, "other")
    clone("push", "-q", "-f", "-r", other)
    strip(server, repository, line[0])
    clone("push", "-q", "-f", "-r", line[2])

    push = server.announced()[0]

    assert sorted(event.node for event in push.changesets) == sorted([side, *line])
    assert push.transaction.changeset_count == 4
    assert "gone" not in server.state.counts


def test_what_was_stripped_is_counted_as_gone(server: "HgServer") -> None:
    """The push is announced by its heads, its changesets are not."""
    repository = server.init()
    clone = server.clone(repository)
    clone.commit("base", base="base")
    clone("push", "-q")
    server.forget()
    node = clone.commit("a", file="a")
    clone("push", "-q")
    strip(server, repository, node)

    push = server.announced()[0]

    assert (push.v1[0]["heads"], push.changesets) == ([node], [])
    assert server.state.counts["gone"] == 1


@pytest.mark.parametrize(
    ("way", "count"), [("stripped", 5000), ("secret", MANY_MORE), ("removed", MANY_MORE)]
)
def test_a_large_push_that_lost_its_last_changeset_is_announced(
    server: "HgServer", way: str, count: int
) -> None:
    """By that one, or the last that is no secret, and each that is certain, though no heads were recorded."""
    repository = server.init()
    fill(partial(server.hg, cwd=repository), server.root.parent / "fill.py", count)
    nodes = server.hg("log", "-r", "all()", "-T", "{node} ", cwd=repository).split()
    (invocation,) = server.invocations()
    if way == "secret":
        server.hg("phase", "-q", "-f", "-s", nodes[-1], cwd=repository)
        invocation = replace(invocation, stdin=invocation.stdin.replace(nodes[0].encode(), b"1" * 40))
    if way == "stripped":
        strip(server, repository, nodes[-1])
    if way == "removed":
        shutil.rmtree(repository)

    events = server.read(replace(invocation, owner=None))

    push = announced(events[:1])
    head = nodes[-2] if way == "secret" else nodes[-1]
    assert [payload["heads"] for payload in push.v1] == [[head]]
    assert push.data("changegroup.1")["heads"] == [head]
    assert push.code[0]["changeset_count"] == count - (way == "secret")
    each = {"stripped": nodes[:4001], "secret": nodes[1999:-1], "removed": []}[way]
    assert [event.node for event in events if isinstance(event, HgChangeset)] == each
    assert server.state.counts["gone"] == 1


def test_what_became_secret_is_not_told_as_a_head_of_what_is_gone(server: "HgServer") -> None:
    """Of two heads one was stripped, the other made secret: only the former is told."""
    repository = server.init()
    clone = server.clone(repository)
    base = clone.commit("base", base="base")
    clone("push", "-q")
    server.forget()
    kept, lost = heads_on(clone, base, "kept", "lost")
    clone("push", "-q", "-f")
    server.hg("phase", "-q", "-f", "-s", kept, cwd=repository)
    strip(server, repository, lost)

    push = server.announced()[0]

    assert push.transaction.heads == (lost,)
    assert kept not in str(push.events)


def branches(server: "HgServer") -> tuple["Path", list[str], list[str], "Invocation"]:
    """Give a repository with two branches whose changesets alternate, each branch, and what was recorded."""
    repository = server.init()
    clone = server.root.parent / "clone"
    server.hg("init", str(clone))
    (clone / ".hg" / "hgrc").write_text("[phases]\npublish = no\n")
    steps = "".join(f"<{'base' if n < 2 else f'n{n - 2}'}+1:n{n}" for n in range(2 * MANY))
    server.hg("debugbuilddag", "-q", f".:base{steps}", cwd=clone)
    server.hg("pull", "-q", "-f", str(clone), cwd=repository)
    nodes = server.hg("log", "-r", "sort(all(), rev)", "-T", "{node} ", cwd=repository).split()
    (invocation,) = server.invocations()
    return repository, nodes[1::2], nodes[2::2], invocation


def added(nodes: Sequence[str], phase: int = 1) -> bytes:
    """Give what a hook writes that Mercurial tells of each revision by itself."""
    return b"".join(b"added\0%d\0%s\0%s\0001\0" % (phase, node.encode(), node.encode()) for node in nodes)


@pytest.mark.parametrize("alternate", [False, True])
def test_many_spans_are_read_in_few_steps(server: "HgServer", *, alternate: bool) -> None:
    """Those that follow each other as one, others so many at once."""
    _, left, right, invocation = branches(server)
    wanted = right if alternate else [node for pair in zip(left, right, strict=True) for node in pair]
    options = HgOptions(repositories={str(server.root): HOST}, feeds=("v1",))
    servers = CountingServers(30)

    events = list(read_transaction(replace(invocation, stdin=added(wanted)), MemoryState(), options, servers))
    servers.close()

    (push,) = [event for event in events if isinstance(event, HgTransaction)]
    assert push.changesets == tuple(wanted)
    assert push.heads == ((right[-1],) if alternate else (left[-1], right[-1]))
    assert servers.asked < 20


def test_spans_of_two_phases_are_told_in_their_phases(server: "HgServer") -> None:
    """Also when they alternate."""
    repository, left, right, invocation = branches(server)
    server.hg("phase", "-q", "-p", right[-1], cwd=repository)
    (moved,) = server.invocations()
    pairs = zip(left, right, strict=True)
    stdin = b"".join(added([draft], 1) + added([public], 0) for draft, public in pairs)

    events = server.read(replace(invocation, stdin=stdin))
    (told,) = server.read(moved)

    phases = {event.node: event.phase for event in events if isinstance(event, HgChangeset)}
    assert phases == dict.fromkeys(left, "draft") | dict.fromkeys(right, "public")
    assert isinstance(told, HgTransaction)
    (phase,) = told.phases
    assert (phase.heads, phase.changeset_count) == ([right[-1]], MANY + 1)
    assert set(phase.changesets) > set(right)
