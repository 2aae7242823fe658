"""What a push does to branches, and to several refs at once."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugins.git_push.conftest import Pushes


def test_a_first_push_creates_a_branch_with_all_its_commits(pushes: "Pushes") -> None:
    """A push into an empty repository brings the whole history, oldest first."""
    one = pushes.commit("One\n\nWhy.", a="1")
    two = pushes.commit("Two", a="2", b="2")

    (payload,) = pushes.read(pushes.push("main"))

    assert payload["repo_url"] == "https://git.example.org/group/project"
    assert payload["branches"] == {"main": two}
    assert payload["tags"] == {}
    assert (payload["type"], payload["push_id"], payload["user"]) == ("push", 1, "someone")
    (update,) = payload["updates"]
    assert update["change"] == "created"
    assert update["old"] is None
    assert update["new"] == two
    assert [commit["id"] for commit in update["commits"]] == [one, two]
    assert update["commit_count"] == 2
    assert update["commits"][0]["message"] == "One\n\nWhy.\n"
    assert update["commits"][1]["parents"] == [one]
    assert update["commits"][1]["files"] == [
        {"change": "modified", "path": "a", "from": None},
        {"change": "added", "path": "b", "from": None},
    ]
    assert update["commits"][1]["author"]["email"] == "person@example.org"


def test_a_push_has_exactly_the_keys_of_its_format(pushes: "Pushes") -> None:
    """Where nothing is cut and all is UTF-8, no further key is there."""
    pushes.commit(a="1")

    (payload,) = pushes.read(pushes.push("main"))

    assert set(payload) == {
        *("type", "repo_url", "push_id", "time", "user", "push_json_url", "push_full_json_url"),
        *("branches", "tags", "options", "updates"),
    }
    assert set(payload["updates"][0]) == {
        *("ref", "kind", "name", "change", "forced", "old", "new", "object", "tag", "commits"),
        *("commit_count", "discarded_count", "truncated"),
    }
    assert set(payload["updates"][0]["commits"][0]) == {
        *("id", "parents", "author", "committer", "message", "files"),
    }
    assert payload["time"].isdigit()


def test_a_force_push_lists_only_new_commits(pushes: "Pushes") -> None:
    """What a force push throws away is counted, and never listed as new."""
    base = pushes.commit("Base")
    pushes.commit("Lost one")
    lost = pushes.commit("Lost two")
    pushes.read(pushes.push("main"))
    pushes.git("reset", "-q", "--hard", base)
    new = pushes.commit("New")

    (update,) = pushes.updates("+main")

    assert update["forced"] is True
    assert (update["old"], update["new"]) == (lost, new)
    assert [commit["id"] for commit in update["commits"]] == [new]
    assert update["discarded_count"] == 2


def test_an_unrelated_history_replaces_a_branch(pushes: "Pushes") -> None:
    """A forced push of an orphan brings all of it and discards all that was."""
    pushes.commit("Old one")
    pushes.commit("Old two")
    pushes.read(pushes.push("main"))
    pushes.git("checkout", "-q", "--orphan", "other")
    new = pushes.commit("Root")

    (update,) = pushes.updates("+other:main")

    assert [commit["id"] for commit in update["commits"]] == [new]
    assert (update["forced"], update["commit_count"], update["discarded_count"]) == (True, 1, 2)


def test_a_branch_that_moves_back_brings_nothing(pushes: "Pushes") -> None:
    """A branch set to an older commit is forced, without commits."""
    base = pushes.commit("Base")
    pushes.commit("Later")
    pushes.read(pushes.push("main"))

    (update,) = pushes.updates(f"+{base}:refs/heads/main")

    assert (update["forced"], update["commits"], update["discarded_count"]) == (True, [], 1)


def test_what_another_branch_keeps_is_not_discarded(pushes: "Pushes") -> None:
    """A forced push throws nothing away that another ref still reaches."""
    base = pushes.commit("Base")
    pushes.commit("Kept")
    pushes.read(pushes.push("main", "main:kept"))

    (update,) = pushes.updates(f"+{base}:refs/heads/main")

    assert (update["forced"], update["discarded_count"]) == (True, 0)


def test_a_deletion_names_what_was_and_what_is_lost(pushes: "Pushes") -> None:
    """A deleted branch stands in the updates and not among the branches."""
    pushes.commit("Base")
    pushes.push("main")
    gone = pushes.commit("Gone")
    pushes.read(pushes.push("main:topic"))

    (payload,) = pushes.read(pushes.push(":topic"))

    assert payload["branches"] == {}
    (update,) = payload["updates"]
    assert (update["change"], update["old"], update["new"]) == ("deleted", gone, None)
    assert (update["object"], update["forced"], update["discarded_count"]) == (None, False, 1)
    assert update["truncated"] is False


def test_two_new_branches_share_their_commits(pushes: "Pushes") -> None:
    """A commit stands once in a message, with the first update that reaches it."""
    shared = pushes.commit("Shared")
    first = pushes.commit("First")
    pushes.git("checkout", "-q", "-b", "second", shared)
    second = pushes.commit("Second")

    updates = pushes.updates("main", "second")

    ids = {update["name"]: [commit["id"] for commit in update["commits"]] for update in updates}
    assert ids == {"main": [shared, first], "second": [second]}
    assert [update["commit_count"] for update in updates] == [2, 1]


def test_a_new_branch_on_old_commits_brings_nothing(pushes: "Pushes") -> None:
    """A branch that starts where another is has no commits of its own."""
    tip = pushes.commit("Base")
    pushes.read(pushes.push("main"))

    (update,) = pushes.updates("main:topic")

    assert (update["change"], update["new"], update["commits"]) == ("created", tip, [])


def test_several_branches_that_advance_together_are_not_forced(pushes: "Pushes") -> None:
    """A branch that follows another in the same push descends from its old value."""
    pushes.commit("Base")
    pushes.read(pushes.push("main", "main:follower"))
    pushes.commit("Next")

    updates = pushes.updates("main", "main:follower")

    assert [update["forced"] for update in updates] == [False, False]
    assert [update["commit_count"] for update in updates] == [1, 0]


def test_a_branch_and_its_deletion_in_one_push_are_both_told(pushes: "Pushes") -> None:
    """A rename is a creation and a deletion, and discards nothing."""
    pushes.commit("Base")
    pushes.read(pushes.push("main:before"))

    updates = {update["name"]: update for update in pushes.updates("main:after", ":before")}

    assert (updates["after"]["change"], updates["before"]["change"]) == ("created", "deleted")
    assert updates["before"]["discarded_count"] == 0
    assert updates["after"]["commits"] == []


def test_a_mirror_push_tells_every_ref(pushes: "Pushes") -> None:
    """With --mirror, creations, updates and deletions of all kinds come in one push."""
    pushes.commit("Base")
    pushes.git("branch", "topic")
    pushes.read(pushes.push("--mirror"))
    pushes.git("branch", "-q", "-D", "topic")
    pushes.git("tag", "v1")
    pushes.commit("Next")

    updates = {update["ref"]: update["change"] for update in pushes.updates("--mirror")}

    assert updates == {"refs/heads/main": "updated", "refs/heads/topic": "deleted", "refs/tags/v1": "created"}


def test_only_accepted_refs_are_told(pushes: "Pushes") -> None:
    """A ref that the update hook refused is not part of what post-receive gets."""
    pushes.commit("Base")
    refuse = pushes.bare / "hooks" / "update"
    refuse.write_text('#!/bin/sh\n[ "$1" != refs/heads/refused ]\n')
    refuse.chmod(0o755)
    with pytest.raises(AssertionError, match="refused"):
        pushes.push("main", "main:refused")

    (payload,) = pushes.read(pushes.recorded((pushes.bare / "pushed").read_bytes()))

    assert list(payload["branches"]) == ["main"]


def test_a_repository_with_sha256_names_is_read(sha256_pushes: "Pushes") -> None:
    """Ids of 64 digits are as good, zero ones included."""
    pushes = sha256_pushes
    pushes.commit(a="1")
    pushes.read(pushes.push("main"))
    tip = pushes.commit(a="2")
    pushes.git("tag", "-a", "v1", "-m", "Tag")

    updates = {update["name"]: update for update in pushes.updates("main", "v1", "main:new")}

    assert len(tip) == 64
    assert updates["main"]["commits"][0]["id"] == tip
    assert updates["main"]["commits"][0]["files"] == [{"change": "modified", "path": "a", "from": None}]
    assert (updates["v1"]["tag"]["object"], updates["new"]["old"]) == (tip, None)


def test_push_options_and_pusher_come_along(pushes: "Pushes") -> None:
    """Options keep their order and their line ends; the user is the one whom the server knows."""
    pushes.commit("Base")
    environ = {
        "GIT_PUSH_OPTION_COUNT": "3",
        "GIT_PUSH_OPTION_0": "ci.skip",
        "GIT_PUSH_OPTION_1": "two\nlines",
        "GIT_PUSH_OPTION_2": "caf\udce9",
        "USER": "git",
        "REMOTE_USER": "remote",
        "GL_USER": "gitolite",
    }

    (payload,) = pushes.read(pushes.push("main", environ=environ))

    assert payload["options"] == ["ci.skip", "two\nlines", "caf\\xe9"]
    assert payload["options_bytes"] == [None, None, "Y2Fm6Q=="]
    assert payload["user"] == "gitolite"


def test_an_unknown_user_is_an_empty_text(pushes: "Pushes") -> None:
    """Consumers demand a text."""
    pushes.commit("Base")

    (payload,) = pushes.read(pushes.push("main", environ={"GL_USERNAME": "", "GIT_PUSH_OPTION_COUNT": "x"}))

    assert (payload["user"], payload["options"]) == ("", [])


def test_refs_with_odd_names_are_told(pushes: "Pushes") -> None:
    """Names of any bytes keep them: readable beside the original."""
    pushes.commit("Base")
    long = "n" * 200 + "/" + "m" * 200

    updates = {
        update["name"]: update
        for update in pushes.updates(
            "main:refs/heads/zażółć-🎉",
            "main:refs/heads/50%",
            f"main:refs/heads/{long}",
            b"main:refs/heads/caf\xe9",
        )
    }

    assert {"zażółć-🎉", "50%", long, "caf\\xe9"} == set(updates)
    assert updates["caf\\xe9"]["name_bytes"] == "Y2Fm6Q=="
    assert updates["caf\\xe9"]["ref_bytes"] == "cmVmcy9oZWFkcy9jYWbp"
    assert "name_bytes" not in updates["50%"]


def test_a_deletion_of_what_was_not_there_is_told(pushes: "Pushes") -> None:
    """A line without values, which some servers write, is a deletion that lost nothing."""
    (payload,) = pushes.read(pushes.recorded(f"{pushes.zero} {pushes.zero} refs/heads/x".encode()))

    (update,) = payload["updates"]
    assert (update["change"], update["old"], update["new"]) == ("deleted", None, None)
    assert (update["discarded_count"], update["truncated"]) == (0, False)
