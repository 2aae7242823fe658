"""What transactions and changesets of Mercurial become, whatever their size."""

import pytest
from msgspec import json

from pulseshim import readable
from pulseshim.testing import check_shim
from pulseshim_shims.hg import V2_MESSAGES, v1_messages, v2_messages
from pulseshim_shims.hg_code import code_key, code_messages
from pulseshim_shims.hg_event import HgChangeset, HgEvent, HgTransaction
from pulseshim_shims.hg_payload import BookmarkMove, MarkedNode, Marker, PhaseMove, PushEntry, file_change
from tests.hg_consumers import accept

LIMIT = 65536
NODES = tuple(f"{number:040x}" for number in range(5000))
ENTRY = PushEntry(1, 2, "ada@example.org", "https://hg.example.org/a", "https://hg.example.org/b")


def transaction(**more: object) -> HgTransaction:
    """Give a transaction in a repository of two words."""
    given = {
        "id": "TXN:1", "url": "https://hg.example.org/group/project-x", "path": "group/project-x", "time": 0,
        "user": "ada@example.org", "source": "push", **more,
    }  # fmt: skip
    return HgTransaction(**given)  # type: ignore[arg-type]


def changeset(**more: object) -> HgChangeset:
    """Give a changeset of the same repository."""
    given = {
        "transaction": "TXN:1", "url": "https://hg.example.org/group/project-x", "path": "group/project-x",
        "node": NODES[1], "parents": (NODES[0],), "branch": "default", "author": "Ada", "text": "text",
        "date": -1.0, "phase": "draft", "files": (), **more,
    }  # fmt: skip
    return HgChangeset(**given)  # type: ignore[arg-type]


def sizes(*events: HgEvent) -> list[int]:
    """Give the size of each message of events on each exchange, having shown it to the consumers."""
    shims = {"v1": v1_messages, "v2": v2_messages, "code": code_messages}
    bodies = [
        (exchange, json.encode(message.payload()))
        for exchange, shim in shims.items()
        for event in events
        for message in shim(event, max_bytes=LIMIT)
    ]
    for exchange, body in bodies:
        accept(exchange, json.decode(body))
    return [len(body) for _, body in bodies]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("integration/mozilla-inbound", "hg.push.integration.mozilla.inbound"),
        ("a--b//c", "hg.push.a.b.c"),
        ("v1.0", "hg.push.v1.0"),
        ("a..b/.c", "hg.push.a.b.c"),
        ("/", "hg.push"),
    ],
)
def test_a_key_is_made_of_the_words_of_the_path(path: str, key: str) -> None:
    """No word is empty, and a key is the same however often it is made."""
    assert code_key("push", path) == key


def test_a_key_of_a_long_path_fits() -> None:
    """AMQP has room for 255 bytes."""
    assert len(code_key("commit", "word/" * 100).encode()) == 255


def test_a_push_with_more_heads_than_fit_is_several_messages() -> None:
    """Each has some of the heads and the same entries of the push log; together they have all."""
    push = transaction(heads=NODES, changesets=NODES, changeset_count=5000, pushes=(ENTRY,))

    messages = check_shim(lambda event: v1_messages(event, max_bytes=LIMIT), [push])

    payloads = [message.payload() for message in messages]
    assert tuple(head for payload in payloads for head in payload["heads"]) == NODES
    assert [payload["pushlog_pushes"] for payload in payloads] == [[ENTRY]] * len(messages)
    assert max(sizes(push)) < LIMIT


def test_a_push_of_many_lists_the_newest_and_counts_all() -> None:
    """`changeset_count` is there only where the list is not complete."""
    many = transaction(heads=NODES[-1:], changesets=NODES, changeset_count=100_000)
    few = transaction(heads=NODES[-1:], changesets=NODES[-2:], changeset_count=2)

    (cut,) = [message.payload() for message in code_messages(many, max_bytes=LIMIT)]
    (whole,) = [message.payload() for message in code_messages(few, max_bytes=LIMIT)]

    assert cut["changesets"] == list(NODES[-len(cut["changesets"]) :])
    assert cut["changeset_count"] == 100_000
    assert "changeset_count" not in whole


def test_markers_bookmarks_and_phases_fit_however_many_they_are() -> None:
    """They are several messages; a text that is too long is cut, successors are spread over markers."""
    long = MarkedNode(NODES[0], known=True, visible=False, desc="x" * 2 * LIMIT, push=ENTRY)
    short = MarkedNode(NODES[1], known=True, visible=True, desc="y", push=None)
    markers = (Marker(long, [short], "Ada", 1.0), Marker(short, [long] * 2000, "Ada" * LIMIT, 1.0))
    moves = tuple(BookmarkMove(f"bookmark {node}", None, node) for node in NODES)
    phase = PhaseMove(
        old="draft", new="public", heads=list(NODES), changesets=list(NODES), changeset_count=100_000
    )
    event = transaction(markers=markers, bookmarks=moves, phases=(phase,), is_new=True)

    messages = check_shim(lambda event: v2_messages(event, max_bytes=LIMIT), [event])

    kinds = [message.payload()["type"] for message in messages]
    assert set(kinds) == {"newrepo.1", "obsolete.1", "bookmark.1", "phase.1"}
    assert max(sizes(event)) < LIMIT
    successors = [
        node
        for message in messages
        if message.payload()["type"] == "obsolete.1"
        for marker in message.payload()["data"].markers[:]
        for node in marker.successors
    ]
    assert len(successors) == 2001
    assert {type(message) for message in messages} <= set(V2_MESSAGES)


def test_a_changeset_that_is_too_large_says_what_is_left_out() -> None:
    """Its text is cut, its last files are left out; `file_count` and `message_truncated` say so."""
    files = tuple(file_change("added", f"{number}/{'x' * 200}") for number in range(2000))
    large = changeset(text="é" * LIMIT, author="ü" * LIMIT, branch="ö" * LIMIT, files=files)

    (message,) = check_shim(lambda event: code_messages(event, max_bytes=LIMIT), [large])

    payload = message.payload()
    assert payload["message_truncated"] is True
    assert payload["file_count"] == 2000
    assert 0 < len(payload["files"]) < 2000
    assert max(sizes(large)) < LIMIT


@pytest.mark.parametrize("name", ["x" * 3 * LIMIT, "é" * LIMIT, "\x01\udce9" * (LIMIT // 8), "short"])
def test_names_of_any_length_and_number_fit(name: str) -> None:
    """Those that are too long are cut, and of many the first are listed: no message is too large for them."""
    names = tuple(f"{number} {name}" for number in range(5000 if name == "short" else 20))
    moves = tuple(BookmarkMove(readable(name), None, NODES[1]) for name in names)
    files = (file_change("added", "file"),)
    large = changeset(
        text="é" * LIMIT, author=name, branch=name, bookmarks=names, tags=names[::-1], files=files
    )
    push = transaction(
        bookmarks=moves, source=name, heads=NODES, changesets=NODES, changeset_count=5000, pushes=(ENTRY,)
    )

    (commit,) = [message.payload() for message in code_messages(large, max_bytes=LIMIT)]
    told = [message.payload() for message in v2_messages(push, max_bytes=LIMIT)]

    assert max(sizes(push, large)) < LIMIT
    for listed, given in ((commit["bookmarks"], names), (commit["tags"], names[::-1])):
        assert 0 < len(listed) < len(given)
        assert all(map(str.startswith, map(readable, given), listed))
    assert commit["files"] == list(files)
    moved = [move for payload in told if payload["type"] == "bookmark.1" for move in payload["data"].moves]
    assert [readable(name).startswith(move.bookmark) for name, move in zip(names, moved, strict=True)]


def test_a_date_that_no_calendar_has_is_null() -> None:
    """Before 1970 is a date like any other."""
    dates = [changeset(date=date, node=NODES[n]) for n, date in enumerate((-1.0, 1e18))]

    messages = check_shim(lambda event: code_messages(event, max_bytes=LIMIT), dates)

    assert [message.payload()["when"] for message in messages] == ["1969-12-31T23:59:59Z", None]
