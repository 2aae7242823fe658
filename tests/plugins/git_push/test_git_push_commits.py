"""What is told of commits: people, messages, files, merges, whatever bytes they are made of."""

import base64
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugins.git_push.conftest import Pushes

PERSON = b"A Person <person@example.org> 1700000000 +0000"


def test_each_change_of_a_file_has_its_name(pushes: "Pushes") -> None:
    """Renames name the earlier path; modes, links and submodules are told apart from new types."""
    text = "".join(f"line {number}\n" for number in range(20))
    pushes.commit(moved=text, gone="1", script="2", turned="3", changed="4")
    (pushes.work / "link").symlink_to("changed")
    sub = pushes.commit("More")
    pushes.git("update-index", "--add", "--cacheinfo", f"160000,{sub},module")
    pushes.git("commit", "-q", "-m", "Submodule")
    pushes.read(pushes.push("main"))
    (pushes.work / "moved").rename(pushes.work / "renamed")
    (pushes.work / "renamed").write_text(text + "more\n")
    (pushes.work / "gone").unlink()
    (pushes.work / "script").chmod(0o755)
    (pushes.work / "turned").unlink()
    (pushes.work / "turned").symlink_to("changed")
    (pushes.work / "link").unlink()
    (pushes.work / "link").symlink_to("script")
    (pushes.work / "added").write_text("5")
    pushes.git("add", "--all", "--", ":!module")
    pushes.git("update-index", "--add", "--cacheinfo", f"160000,{pushes.git('rev-parse', 'HEAD')},module")
    pushes.git("commit", "-q", "-m", "Everything")

    (update,) = pushes.updates("main")

    (commit,) = update["commits"]
    assert {file["path"]: (file["change"], file["from"]) for file in commit["files"]} == {
        "renamed": ("renamed", "moved"),
        "gone": ("removed", None),
        "script": ("modified", None),
        "turned": ("type-changed", None),
        "link": ("modified", None),
        "module": ("modified", None),
        "added": ("added", None),
    }


def test_a_merge_lists_files_that_differ_from_every_parent(pushes: "Pushes") -> None:
    """What a merge took over from one parent is not listed; what it made itself is, renames included."""
    text = "".join(f"line {number}\n" for number in range(20))
    pushes.commit(a="1", b="1", c=text, d="1")
    pushes.git("branch", "side")
    pushes.commit(a="main")
    pushes.git("checkout", "-q", "side")
    pushes.commit(b="side", e="new")
    pushes.git("checkout", "-q", "main")
    pushes.read(pushes.push("main", "side"))
    pushes.git("merge", "-q", "--no-ff", "--no-commit", "side")
    (pushes.work / "c").rename(pushes.work / "moved")
    (pushes.work / "moved").write_text(text + "more\n")
    (pushes.work / "d").unlink()
    pushes.commit("Merge", a="both", f="evil")

    (update,) = pushes.updates("main")

    (commit,) = update["commits"]
    assert len(commit["parents"]) == 2
    assert {file["path"]: (file["change"], file["from"]) for file in commit["files"]} == {
        "a": ("modified", None),
        "moved": ("renamed", "c"),
        "d": ("removed", None),
        "f": ("added", None),
    }


def test_an_octopus_merge_without_changes_lists_none(pushes: "Pushes") -> None:
    """A merge of four, with the commits that it brings, once each and parents first."""
    base = pushes.commit(base="1")
    for name in ("one", "two", "three"):
        pushes.git("checkout", "-q", "-b", name, base)
        pushes.commit(name, **{name: "1"})
    pushes.git("checkout", "-q", "main")
    pushes.commit("Main", main="1")
    pushes.git("merge", "-q", "--no-ff", "-m", "Octopus", "one", "two", "three")

    (update,) = pushes.updates("main")

    ids = [commit["id"] for commit in update["commits"]]
    assert len(ids) == len(set(ids)) == update["commit_count"] == 6
    octopus = update["commits"][-1]
    assert (len(octopus["parents"]), octopus["files"]) == (4, [])
    assert all(ids.index(parent) < ids.index(c["id"]) for c in update["commits"] for parent in c["parents"])


def test_two_roots_in_one_push_are_both_listed(pushes: "Pushes") -> None:
    """A history may begin more than once; each root lists its files as added."""
    pushes.commit(a="1")
    pushes.git("checkout", "-q", "--orphan", "other")
    pushes.git("rm", "-q", "-rf", ".")
    pushes.commit(b="1")
    pushes.git("merge", "-q", "--allow-unrelated-histories", "-m", "Join", "main")

    (update,) = pushes.updates("other")

    roots = [commit for commit in update["commits"] if not commit["parents"]]
    assert sorted(file["path"] for root in roots for file in root["files"]) == ["a", "b"]
    assert update["commit_count"] == 3


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9", b'quo"te', b"line\nbreak", b"tab\tand\x01", b"\xed\xa0\x80", "žluť 🎉".encode(), b":1 2 M"],
)
def test_a_file_name_of_any_bytes_can_be_recovered(pushes: "Pushes", name: bytes) -> None:
    """The path is readable, and where it was not UTF-8 its bytes stand beside it."""
    with open(os.fsencode(pushes.work) + b"/" + name, "wb") as file:
        file.write(b"text of some length, to be found again\n" * 3)
    pushes.commit("Add")
    os.rename(os.fsencode(pushes.work) + b"/" + name, os.fsencode(pushes.work) + b"/plain")
    pushes.commit("Rename")

    (update,) = pushes.updates("main")

    (added,), (renamed,) = (commit["files"] for commit in update["commits"])
    assert _bytes(added, "path") == name
    assert (_bytes(renamed, "from"), renamed["path"]) == (name, "plain")
    assert ("path_bytes" in added) == (not _is_utf8(name))


def test_texts_in_another_encoding_are_converted(pushes: "Pushes") -> None:
    """A commit that declares its encoding is told in UTF-8; one that declares a wrong one keeps its bytes."""
    declared = pushes.commit_object(
        b"author Ren\xe9 <r@example.org> 1 +0000\ncommitter Ren\xe9 <r@example.org> 1 +0000\n"
        b"encoding ISO-8859-1\n\nCaf\xe9\n"
    )
    wrong = pushes.commit_object(
        b"parent " + declared.encode() + b"\nauthor Ren\xe9 <r\xe9@example.org> 1 +0000\n"
        b"committer C <c@example.org> 1 +0000\nencoding UTF-8\n\nCaf\xe9\n"
    )

    (update,) = pushes.updates(f"{wrong}:refs/heads/main")

    first, second = update["commits"]
    assert (first["author"]["name"], first["message"]) == ("René", "Café\n")
    assert "message_bytes" not in first
    assert (second["message"], _bytes(second, "message")) == ("Caf\\xe9\n", b"Caf\xe9\n")
    assert _bytes(second["author"], "name") == b"Ren\xe9"
    assert _bytes(second["author"], "email") == b"r\xe9@example.org"


@pytest.mark.parametrize(
    ("person", "name", "email", "time"),
    [
        (b"A <a@b> 1700000000 +9999", "A", "a@b", 1700000000),
        (b"A <a@b> 9223372036854775807 +0000", "A", "a@b", 2**63 - 1),
        (b"A <a@b> 99999999999999999999999 +0000", "A", "a@b", None),
        (b"A <a@b> -5 +0000", "A", "a@b", None),
        (b"A <a@b> 1700000000", "A", "a@b", None),
        (b"A <a@b>", "A", "a@b", None),
        (b" <> 1 +0000", "", "", 1),
        (b"no mail at all", "", "", None),
    ],
)
def test_odd_people_and_dates_are_told_as_far_as_they_go(
    pushes: "Pushes", person: bytes, name: str, email: str, time: int | None
) -> None:
    """A date that is none, or beyond 2^63, is null; a name or address may be empty."""
    commit = pushes.commit_object(b"author " + person + b"\ncommitter " + PERSON + b"\n\nMessage\n")
    pushes.git("config", "receive.fsckObjects", "false", cwd=pushes.bare)

    (update,) = pushes.updates(f"{commit}:refs/heads/main")

    (told,) = update["commits"]
    assert told["author"] == {"name": name, "email": email, "time": time}
    assert told["committer"]["time"] == 1700000000


@pytest.mark.parametrize(
    "message", [b"", b"\n\nText", b"No end", b"A\x01\x1b[31m\n", b"Cut\0here\n", b"\n:100644\n"]
)
def test_a_message_keeps_every_byte_up_to_a_nul(pushes: "Pushes", message: bytes) -> None:
    """Nothing is trimmed, wrapped or taken for something else; after a NUL git itself does not look."""
    commit = pushes.commit_object(b"author " + PERSON + b"\ncommitter " + PERSON + b"\n\n" + message)
    child = pushes.commit_object(
        b"parent " + commit.encode() + b"\nauthor " + PERSON + b"\ncommitter " + PERSON + b"\n\nChild\n"
    )

    (update,) = pushes.updates(f"{child}:refs/heads/main")

    assert [told["message"] for told in update["commits"]] == [message.split(b"\0")[0].decode(), "Child\n"]


def test_a_signature_is_no_part_of_a_commits_message(pushes: "Pushes") -> None:
    """A signed commit is told as if it were not; no program is asked to verify it."""
    signature = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n abc\n -----END PGP SIGNATURE-----\n"
    commit = pushes.commit_object(
        b"author " + PERSON + b"\ncommitter " + PERSON + b"\n" + signature + b"\nSigned\n"
    )

    (update,) = pushes.updates(f"{commit}:refs/heads/main")

    assert update["commits"][0]["message"] == "Signed\n"


def test_replace_refs_grafts_and_mailmaps_change_nothing(pushes: "Pushes") -> None:
    """Commits are told as they are, whatever the repository would show in their place."""
    pushes.read(pushes.recorded(b"", {}, "baseline"))
    first = pushes.commit("First", **{".mailmap": "Other <other@example.org> <person@example.org>\n"})
    second = pushes.commit("Second")
    recorded = pushes.push("main")
    pushes.git("replace", second, first, cwd=pushes.bare)
    (pushes.bare / "info").mkdir(exist_ok=True)
    (pushes.bare / "info" / "grafts").write_text(second + "\n")
    pushes.git("notes", "add", "-m", "A note", second, cwd=pushes.bare)

    (payload,) = pushes.read(recorded)

    told = payload["updates"][0]["commits"]
    assert [(commit["id"], commit["message"]) for commit in told] == [
        (first, "First\n"),
        (second, "Second\n"),
    ]
    assert told[1]["parents"] == [first]
    assert told[0]["author"]["name"] == "A Person"


def test_the_settings_of_a_repository_change_nothing(pushes: "Pushes") -> None:
    """Order, renames, encodings, dates, colours: the same bytes come out whatever is configured."""
    pushes.commit(a="".join(f"{number}\n" for number in range(30)), b="1")
    pushes.git("mv", "a", "ż")
    pushes.commit("Rename", b="2")
    recorded = pushes.push("main")
    expected = pushes.read(recorded)
    pushes.state.entries.clear()
    (pushes.bare / "order").write_text("ż\nb\n")
    for setting in (
        *("diff.renames=false", "diff.renameLimit=1", "diff.orderFile=order", "core.quotePath=true"),
        *(
            "log.showRoot=false",
            "log.follow=true",
            "log.showSignature=true",
            "log.date=iso",
            "diff.relative=true",
        ),
        *(
            "i18n.logOutputEncoding=ISO-8859-1",
            "i18n.commitEncoding=UTF-16",
            "color.ui=always",
            "core.abbrev=4",
        ),
        *(
            "format.pretty=oneline",
            "log.diffMerges=off",
            "log.abbrevCommit=true",
            "core.worktree=/nonexistent",
        ),
        *("diff.ignoreSubmodules=all", "core.bare=false", "notes.displayRef=*", "log.decorate=full"),
    ):
        name, _, value = setting.partition("=")
        pushes.git("config", "--file", str(pushes.bare / "config"), name, value, cwd=pushes.root)

    read = pushes.read(recorded)

    assert read == expected
    assert read[0]["updates"][0]["commits"][1]["files"][0]["change"] == "modified"


def _bytes(holder: dict[str, str], name: str) -> bytes:
    if f"{name}_bytes" in holder:
        return base64.b64decode(holder[f"{name}_bytes"])
    return holder[name].encode()


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
