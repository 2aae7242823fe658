"""What a push does to tags and to refs of other kinds."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugins.git_push.conftest import Pushes


def test_an_annotated_tag_is_described(pushes: "Pushes") -> None:
    """A tag object comes with its tagger, message and target, and the commits that it alone reaches."""
    tip = pushes.commit("Base")
    pushes.git("tag", "-a", "v1", "-m", "First release\n\nNotes")
    tag = pushes.git("rev-parse", "v1")

    (payload,) = pushes.read(pushes.push("v1"))

    assert payload["tags"] == {"v1": tag}
    (update,) = payload["updates"]
    assert (update["kind"], update["name"], update["object"]) == ("tag", "v1", "tag")
    assert [commit["id"] for commit in update["commits"]] == [tip]
    tagger = update["tag"].pop("tagger")
    assert (tagger["name"], tagger["email"]) == ("A Person", "person@example.org")
    assert isinstance(tagger["time"], int)
    assert update["tag"] == {
        "name": "v1",
        "message": "First release\n\nNotes\n",
        "object": tip,
        "object_type": "commit",
    }


def test_the_message_of_a_tag_ends_at_its_first_nul(pushes: "Pushes") -> None:
    """As that of a commit does, whatever follows."""
    tip = pushes.commit("Base")
    text = f"object {tip}\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\nRelease\0hidden\n".encode()
    tag = pushes.git("hash-object", "-t", "tag", "-w", "--literally", "--stdin", stdin=text)

    (update,) = pushes.updates(f"{tag}:refs/tags/v1")

    assert update["tag"]["message"] == "Release"


def test_a_tag_of_a_tag_names_the_inner_tag(pushes: "Pushes") -> None:
    """A nested tag points to a tag, and its commits are still found."""
    pushes.commit("Base")
    pushes.git("tag", "-a", "inner", "-m", "Inner")
    pushes.git("tag", "-a", "outer", "-m", "Outer", "inner")

    (update,) = pushes.updates("outer")

    assert (update["tag"]["name"], update["tag"]["object_type"]) == ("outer", "tag")
    assert update["tag"]["object"] == pushes.git("rev-parse", "inner")
    assert update["commit_count"] == 1


@pytest.mark.parametrize(("expression", "kind"), [("HEAD^{tree}", "tree"), ("HEAD:a", "blob")])
def test_tags_of_trees_and_blobs_are_told(pushes: "Pushes", expression: str, kind: str) -> None:
    """A light tag may be of any object, and an annotated one too; neither brings commits."""
    pushes.commit(a="1")
    pushes.read(pushes.push("main"))
    pushes.git("tag", "light", expression)
    pushes.git("tag", "-a", "heavy", "-m", "Heavy", expression)

    updates = {update["name"]: update for update in pushes.updates("heavy", "light")}

    assert (updates["light"]["object"], updates["light"]["tag"]) == (kind, None)
    assert updates["heavy"]["object"] == "tag"
    assert updates["heavy"]["tag"]["object_type"] == kind
    assert [update["commits"] for update in updates.values()] == [[], []]


def test_a_tag_that_moves_is_forced(pushes: "Pushes") -> None:
    """A tag is not meant to move, be it forward, to an annotated tag or from it."""
    pushes.commit("One")
    pushes.git("tag", "v1")
    pushes.read(pushes.push("main", "v1"))
    pushes.commit("Two")
    pushes.git("tag", "-f", "-a", "v1", "-m", "Heavy")

    (update,) = pushes.updates("+v1")

    assert (update["change"], update["forced"], update["object"]) == ("updated", True, "tag")
    assert update["commit_count"] == 1
    assert update["discarded_count"] == 0


@pytest.mark.parametrize("ref", ["refs/notes/commits", "refs/pull/1/head", "refs/changes/01/1/1"])
def test_other_refs_are_of_the_kind_other(pushes: "Pushes", ref: str) -> None:
    """Refs that are no branch and no tag are told under their name without refs/."""
    tip = pushes.commit("Base")

    (payload,) = pushes.read(pushes.push(f"main:{ref}"))

    (update,) = payload["updates"]
    assert (update["ref"], update["kind"], update["name"]) == (ref, "other", ref.removeprefix("refs/"))
    assert (payload["branches"], payload["tags"], update["new"]) == ({}, {}, tip)


def test_a_ref_of_a_blob_moves_by_force(pushes: "Pushes") -> None:
    """What is no commit has no descendants."""
    pushes.commit(a="1")
    pushes.read(pushes.push("main"))
    pushes.git("update-ref", "refs/data/x", pushes.git("rev-parse", "HEAD:a"))
    pushes.read(pushes.push("refs/data/x"))
    pushes.commit(a="2")
    pushes.git("update-ref", "refs/data/x", pushes.git("rev-parse", "HEAD:a"))

    (update,) = pushes.updates("+refs/data/x")

    assert (update["object"], update["forced"], update["commits"]) == ("blob", True, [])
