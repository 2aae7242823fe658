"""Each kind of push, as Mercurial's own hooks see it: exactly one event, and none for nothing."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer


def test_changesets_are_one_event(server: "HgServer") -> None:
    """Three changesets in one push are one message on each exchange of pushes, and three of changesets."""
    clone = server.clone(server.init())
    nodes = [clone.commit(text, file=text) for text in "abc"]

    clone("push", "-q")

    push = server.the_one()
    assert push.types == ["newrepo.1", "changegroup.1"]
    assert push.data("changegroup.1")["heads"] == push.v1[0]["heads"] == nodes[2:]
    assert push.code[0]["changesets"] == [payload["id"] for payload in push.code[1:]] == nodes
    assert [payload["phase"] for payload in push.code[1:]] == ["draft"] * 3


def test_a_bookmark_alone_is_one_event(server: "HgServer") -> None:
    """Created, moved, and deleted: each says where it was and is."""
    clone = server.clone(server.init())
    first, second = clone.commit("a", file="a"), clone.commit("b", file="b")
    clone("push", "-q")
    server.forget()

    for revision in (first, second):
        clone("bookmark", "-q", "-f", "-r", revision, "feature")
        clone("push", "-q", "-B", "feature", "-r", second, status=1)
    clone("bookmark", "-q", "-d", "feature")
    clone("push", "-q", "-B", "feature", "-r", second, status=1)

    events = server.announced()
    assert [event.types for event in events] == [["bookmark.1"]] * 3
    assert [event.data("bookmark.1")["moves"] for event in events] == [
        [{"bookmark": "feature", "old": None, "new": first}],
        [{"bookmark": "feature", "old": first, "new": second}],
        [{"bookmark": "feature", "old": second, "new": None}],
    ]
    assert not any(event.v1 or event.code for event in events)


def test_a_phase_alone_is_one_event(server: "HgServer") -> None:
    """Old changesets that become public are one change of phase, however many they are."""
    clone = server.clone(server.init())
    nodes = [clone.commit(text, file=text) for text in "abc"]
    clone("push", "-q")
    server.forget()

    clone("phase", "-p", "-r", "all()")
    clone("push", "-q", status=1)

    event = server.the_one()
    assert event.types == ["phase.1"]
    assert event.data("phase.1")["moves"] == [
        {"from": "draft", "to": "public", "heads": nodes[2:], "changesets": nodes, "changeset_count": 3}
    ]


def test_an_amended_changeset_is_one_event(server: "HgServer") -> None:
    """The successor came, the precursor is obsolete and hidden, the bookmark moved: one transaction."""
    clone = server.clone(server.init())
    clone.commit("base", base="base")
    old = clone.commit("draft\n\nin two paragraphs", file="a")
    clone("bookmark", "-q", "feature")
    clone("push", "-q", "-B", "feature")
    server.forget()

    (clone.path / "file").write_text("b")
    clone("commit", "-q", "--amend", "-m", "better")
    new = clone.node(".")
    clone("push", "-q", "-f")

    event = server.the_one()
    assert event.types == ["changegroup.1", "obsolete.1", "bookmark.1"]
    (marker,) = event.data("obsolete.1")["markers"]
    assert marker["precursor"] | {"push": None} == {
        "node": old, "known": True, "visible": False, "desc": "draft\n\nin two paragraphs", "push": None,
    }  # fmt: skip
    assert [node["node"] for node in marker["successors"]] == [new]
    assert marker["successors"][0]["push"]["pushid"] == 2
    assert marker["user"] == "Ada <ada@example.org>"
    assert event.data("bookmark.1")["moves"] == [{"bookmark": "feature", "old": old, "new": new}]


def test_a_prune_alone_is_one_event(server: "HgServer") -> None:
    """A marker without successors came, and no changeset."""
    clone = server.clone(server.init())
    clone.commit("base", base="base")
    node = clone.commit("draft", file="a")
    clone("push", "-q")
    server.forget()

    clone("debugobsolete", "--record-parents", node)
    clone("update", "-q", "0")
    clone("push", "-q", status=1)

    event = server.the_one()
    assert event.types == ["obsolete.1"]
    (marker,) = event.data("obsolete.1")["markers"]
    assert (marker["precursor"]["node"], marker["precursor"]["visible"]) == (node, False)
    assert marker["successors"] == []


def test_nothing_new_is_no_event(server: "HgServer") -> None:
    """A push that finds nothing to do records nothing."""
    clone = server.clone(server.init())
    clone.commit("a", file="a")
    clone("push", "-q")
    server.forget()

    clone("push", "-q", status=1)

    assert server.invocations() == []


def test_a_strip_announces_only_the_bookmarks_that_it_moved(server: "HgServer") -> None:
    """What strip takes out and puts back did not arrive; the bookmark that has to move does so once.

    Where it was is not told: nobody can say any more whether that was secret.
    """
    repository = server.init()
    clone = server.clone(repository)
    base, lost = clone.commit("base", base="base"), clone.commit("lost", file="a")
    clone("bookmark", "-q", "-i", "-r", lost, "feature")
    clone("update", "-q", base)
    clone.commit("kept", other="b")
    clone("push", "-q", "-f", "-B", "feature")
    server.forget()

    server.hg("strip", "-q", "--config", "extensions.strip=", "-r", lost, cwd=repository)

    events = server.announced()
    assert [event.types for event in events if event.events] == [["bookmark.1"]]
    assert events[-1].data("bookmark.1")["moves"] == [{"bookmark": "feature", "old": None, "new": base}]


def test_a_transaction_that_is_rolled_back_is_no_event(server: "HgServer") -> None:
    """Another hook refuses the push before it is done: nothing happened."""
    repository = server.init()
    with (repository / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write("[hooks]\npretxnclose.refuse = false\n")
    clone = server.clone(repository)
    clone.commit("a", file="a")

    clone("push", "-q", status=255)

    assert server.invocations() == []
