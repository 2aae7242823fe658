"""What may be seen: secret changesets never are, obsolete ones are told with what is known of them."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pulseshim_plugins.hg_record import NotATransaction

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer


def test_a_secret_changeset_is_announced_when_it_is_secret_no_more(server: "HgServer") -> None:
    """Nothing is said of it, nor of a bookmark on it, until then; then it arrives as if it was pushed."""
    repository = server.init()
    here = server.client(repository)
    here.commit("base", base="base")
    server.forget()

    secret = here.commit("hush", "--secret", file="a")
    here("bookmark", "-q", "-r", secret, "plan")
    quiet = [event for event in server.announced() if event.events]
    here("phase", "-d", secret)
    loud = server.the_one()

    assert quiet == []
    assert loud.types == ["changegroup.1"]
    assert loud.v1[0]["heads"] == [secret]
    assert (loud.commit(secret)["message"], loud.commit(secret)["phase"]) == ("hush", "draft")


def test_what_became_secret_before_it_was_read_is_not_announced(server: "HgServer") -> None:
    """A draft that is made secret while it waits in the spool stays private."""
    here = server.client(server.init())
    here.commit("base", base="base")
    server.forget()
    node = here.commit("oh no", file="a")
    here("phase", "-f", "-s", node)

    events = [event for event in server.announced() if event.events]

    assert events == []


def test_a_known_changeset_that_becomes_secret_is_not_told_of(server: "HgServer") -> None:
    """To name it would tell what is to be hidden; when it is secret no more, it is announced as if pushed."""
    here = server.client(server.init())
    node = here.commit("draft", file="a")
    server.forget()

    here("phase", "-f", "-s", node)
    quiet = server.announced()
    here("phase", "-d", node)
    loud = server.the_one()

    assert [event.events for event in quiet] == [[]]
    assert loud.types == ["changegroup.1"]
    assert loud.v1[0]["heads"] == [node]


def test_an_amended_secret_changeset_leaves_no_trace(server: "HgServer") -> None:
    """Its markers name it, so they are left out."""
    here = server.client(server.init())
    here.commit("base", base="base")
    here.commit("hush", "--secret", file="a")
    server.forget()

    here("commit", "-q", "--amend", "-m", "hush hush")

    assert [event for event in server.announced() if event.events] == []


def test_a_private_repository_stays_private(server: "HgServer") -> None:
    """No URL, no message, however often; it is counted."""
    clone = server.clone(server.init())
    clone.commit("a", file="a")
    clone("push", "-q")
    server.options = {"repositories": {}}

    events = server.announced()

    assert [event.events for event in events] == [[]]
    assert server.state.counts["private"] == 1


def test_a_repository_may_name_its_url_or_none(server: "HgServer") -> None:
    """`pulseshim.url` of its hgrc wins over the settings; an empty one makes it private."""
    repository = server.init()
    clone = server.clone(repository)
    clone.commit("a", file="a")
    clone("push", "-q")
    hgrc = repository / ".hg" / "hgrc"
    lines = hgrc.read_text()
    (invocation,) = server.invocations()

    hgrc.write_text(lines + "url = https://hg.example.org/other/name\n")
    named = server.read(invocation)
    hgrc.write_text(lines + "url =\n")
    none = server.read(replace(invocation, arguments=()))

    assert named[0].path == "other/name"
    assert none == []


def test_markers_tell_what_replaced_what(server: "HgServer") -> None:
    """A fold of two and a split into two; a precursor that the server never had is unknown."""
    repository = server.init()
    clone = server.clone(repository)
    base = clone.commit("base", base="base")
    one, two = clone.commit("one", one="1"), clone.commit("two", two="2")
    clone("push", "-q")
    server.forget()
    clone("update", "-q", base)
    folded = clone.commit("folded", one="1", two="2")
    unseen = "1234567890" * 4
    clone("debugobsolete", one, folded)
    clone("debugobsolete", two, folded)
    clone("debugobsolete", unseen, folded)

    clone("push", "-q", "-f")
    fold = server.the_one().data("obsolete.1")["markers"]
    clone("update", "-q", base)
    halves = [clone.commit("half 1", one="1")]
    halves.append(clone.commit("half 2", two="2"))
    clone("debugobsolete", folded, *halves)
    clone("push", "-q", "-f")
    split = server.the_one().data("obsolete.1")["markers"]

    by_node = {marker["precursor"]["node"]: marker for marker in fold}
    assert {node: marker["successors"][0]["node"] for node, marker in by_node.items()} == {
        one: folded, two: folded, unseen: folded,
    }  # fmt: skip
    assert by_node[unseen]["precursor"] == {
        "node": unseen, "known": False, "visible": None, "desc": None, "push": None,
    }  # fmt: skip
    assert [(m["precursor"]["node"], [s["node"] for s in m["successors"]]) for m in split] == [
        (folded, halves)
    ]
    assert split[0]["precursor"]["visible"] is False


def test_a_later_push_is_not_part_of_an_earlier_one(server: "HgServer") -> None:
    """Each is read by its own nodes, though both are there by then."""
    clone = server.clone(server.init())
    first = clone.commit("a", file="a")
    clone("push", "-q")
    second = clone.commit("b", file="b")
    clone("push", "-q")

    pushes = server.announced()

    assert [push.v1[0]["heads"] for push in pushes] == [[first], [second]]
    assert [push.v1[0]["pushlog_pushes"][0]["pushid"] for push in pushes] == [1, 2]


def test_a_repository_that_is_gone_is_announced_by_what_was_recorded(server: "HgServer") -> None:
    """Heads, markers and bookmarks stand in the spool; the changesets are lost, and that is counted."""
    repository = server.init()
    clone = server.clone(repository)
    clone.commit("a", file="a")
    clone("push", "-q")
    server.forget()
    node = clone.commit("b", file="b")
    clone("bookmark", "-q", "feature")
    clone("push", "-q", "-B", "feature")
    repository.rename(repository.with_name("elsewhere"))

    push = server.the_one()

    assert push.types == ["changegroup.1", "bookmark.1"]
    assert push.v1[0]["heads"] == [node]
    assert push.changesets == []
    assert server.state.counts["gone"] == 1


def test_what_was_stripped_before_it_was_read_is_announced_by_its_heads(server: "HgServer") -> None:
    """The push happened; that its changesets are gone by now does not undo that."""
    repository = server.init()
    clone = server.clone(repository)
    clone.commit("base", base="base")
    node = clone.commit("a", file="a")
    clone("push", "-q")
    server.hg("strip", "-q", "--config", "extensions.strip=", "-r", node, cwd=repository)

    push = server.announced()[0]

    assert push.v1[0]["heads"] == [node]


@pytest.mark.parametrize(
    "stdin",
    [b"nonsense\0", b"head\0zzz\0", b"added\0000\0", b"added\0007\0%s\0%s\0001\0" % (b"1" * 40, b"1" * 40)],
)
def test_what_no_hook_wrote_is_refused(server: "HgServer", stdin: bytes) -> None:
    """Anybody may write into the spool: what is no transaction is parked, and says so."""
    clone = server.clone(server.init())
    clone.commit("a", file="a")
    clone("push", "-q")
    (invocation,) = server.invocations()

    with pytest.raises(NotATransaction):
        server.read(replace(invocation, stdin=stdin))
