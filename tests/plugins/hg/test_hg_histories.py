"""Random histories, made by Mercurial itself: what was announced is what Mercurial says is there."""

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import Announced, Client, HgServer

NAMES = ("a", "b", "dir/c", "d d", "e\udce9", "ünï", "f'\"{}")
TEXTS = ("plain", "two\n\nparagraphs", "“quotes” {node}", "\U0001f600", "x" * 5000)
STEPS = 14


def change_files(clone: "Client", choose: random.Random) -> None:
    """Write, remove, rename or copy some files of the working directory."""
    for _ in range(choose.randint(1, 3)):
        path = clone.path / choose.choice(NAMES)
        other = clone.path / choose.choice(NAMES)
        tracked = path.is_file()
        deed = choose.choice(["write", "write", "remove", "move", "copy"])
        if deed == "write" or not tracked:
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(f"{choose.random()}\n" for _ in range(5)))
            clone("add", "-q", str(path), status=1)
        elif deed == "remove":
            clone("remove", "-q", "-f", str(path))
        elif not other.exists():
            clone("move" if deed == "move" else "copy", "-q", str(path), str(other), status=1)


def take_a_step(clone: "Client", choose: random.Random) -> None:
    """Commit, merge, amend, prune, go elsewhere, move a bookmark, or change a phase."""
    deed = choose.choice(["commit", "commit", "commit", "merge", "amend", "prune", "bookmark", "phase", "up"])
    text = choose.choice(TEXTS) + f" {choose.random()}"
    revisions = clone("log", "-r", "not obsolete() and not secret()", "-T", "{node} ").split()
    if deed == "commit" or not revisions:
        change_files(clone, choose)
        clone("commit", "-q", "-m", text, *(["--secret"] if choose.random() < 0.1 else []), status=1)
    elif deed == "merge":
        heads = clone(
            "log", "-r", "head() and not .:: and not ::. and not obsolete()", "-T", "{node} "
        ).split()
        if heads:
            clone("merge", "-q", "-r", heads[0], "--tool", ":local", status=1)
            clone("resolve", "-q", "-a", "-m", status=1)
            clone("commit", "-q", "-m", text, status=1)
    elif deed == "amend" and clone("log", "-r", ". and draft() and not merge()", "-T", "x"):
        change_files(clone, choose)
        clone("commit", "-q", "--amend", "-m", text, status=255)
    elif deed == "prune":
        leaves = clone("log", "-r", "head() and draft() - . - obsolete()", "-T", "{node} ").split()
        for node in leaves[:1]:
            clone("debugobsolete", "--record-parents", node)
    elif deed == "bookmark":
        clone("bookmark", "-q", "-f", "-r", choose.choice(revisions), choose.choice(["one", "two/ü"]))
    elif deed == "phase":
        clone("phase", "-p", choose.choice(revisions), status=1)
    else:
        clone("update", "-q", "-C", choose.choice(revisions))


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


@pytest.mark.parametrize("seed", range(4))
def test_what_is_announced_is_what_mercurial_says(server: "HgServer", seed: int) -> None:
    """Every public or draft changeset is announced once, with its own files, parents, text and phase."""
    choose = random.Random(seed)
    repository = server.init()
    clone = server.clone(repository)
    for _ in range(STEPS):
        take_a_step(clone, choose)
        if choose.random() < 0.4:
            clone("push", "-q", "-f", status=1)
    clone("push", "-q", "-f", status=1)

    pushes = server.announced()

    here = server.client(repository)
    there = here("log", "--hidden", "-r", "not secret()", "-T", "{node} ").split()
    told = [changeset.node for push in pushes for changeset in push.changesets]
    assert sorted(told) == sorted(there)
    assert len(there) > 1
    for push in pushes:
        check_commits(here, push)
        heads = set(push.transaction.heads)
        brought = {changeset.node for changeset in push.changesets}
        assert heads == brought - {parent for changeset in push.changesets for parent in changeset.parents}
    moved = {node for push in pushes for move in push.transaction.phases for node in move.changesets}
    public = set(here("log", "--hidden", "-r", "public()", "-T", "{node} ").split())
    born = {c.node for push in pushes for c in push.changesets if c.phase == "public"}
    assert public == born | moved
