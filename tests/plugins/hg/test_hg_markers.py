"""Obsolescence out of the ordinary: divergence, successors that are hidden, bookmarks that come and go."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer


def test_two_successors_that_know_nothing_of_each_other_are_two_markers(server: "HgServer") -> None:
    """Divergence is told as it is: one precursor, replaced twice, by what both people pushed."""
    clone = server.clone(server.init())
    base = clone.commit("base", base="base")
    old = clone.commit("draft", file="a")
    clone("push", "-q")
    server.forget()
    successors = []
    for text in ("mine", "yours"):
        clone("update", "-q", base)
        successors.append(clone.commit(text, **{text: text}))
        clone("debugobsolete", old, successors[-1])

    clone("push", "-q", "-f")

    markers = server.the_one().data("obsolete.1")["markers"]
    told = {(marker["precursor"]["node"], marker["successors"][0]["node"]) for marker in markers}
    assert told == {(old, successor) for successor in successors}
    assert all(marker["successors"][0]["visible"] for marker in markers)


def test_a_successor_that_was_pruned_since_is_told_as_hidden(server: "HgServer") -> None:
    """By the time of reading it is there, and nobody sees it: known, and not visible."""
    clone = server.clone(server.init())
    base = clone.commit("base", base="base")
    clone.commit("draft", file="a")
    clone("push", "-q")
    server.forget()
    clone("commit", "-q", "--amend", "-m", "better")
    new = clone.node(".")
    clone("push", "-q", "-f")
    clone("update", "-q", base)
    clone("debugobsolete", "--record-parents", new)
    clone("push", "-q", status=1)

    amended = server.announced()[0].data("obsolete.1")["markers"][0]["successors"]

    assert [(node["node"], node["known"], node["visible"]) for node in amended] == [(new, True, False)]


def test_a_bookmark_that_came_and_went_in_one_transaction_is_told_of_nowhere(server: "HgServer") -> None:
    """What nobody could see is no move; the changeset that came with it is announced."""
    repository = server.init()
    script = repository.with_name("extension.py")
    script.write_text(
        "from mercurial import registrar\ncmdtable = {}\n"
        "@registrar.command(cmdtable)(b'come-and-go', [], b'')\n"
        "def come_and_go(ui, repo):\n"
        "    with repo.wlock(), repo.lock(), repo.transaction(b'both') as transaction:\n"
        "        repo.commit(b'a', user=b'Ada')\n"
        "        node = repo[b'tip'].node()\n"
        "        repo._bookmarks.applychanges(repo, transaction, [(b'brief', node)])\n"
        "        repo._bookmarks.applychanges(repo, transaction, [(b'brief', None)])\n"
    )
    (repository / "file").write_text("a")
    server.hg("add", "-q", repository / "file", cwd=repository)

    server.hg("come-and-go", "--config", f"extensions.both={script}", cwd=repository)

    event = server.the_one()
    assert event.types == ["newrepo.1", "changegroup.1"]
    assert event.transaction.bookmarks == ()
