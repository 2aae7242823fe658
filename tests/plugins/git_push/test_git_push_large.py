"""Pushes of very many refs, commits and files, and of very long texts."""

import time
from typing import TYPE_CHECKING

import pytest

from pulseshim_plugins.git_objects import read_tags
from pulseshim_plugins.git_repository import Repository

if TYPE_CHECKING:
    from tests.plugins.git_push.conftest import Pushes


@pytest.fixture
def long_history(pushes: "Pushes") -> list[str]:
    """Give the ids of 400 commits in the repository, oldest first."""
    lines = []
    for number in range(400):
        lines.append(f"commit refs/staged\ncommitter A <a@b> {1700000000 + number} +0000\ndata 5\nText\n\n")
        lines.append(f"M 644 inline file\ndata <<E\n{number}\nE\n\n")
    pushes.git("fast-import", "--quiet", cwd=pushes.bare, stdin="".join(lines).encode())
    ids = pushes.git("rev-list", "--reverse", "refs/staged", cwd=pushes.bare).split()
    pushes.git("update-ref", "-d", "refs/staged", cwd=pushes.bare)
    pushes.read(pushes.recorded(b"", {}, "baseline"))
    return ids


def test_a_thousand_refs_are_described_at_once(pushes: "Pushes", long_history: list[str]) -> None:
    """Creations, moves to and fro and deletions of a thousand branches cost a handful of git's runs each."""
    tips = [long_history[(number * 37) % 400] for number in range(1000)]
    moved = [long_history[(number * 37 + number % 3 - 1) % 400] for number in range(1000)]
    created = "".join(f"{pushes.zero} {tip} refs/heads/b{n}\n" for n, tip in enumerate(tips))
    updated = "".join(
        f"{old} {new} refs/heads/b{n}\n" for n, (old, new) in enumerate(zip(tips, moved, strict=True))
    )
    deleted = "".join(f"{tip} {pushes.zero} refs/heads/b{n}\n" for n, tip in enumerate(moved))

    payloads = pushes.read(*(pushes.recorded(text.encode()) for text in (created, updated, deleted)))

    first, second, third = (payload["updates"] for payload in payloads)
    assert sum(update["commit_count"] for update in first) == 400
    for number, update in enumerate(second):
        descends = long_history.index(moved[number]) >= long_history.index(tips[number])
        assert update["forced"] is not descends
    assert [update["discarded_count"] for update in third] == [long_history.index(tip) + 1 for tip in moved]


def test_a_long_history_is_cut_at_its_oldest_end(pushes: "Pushes", long_history: list[str]) -> None:
    """A message takes the newest commits that fit, and counts all of them."""
    pushes.options["max_bytes"] = 16384

    (payload,) = pushes.read(pushes.recorded(f"{pushes.zero} {long_history[-1]} refs/heads/main\n".encode()))

    (update,) = payload["updates"]
    kept = [commit["id"] for commit in update["commits"]]
    assert kept == long_history[-len(kept) :]
    assert 10 < len(kept) < 400
    assert (update["commit_count"], update["truncated"]) == (400, True)


def test_a_limit_that_is_large_enough_cuts_nothing(pushes: "Pushes", long_history: list[str]) -> None:
    """All commits are there, in order."""
    (payload,) = pushes.read(pushes.recorded(f"{pushes.zero} {long_history[-1]} refs/heads/main\n".encode()))

    (update,) = payload["updates"]
    assert [commit["id"] for commit in update["commits"]] == long_history
    assert update["truncated"] is False


def test_a_commit_of_very_many_files_says_how_many(pushes: "Pushes") -> None:
    """Files are read no further than a message can hold, and counted."""
    pushes.options["max_bytes"] = 16384
    for number in range(2000):
        (pushes.work / f"file-{number:04}").write_text("")
    pushes.commit("Many")

    (update,) = pushes.updates("main")

    (commit,) = update["commits"]
    assert commit["file_count"] == 2000
    assert commit["files"][0]["path"] == "file-0000"
    assert 100 < len(commit["files"]) < 500
    assert update["truncated"] is True


@pytest.mark.parametrize("piece", [b"words ", "żółć🎉".encode(), b"caf\xe9 "])
def test_a_very_long_message_is_read_no_further_than_needed(pushes: "Pushes", piece: bytes) -> None:
    """A message of megabytes is cut at a character, and the commits around it are as they should be."""
    pushes.options["max_bytes"] = 16384
    person = b"A <a@b> 1700000000 +0000"
    head = b"author %s\ncommitter %s\n\n" % (person, person)
    first = pushes.commit_object(head + b"First\n")
    large = pushes.commit_object(b"parent %s\n" % first.encode() + head + piece * 500_000)

    (update,) = pushes.updates(f"{large}:refs/heads/main")

    (commit,) = update["commits"]
    assert commit["id"] == large
    assert commit["message_truncated"] is True
    shown = (piece * 5000).decode("utf-8", "backslashreplace")
    assert shown.startswith(commit["message"])
    assert len(commit["message"]) > 500
    assert ("message_bytes" in commit) == (piece == b"caf\xe9 ")
    assert (update["commit_count"], update["truncated"]) == (2, True)


def test_a_tag_with_a_very_long_message_is_cut(pushes: "Pushes") -> None:
    """A tag is told with the beginning of its message."""
    pushes.commit("Base")
    pushes.git("tag", "-a", "v1", "-F", "-", stdin=b"word " * 500_000)
    pushes.git("tag", "-a", "v2", "-m", "Short")

    updates = {update["name"]: update for update in pushes.updates("v1", "v2")}

    assert updates["v1"]["tag"]["message_truncated"] is True
    assert updates["v1"]["tag"]["message"].startswith("word word")
    assert updates["v2"]["tag"]["message"] == "Short\n"


def test_very_many_large_tags_are_read_no_further_than_needed(pushes: "Pushes") -> None:
    """All are told with who tagged what, and what is read of their messages is bounded for a push."""
    tip = pushes.commit("Base")
    pushes.push("main")
    text = "żółć🎉 " * 2000
    size = len(text.encode())
    lines = [
        f"tag v{number}\nfrom {tip}\ntagger A <a@b> {number} +0000\ndata {size}\n{text}\n"
        for number in range(200)
    ]
    pushes.git("fast-import", "--quiet", cwd=pushes.bare, stdin="".join(lines).encode())
    ids = pushes.git("for-each-ref", "--format=%(objectname)", "refs/tags", cwd=pushes.bare).split()
    repository = Repository(str(pushes.bare), time.monotonic() + 60)

    tags = read_tags(repository, ids, 2048, 65536)

    assert {tag.tagger.time for tag in tags.values() if tag.tagger} == set(range(200))
    assert all(text.startswith(tag.message) and tag.message_truncated is True for tag in tags.values())
    assert sum(len(tag.message.encode()) for tag in tags.values()) < 65536 + 200 * 1024


def test_a_tag_that_is_read_to_its_end_is_whole(pushes: "Pushes") -> None:
    """Be it by a byte, or because its message ends before that."""
    tip = pushes.commit("Base")
    head = f"object {tip}\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\n".encode()
    exact, over, ended = head.ljust(2048, b"x"), head.ljust(2049, b"x"), head + b"End\0".ljust(4096, b"x")
    ids = [
        pushes.git("hash-object", "-t", "tag", "-w", "--literally", "--stdin", stdin=text)
        for text in (exact, over, ended)
    ]

    tags = read_tags(Repository(str(pushes.work / ".git"), time.monotonic() + 60), ids, 2048, 65536)

    assert [tags[tag].message_truncated is True for tag in ids] == [False, True, False]


def test_files_too_large_to_be_compared_are_told_without_renames(pushes: "Pushes") -> None:
    """They fill no memory. One that only moved is renamed as ever, and so are those of other commits."""
    text = "".join(f"{line}\n" for line in range(1000))
    for repository in (pushes.work, pushes.bare):  # it takes long, and changes nothing here
        pushes.git("config", "core.compression", "0", cwd=repository)
    (pushes.work / "large").write_bytes(b"a" * (150 << 20))
    pushes.commit(before=text, moved=text * 2, after=text * 3)
    pushes.updates("main")
    (pushes.work / "before").rename(pushes.work / "before-new")
    pushes.commit(**{"before-new": text + "more"})
    for name in ("large", "moved"):
        (pushes.work / name).rename(pushes.work / f"{name}-new")
    with (pushes.work / "large-new").open("ab") as file:
        file.write(b"b")
    pushes.commit()
    (pushes.work / "after").rename(pushes.work / "after-new")
    pushes.commit(**{"after-new": text * 3 + "more"})

    (update,) = pushes.updates("main")

    assert [[(file["change"], file["path"]) for file in each["files"]] for each in update["commits"]] == [
        [("renamed", "before-new")],
        [("removed", "large"), ("added", "large-new"), ("renamed", "moved-new")],
        [("renamed", "after-new")],
    ]
