"""What changesets hold: files, merges, branches, tags, texts and names that are hard to write down."""

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer


def change(kind: str, path: str, earlier: str | None = None, **more: str) -> dict[str, Any]:
    """Give a changed file as it stands in a message."""
    return {"change": kind, "path": path, "from": earlier, **more}


def test_files_are_listed_by_what_happened_to_them(server: "HgServer") -> None:
    """Added, modified, removed, copied; a rename is one entry; a changed mode modifies."""
    clone = server.clone(server.init())
    clone.commit("a", moved="one\n" * 9, kept="two\n" * 9, gone="three\n" * 9, run="four")
    clone("mv", str(clone.path / "moved"), str(clone.path / "new"))
    clone("cp", str(clone.path / "kept"), str(clone.path / "copy"))
    clone("rm", str(clone.path / "gone"))
    (clone.path / "run").chmod(0o755)
    (clone.path / "kept").write_text("changed")
    (clone.path / "fresh").write_text("fresh")
    clone("add", "-q", str(clone.path / "fresh"))
    clone("commit", "-q", "-m", "b")
    node = clone.node(".")

    clone("push", "-q")

    assert server.the_one().commit(node)["files"] == [
        change("copied", "copy", "kept"),
        change("added", "fresh"),
        change("removed", "gone"),
        change("modified", "kept"),
        change("renamed", "new", "moved"),
        change("modified", "run"),
    ]


def test_a_name_may_change_its_case_alone(server: "HgServer") -> None:
    """It is a rename like any other."""
    clone = server.clone(server.init())
    clone.commit("a", readme="text")
    clone("mv", str(clone.path / "readme"), str(clone.path / "README"))
    clone("commit", "-q", "-m", "b")

    clone("push", "-q")

    assert server.the_one().changesets[1].files[0].change == "renamed"


def test_a_merge_lists_its_files_against_each_parent(server: "HgServer") -> None:
    """What either side brought shows against the other; a removal and a rename go through a merge."""
    clone = server.clone(server.init())
    base = clone.commit("base", kept="k\n" * 9, moved="m\n" * 9, gone="g\n" * 9)
    left = clone.commit("left", gone=None, left="l\n" * 9)
    clone("update", "-q", base)
    clone("mv", str(clone.path / "moved"), str(clone.path / "new"))
    right = clone.commit("right", right="r\n" * 9)
    clone("merge", "-q", "-r", left)
    clone("commit", "-q", "-m", "merge")
    merge = clone.node(".")

    clone("push", "-q")

    message = server.the_one().commit(merge)
    assert message["parents"] == [right, left]
    assert message["files"] == [
        change("removed", "gone", parent=right),
        change("added", "left", parent=right),
        change("renamed", "new", "moved", parent=left),
        change("added", "right", parent=left),
    ]


def test_an_octopus_is_several_merges(server: "HgServer") -> None:
    """Three heads merged one after the other are one head in the end."""
    clone = server.clone(server.init())
    base = clone.commit("base", base="base")
    tips = []
    for name in ("a", "b", "c"):
        clone("update", "-q", base)
        tips.append(clone.commit(name, **{name: name}))
    for tip in tips[:2]:
        clone("merge", "-q", "-r", tip)
        clone("commit", "-q", "-m", f"merge {tip}")

    clone("push", "-q")

    push = server.the_one()
    assert push.transaction.heads == (clone.node("."),)
    assert [len(changeset.parents) for changeset in push.changesets] == [0, 1, 1, 1, 2, 2]


def test_a_changeset_without_files_is_announced(server: "HgServer") -> None:
    """A closed branch changes no file; it and its reopening name the branch, whatever that is called."""
    clone = server.clone(server.init())
    clone.commit("a", file="a")
    clone("branch", "-q", "release 1.0 – Ångström")
    clone("commit", "-q", "-m", "open")
    clone("commit", "-q", "-m", "close", "--close-branch")
    clone("commit", "-q", "-m", "reopen", "--config", "ui.allowemptycommit=1")

    clone("push", "-q", "--new-branch")

    push = server.the_one()
    branch = "release 1.0 – Ångström"
    assert [(changeset.text, changeset.branch) for changeset in push.changesets] == [
        ("a", "default"),
        ("open", branch),
        ("close", branch),
        ("reopen", branch),
    ]
    assert not any(changeset.files for changeset in push.changesets[1:])


def test_all_heads_of_a_push_are_named(server: "HgServer") -> None:
    """Two heads, one of which has an ancestor in the same push."""
    clone = server.clone(server.init())
    base = clone.commit("base", base="base")
    one = clone.commit("one", one="one")
    clone("update", "-q", base)
    two = clone.commit("two", two="two")

    clone("push", "-q", "-f")

    assert server.the_one().v1[0]["heads"] == [one, two]


def test_tags_are_named_but_those_of_one_repository_alone(server: "HgServer") -> None:
    """A tag that came is on its changeset, moved or removed ones are where they are now; `tip` is nowhere."""
    repository = server.init()
    clone = server.clone(repository)
    first = clone.commit("a", file="a")
    second = clone.commit("b", file="b")
    clone("tag", "-r", first, "v1")
    clone("tag", "-r", first, "v2")
    clone("tag", "-f", "-r", second, "v2")
    clone("tag", "-r", first, "gone")
    clone("tag", "--remove", "gone")
    clone("tag", "--local", "-r", first, "mine")
    (repository / ".hg" / "localtags").write_text(f"{first} theirs\n")

    clone("push", "-q")

    push = server.the_one()
    assert push.commit(first)["tags"] == ["v1"]
    assert push.commit(second)["tags"] == ["v2"]
    assert not any(changeset.tags for changeset in push.changesets[2:])


def test_a_conflict_in_the_tags_hurts_nothing(server: "HgServer") -> None:
    """A `.hgtags` with conflict marks in it is a file like any other."""
    clone = server.clone(server.init())
    first = clone.commit("a", file="a")
    clone.commit("b", **{".hgtags": f"<<<<<<< local\n{first} v1\n=======\nnonsense\n>>>>>>> other\n"})

    clone("push", "-q")

    push = server.the_one()
    assert push.commit(first)["tags"] == ["v1"]


def test_bookmarks_are_on_the_changeset_that_the_push_moved_them_to(server: "HgServer") -> None:
    """All that one push made are on it, and in one message of moves, whatever the server's encoding is."""
    server.environ["HGENCODING"] = "ascii"
    repository = server.init()
    server.environ["HGENCODING"] = "utf-8"
    clone = server.clone(repository)
    node = clone.commit("a", file="a")
    clone("bookmark", "-q", "@", "feature/ünï")

    clone("push", "-q", "-B", "@", "-B", "feature/ünï")

    push = server.the_one()
    assert push.commit(node)["bookmarks"] == ["@", "feature/ünï"]
    assert [move["bookmark"] for move in push.data("bookmark.1")["moves"]] == ["@", "feature/ünï"]


def test_a_divergent_bookmark_is_one_of_its_own(server: "HgServer") -> None:
    """A pull into the server that finds `@` elsewhere makes another bookmark, which is announced."""
    repository = server.init()
    clone = server.clone(repository)
    base = clone.commit("base", base="base")
    clone("bookmark", "-q", "@")
    clone("push", "-q", "-B", "@")
    ours = clone.commit("ours", ours="ours")
    here = server.client(repository)
    here("update", "-q", "@")
    theirs = here.commit("theirs", theirs="theirs")
    server.forget()

    here("pull", "-q", str(clone.path), "--config", f"paths.friend={clone.path}")

    (moves,) = [event.data("bookmark.1")["moves"] for event in server.announced() if event.v2]
    assert moves == [{"bookmark": "@friend", "old": None, "new": ours}]
    assert here.node("@") == theirs != base


def test_bytes_that_are_not_utf8_are_told(server: "HgServer") -> None:
    """A path shows its bytes and has them beside it; text and user come from whatever encoding."""
    clone = server.clone(server.init())
    (clone.path / "a").write_text("text")
    clone("add", "-q", str(clone.path / "a"))
    clone("commit", "-q", "-m", "a")
    name = b"caf\xe9\n.txt".replace(b"\n", b" ")
    (clone.path / "a").rename(clone.path / name.decode("utf-8", "surrogateescape"))
    clone("addremove", "-q", "-s", "50")
    latin = {**server.environ, "HGENCODING": "latin-1", "HGUSER": "René"}
    server.environ = latin
    server.hg("commit", "-m", "déjà vu".encode("latin-1"), "-u", "René".encode("latin-1"), cwd=clone.path)
    server.hg("push", "-q", cwd=clone.path)

    changeset = server.the_one().code[-1]

    assert (changeset["message"], changeset["who"]) == ("déjà vu", "René")
    (file,) = changeset["files"]
    assert (file["change"], file["path"], file["from"]) == ("renamed", "caf\\xe9 .txt", "a")
    assert b64decode(file["path_bytes"]) == name


@pytest.mark.parametrize("text", ["line\r\nline", "a\x0bb", "tab\tquote\" \\ 'x' {braces}", "☃ \U0001f600"])
def test_a_text_comes_through_as_it_was_written(server: "HgServer", text: str) -> None:
    """Whatever looks like an end of a line, a quote or a template stays what it is."""
    clone = server.clone(server.init())
    clone.commit(text, file="a")
    expected = clone("log", "-r", ".", "-T", "{desc|json}")

    clone("push", "-q")

    assert server.the_one().code[1]["message"] == json.loads(expected)
