"""Ways to store a repository: trees of manifests, some of the files, large files elsewhere, under a lock."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import Announced, Client, HgServer


def names(push: "Announced", node: str) -> list[tuple[str, str]]:
    """Give what happened to which files of a changeset."""
    return [(file["change"], file["path"]) for file in push.commit(node)["files"]]


def write(clone: "Client", path: str, text: str) -> None:
    """Write a file below the working directory and add it."""
    (clone.path / path).parent.mkdir(parents=True, exist_ok=True)
    (clone.path / path).write_text(text)
    clone("add", "-q", str(clone.path / path), status=1)


def enable(path: Path, lines: str) -> None:
    """Add lines to the hgrc of a repository."""
    with (path / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write(lines)


def merged(clone: "Client", one: str, other: str) -> str:
    """Make two changesets side by side, of a file each, and give the node of their merge."""
    base = clone.node(".")
    write(clone, one, one)
    clone("commit", "-q", "-m", one)
    left = clone.node(".")
    clone("update", "-q", base)
    write(clone, other, other)
    clone("commit", "-q", "-m", other)
    clone("merge", "-q", "-r", left)
    clone("commit", "-q", "-m", "merge")
    return clone.node(".")


def test_a_repository_with_a_tree_of_manifests_is_read(server: "HgServer") -> None:
    """Each directory has a manifest of its own: the files are listed as ever, those of a merge too."""
    repository = server.root / "project"
    server.hg("init", "--config", "experimental.treemanifest=1", repository)
    lines = (server.init("plain") / ".hg" / "hgrc").read_text()
    enable(repository, lines)
    path = server.root.parent / "clone"
    server.hg("clone", "-q", repository, path)
    clone = server.client(path)
    write(clone, "a/deep/file", "a")
    write(clone, "b/file", "b")
    clone("commit", "-q", "-m", "a")
    first = clone.node(".")
    merge = merged(clone, "a/deep/left", "b/right")

    clone("push", "-q")

    push = server.the_one()
    assert "treemanifest" in (repository / ".hg" / "store" / "requires").read_text()
    assert names(push, first) == [("added", "a/deep/file"), ("added", "b/file")]
    assert names(push, merge) == [("added", "a/deep/left"), ("added", "b/right")]


def test_a_server_that_keeps_a_part_of_the_files_is_read(server: "HgServer") -> None:
    """A narrow repository announces the whole list of a changeset's files: they stand in the changelog."""
    full = server.init("full", hook=False)
    clone = server.clone(full)
    write(clone, "inside/file", "a")
    write(clone, "outside/file", "b")
    clone("commit", "-q", "-m", "a")
    clone("push", "-q")
    narrow = server.root / "project"
    extension = ("--config", "extensions.narrow=")
    server.hg("clone", "-q", *extension, "--narrow", "--include", "inside", f"file://{full}", narrow)
    enable(narrow, (server.init("plain") / ".hg" / "hgrc").read_text())
    write(clone, "inside/file", "c")
    write(clone, "outside/file", "d")
    clone("commit", "-q", "-m", "b")
    node = clone.node(".")
    clone("push", "-q")

    server.hg("pull", "-q", *extension, f"file://{full}", "-R", narrow)

    push = server.announced()[-1]
    assert push.v1[0]["heads"] == [node]
    assert names(push, node) == [("modified", "inside/file"), ("modified", "outside/file")]


@pytest.mark.parametrize("extension", ["lfs", "largefiles"])
def test_large_files_that_are_kept_elsewhere_are_files(server: "HgServer", extension: str) -> None:
    """Nothing is fetched to announce them: lfs keeps the path, largefiles a pointer below `.hglf`."""
    repository = server.init()
    blobs = server.root.parent / "blobs"
    settings = f"[extensions]\n{extension} =\n[lfs]\ntrack = size('>100B')\nurl = file://{blobs}\n"
    enable(repository, settings)
    clone = server.clone(repository)
    enable(clone.path, settings)
    clone = server.client(clone.path)
    (clone.path / "large").write_text("x" * 1000)
    large = ["--large"] if extension == "largefiles" else []
    clone("add", "-q", *large, str(clone.path / "large"))
    clone("commit", "-q", "-m", "a")
    (clone.path / "large").write_text("y" * 1000)
    clone("commit", "-q", "-m", "b")
    node = clone.node(".")
    merge = merged(clone, "left", "right")

    clone("push", "-q")

    push = server.the_one()
    path = ".hglf/large" if extension == "largefiles" else "large"
    assert (
        extension
        in (repository / ".hg" / "requires").read_text()
        + (repository / ".hg" / "store" / "requires").read_text()
    )
    assert names(push, node) == [("modified", path)]
    assert names(push, merge) == [("added", "left"), ("added", "right")]


def test_a_transplant_on_the_server_is_announced(server: "HgServer") -> None:
    """It is a transaction like any commit."""
    repository = server.init()
    enable(repository, "[extensions]\ntransplant =\n")
    here = server.client(repository)
    base = here.commit("base", base="base")
    other = here.commit("other", other="other")
    here("update", "-q", base)
    here.commit("here", here="here")
    server.forget()

    here("transplant", "-q", other)

    push = server.the_one()
    assert push.v1[0]["heads"] == [here.node(".")]
    assert push.data("changegroup.1")["source"] == "transplant"
    assert names(push, here.node(".")) == [("added", "other")]


def test_a_repository_that_is_locked_is_read(server: "HgServer") -> None:
    """Whoever holds the locks of store and working directory, maybe for hours, keeps nobody from reading."""
    repository = server.init()
    clone = server.clone(repository)
    node = clone.commit("a", file="a")
    clone("push", "-q")
    holder = f"{socket.gethostname()}:{os.getpid()}"
    for lock in (".hg/wlock", ".hg/store/lock"):
        (repository / lock).symlink_to(holder)
    server.options = {"timeout": "60s"}

    push = server.the_one()

    assert [changeset.node for changeset in push.changesets] == [node]
