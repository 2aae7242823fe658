"""Random histories, made by Mercurial itself: what was announced is what Mercurial says is there."""

import json
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from random import Random

    from tests.plugins.hg.conftest import Announced, Client, HgServer

NAMES = ("a", "b", "dir/c", "d d", "e\udce9", "ünï", "f'\"{}")
TEXTS = ("plain", "two\n\nparagraphs", "“quotes” {node}", "\U0001f600", "x" * 5000)
DEEDS = (
    *("commit",) * 2,
    *("branch",) * 3,
    *("merge",) * 3,
    *("bookmark",) * 2,
    *("push",) * 2,
    *("latin", "amend", "prune", "phase", "update"),
)
BOOKMARKS = ("one", "two/ü")
LATIN = {"HGENCODING": "latin-1", "HGUSER": "Ren\udce9"}


def change_files(clone: "Client", choose: "Random") -> None:
    """Write, remove, rename or copy some files of the working directory."""
    for _ in range(choose.randint(1, 3)):
        path = clone.path / choose.choice(NAMES)
        other = clone.path / choose.choice(NAMES)
        tracked = path.is_file() and clone("files", str(path), status=1)
        deed = choose.choice(["write", "write", "remove", "move", "copy"])
        if deed == "write" or not tracked:
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(f"{choose.randrange(100)}\n" for _ in range(5)))
            clone("add", "-q", str(path), status=1)
        elif deed == "remove":
            clone("remove", "-q", "-f", str(path))
        elif not other.exists():
            clone("move" if deed == "move" else "copy", "-q", str(path), str(other), status=1)


def take_a_step(server: "HgServer", clone: "Client", choose: "Random", step: int, deed: str) -> None:
    """Commit, merge, amend, prune, go elsewhere, change a bookmark or a phase; or push."""
    text = f"{choose.choice(TEXTS)} {step}"
    revisions = clone("log", "-r", "not obsolete() and not secret()", "-T", "{node} ").split()
    if deed == "branch" and revisions:
        clone("update", "-q", "-C", choose.choice(revisions))
    if deed in {"commit", "branch"} or not revisions:
        change_files(clone, choose)
        clone("commit", "-q", "-m", text, *(["--secret"] if choose.randrange(10) == 9 else []), status=1)
    elif deed == "latin":
        change_files(clone, choose)
        command = (
            "commit",
            "-q",
            "--config",
            "ui.allowemptycommit=1",
            "-m",
            f"d\udce9j\udce0 {step}",
        )
        server.hg(*command, cwd=clone.path, environ=LATIN)
    elif deed == "amend" and clone("log", "-r", ". and draft() and not merge()", "-T", "x"):
        change_files(clone, choose)
        clone("commit", "-q", "--amend", "-m", text, status=255)
    elif deed == "phase":
        clone("phase", "-p", choose.choice(revisions), status=1)
    elif deed == "bookmark":
        clone("bookmark", "-q", "-f", "-r", choose.choice(revisions), choose.choice(BOOKMARKS))
    elif deed == "push":
        push(clone, choose)
    else:
        change_graph(clone, choose, deed, text, revisions)


def change_graph(clone: "Client", choose: "Random", deed: str, text: str, revisions: list[str]) -> None:
    """Merge another head, obsolete a head without a successor, or go elsewhere."""
    if deed == "merge":
        others = "head() and not .:: and not ::. and not obsolete()"
        for head in clone("log", "-r", others, "-T", "{node} ").split()[:1]:
            clone("merge", "-q", "-r", head, "--tool", ":local", status=1)
            clone("resolve", "-q", "-a", "-m", status=1)
            clone("commit", "-q", "-m", text, status=1)
    elif deed == "prune":
        leaves = clone("log", "-r", "head() and draft() - . - obsolete()", "-T", "{node} ").split()
        for node in leaves[:1]:
            clone("debugobsolete", "--record-parents", node)
    else:
        clone("update", "-q", "-C", choose.choice(revisions))


def push(clone: "Client", choose: "Random") -> None:
    """Push what there is, and maybe what became of a bookmark, or that it is no more."""
    clone("push", "-q", "-f", status=1)
    here = clone("log", "-r", "bookmark()", "-T", "{bookmarks % '{bookmark}\n'}").splitlines()
    there = clone("identify", "-B", "default").split()
    name = choose.choice(BOOKMARKS)
    if name in here and name in there and choose.randrange(3) == 2:
        clone("bookmark", "-q", "-d", name)
    if name in here or name in there:
        clone("push", "-q", "-f", "-B", name, status=1)


def expected_files(repository: "Client", node: str, parent: str) -> set[tuple[str, str]]:
    """Give the files that Mercurial says differ between two changesets, with its letter for each."""
    template = "[{status|json},{path|json}]\n"
    said = repository("status", "--hidden", "--rev", parent, "--rev", node, "-T", template)
    return {(status, path) for status, path in map(json.loads, said.splitlines())}


def told_files(files: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Give what messages say of files in Mercurial's letters: a rename is one added and one removed."""
    letters = {"added": "A", "modified": "M", "removed": "R", "renamed": "A", "copied": "A"}
    told = {(letters[file["change"]], file["path"]) for file in files}
    return told | {("R", file["from"]) for file in files if file["change"] == "renamed"}


def check_commits(repository: "Client", push: "Announced") -> None:
    """Assert that each announced changeset is what the repository says it is."""
    for message in push.code[1:]:
        node = message["id"]
        template = "{dict(parents=dict(p1=p1node,p2=p2node),desc=desc,author=author,branch=branch)|json}"
        (said,) = [json.loads(repository("log", "--hidden", "-r", node, "-T", template))]
        parents = [parent for parent in said["parents"].values() if parent.strip("0")]
        assert (message["message"], message["who"], message["branch"]) == (
            said["desc"], said["author"], said["branch"],
        )  # fmt: skip
        assert message["parents"] == parents
        for parent in parents or ["null"]:
            files = [file for file in message["files"] if file.get("parent", parent) == parent]
            expected = {
                (letter, path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
                for letter, path in expected_files(repository, node, parent)
            }
            told = told_files(files)
            overwritten = {path for letter, path in expected if letter == "M"}
            assert {("M" if path in overwritten else letter, path) for letter, path in told} == expected


def expected_markers(repository: "Client") -> list[tuple[str, ...]]:
    """Give the markers of what the repository ever had: precursor, successors.

    Mercurial brings those of others, too: what was amended before it was pushed leads to what was pushed,
    and is told. What was pruned unseen leads nowhere.
    """
    lines = repository("debugobsolete", "-T", "{prednode} {succnodes}\n").splitlines()
    markers = [(precursor, successors) for precursor, *successors in map(str.split, lines)]
    shown = set(repository("log", "--hidden", "-r", "all()", "-T", "{node} ").split())
    while more := {old for old, new in markers if shown.intersection(new)} - shown:
        shown |= more
    return [
        (precursor, *(node for node in successors if node in shown))
        for precursor, successors in markers
        if precursor in shown
    ]


def check_pushes(repository: "Client", pushes: list["Announced"]) -> None:
    """Assert that each changeset was announced once, and heads, phases, bookmarks and markers as they are."""
    there = repository("log", "--hidden", "-r", "not secret()", "-T", "{node} ").split()
    told = [changeset.node for push in pushes for changeset in push.changesets]
    assert sorted(told) == sorted(there)
    for push in pushes:
        check_commits(repository, push)
        brought = {changeset.node for changeset in push.changesets}
        parents = {parent for changeset in push.changesets for parent in changeset.parents}
        assert set(push.transaction.heads) == brought - parents
    moved = {node for push in pushes for move in push.transaction.phases for node in move.changesets}
    born = {c.node for push in pushes for c in push.changesets if c.phase == "public"}
    public = repository("log", "--hidden", "-r", "public()", "-T", "{node} ").split()
    assert set(public) == born | moved
    bookmarks: dict[str, str | None] = {}
    for move in (move for push in pushes for move in push.transaction.bookmarks):
        assert bookmarks.get(move.bookmark) == move.old
        bookmarks[move.bookmark] = move.new
    said = json.loads(repository("bookmarks", "-T", "json"))
    kept = {name: node for name, node in bookmarks.items() if node}
    assert kept == {one["bookmark"]: repository.node(one["node"]) for one in said}
    markers = [
        (marker.precursor.node, *(successor.node for successor in marker.successors))
        for push in pushes
        for marker in push.transaction.markers
    ]
    assert sorted(markers) == sorted(expected_markers(repository))


# Hypothesis takes up to five minutes to make a history that fails a small one.
@pytest.mark.timeout(600)
@settings(
    max_examples=3,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    deeds=st.lists(st.sampled_from(DEEDS), min_size=8, max_size=20),
    choose=st.randoms(use_true_random=True),
)
def test_what_is_announced_is_what_mercurial_says(
    server: "HgServer", deeds: list[str], choose: "Random"
) -> None:
    """Every public or draft changeset once, with its files, parents and text; all moves; all markers."""
    while server.clients:  # of the history before, which may have failed
        server.clients.pop().close()
    server.invocations()
    number = next(number for number in count() if not (server.root / f"project{number}").exists())
    repository = server.init(f"project{number}")
    clone = server.clone(repository, f"clone{number}")
    for step, deed in enumerate(deeds):
        take_a_step(server, clone, choose, step, deed)
    push(clone, choose)

    check_pushes(server.client(repository), server.announced())
