"""What messages a git push becomes, and how they stay under their size."""

import base64
from typing import Any

import msgspec
import pytest

from pulseshim import Exchange
from pulseshim.envelope import seal
from pulseshim.message import payload_schema
from pulseshim.testing import check_shim
from pulseshim_shims.git import GitPush, GitPushMessage, RefUpdate, push_messages
from pulseshim_shims.git_payload import Commit, FileChange, Tag, file_change, original, person

EXCHANGE = Exchange("exchange/gitpushes/v1", "", "", (GitPushMessage,))


def commit(number: int, *, message: str = "A change\n", files: int = 1, **more: Any) -> Commit:
    someone = person("A Person", "person@example.org", "1700000000")
    changed = [FileChange("modified", f"src/file{file}.py") for file in range(files)]
    return Commit(f"{number:040x}", [f"{number - 1:040x}"], someone, someone, message, changed, **more)


def update(name: str = "main", commits: int = 0, **more: Any) -> RefUpdate:
    newest_first = tuple(commit(number) for number in range(commits, 0, -1))
    fields = {"old": "a" * 40, "new": "b" * 40, "object": "commit", "commits": newest_first}
    return RefUpdate(ref=f"refs/heads/{name}", **{"commit_count": commits, **fields, **more})


def push(*updates: RefUpdate, **more: Any) -> GitPush:
    fields: dict[str, Any] = {
        "id": "an-invocation",
        "url": "https://git.example.org/group/pro%20ject",
        "path": "group/pro ject",
        "push_id": 17,
        "time": 1764025361,
        "user": "someone",
        "options": (),
    }
    return GitPush(updates=updates, **{**fields, **more})


def messages(event: GitPush, max_bytes: int = 1024 * 1024) -> list[GitPushMessage]:
    made = check_shim(lambda given: push_messages(given, max_bytes=max_bytes), [event], EXCHANGE)
    for message in made:
        assert len(seal(message, EXCHANGE, sequence=2**63, sent=0).body) <= max_bytes
    return [message for message in made if isinstance(message, GitPushMessage)]


def test_a_push_is_one_message_under_the_path_of_its_url() -> None:
    """Key and identity are the repository's and the invocation's."""
    (message,) = messages(push(update(commits=2)))

    assert (message.routing_key, message.event_id) == ("group/pro ject", "an-invocation")
    payload = message.payload()
    assert (payload["type"], payload["time"], payload["push_id"]) == ("push", "1764025361", 17)
    assert [told.id for told in payload["updates"][0].commits] == [f"{1:040x}", f"{2:040x}"]
    assert payload["updates"][0].truncated is False


def test_the_schema_of_a_push_names_the_keys_of_the_wire() -> None:
    """The schema is made from the types, and requires what is always there."""
    schema = payload_schema(GitPushMessage)

    assert {"type", "repo_url", "push_id", "updates"} <= schema["properties"].keys()
    assert "options_bytes" in schema["properties"]
    assert "options_bytes" not in schema["required"]
    assert "from" in schema["$defs"]["FileChange"]["properties"]


def test_the_urls_of_a_push_come_from_templates() -> None:
    """All that a template can name is put in; the path is that of the URL, encoded."""
    made = push_messages(
        push(update()),
        push_json_url="{repo_url}/pushes/{push_id}",
        push_full_json_url="https://x.org/{path}?full={push_id}",
    )

    (message,) = made
    assert message.push_json_url == "https://git.example.org/group/pro%20ject/pushes/17"
    assert message.push_full_json_url == "https://x.org/group/pro%20ject?full=17"


def test_a_long_path_becomes_a_bounded_key() -> None:
    """A routing key has at most 255 bytes, however long the path."""
    (message,) = messages(push(update(), path="p" * 300))

    assert len(message.routing_key.encode()) == 255


def test_commits_are_cut_from_the_oldest_end() -> None:
    """What does not fit is left out, and the message says how much there was."""
    (message,) = messages(push(update(commits=500, commit_count=1000)), 16384)

    (told,) = message.updates
    assert (told.truncated, told.commit_count) == (True, 1000)
    numbers = [int(one.id, 16) for one in told.commits]
    assert numbers == list(range(501 - len(numbers), 501))
    assert len(numbers) > 20


def test_several_refs_share_what_is_left() -> None:
    """No ref's commits crowd out those of another."""
    (message,) = messages(push(update("one", 200), update("two", 200), update("three", 2)), 16384)

    kept = [len(told.commits) for told in message.updates]
    assert abs(kept[0] - kept[1]) <= 1
    assert kept[2] == 2
    assert [told.truncated for told in message.updates] == [True, True, False]


def test_twenty_thousand_refs_are_all_described() -> None:
    """Refs that do not fit into one message go into several, in order, each with what names it."""
    event = push(*(update(f"branch-{number}", int(number % 1000 == 0)) for number in range(20_000)))

    made = messages(event)

    names = [told.name for message in made for told in message.updates]
    assert names == [f"branch-{number}" for number in range(20_000)]
    assert len(made) > 1
    assert [message.part for message in made] == list(range(1, len(made) + 1))
    assert {message.parts for message in made} == {len(made)}
    assert made[0].event_id == "an-invocation"
    assert made[1].event_id == "an-invocation/2"
    assert len({message.message_id for message in made}) == len(made)
    assert sum(len(message.branches) for message in made) == 20_000
    assert all(set(message.branches) == {told.name for told in message.updates} for message in made)


def test_a_commit_of_very_many_files_is_cut_in_itself() -> None:
    """A single commit that does not fit keeps its first files, and says how many there are."""
    large = commit(2, files=50_000)
    newest_first = (large, commit(1))
    event = push(
        RefUpdate(ref="refs/heads/main", old=None, new="b" * 40, commits=newest_first, commit_count=2)
    )

    (message,) = messages(event)

    (told,) = message.updates
    (kept,) = told.commits
    assert kept.id == large.id
    assert kept.file_count == 50_000
    assert kept.files == large.files[: len(kept.files)]
    assert len(kept.files) > 10_000
    assert told.truncated is True


@pytest.mark.parametrize("text", ["plain words ", "\x01\x02", "żółć🎉", "caf\udce9 "])
def test_a_commit_with_a_very_long_message_is_cut_in_itself(text: str) -> None:
    """A message that does not fit is cut at its end, between characters, as are its original bytes."""
    whole = text * 100_000
    shown = whole.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    large = commit(1, message=shown, message_bytes=original(whole))
    event = push(RefUpdate(ref="refs/heads/main", old=None, new="b" * 40, commits=(large,), commit_count=1))

    (message,) = messages(event)

    (kept,) = message.updates[0].commits
    assert kept.message_truncated is True
    assert len(kept.message) > 1000
    assert shown.startswith(kept.message)
    assert len(kept.files) == 1
    if kept.message_bytes is not msgspec.UNSET:
        assert whole.encode("utf-8", "surrogateescape").startswith(base64.b64decode(kept.message_bytes))


def test_each_of_several_large_commits_gets_its_share() -> None:
    """The newest commits of several refs are cut rather than all but one left out."""
    updates = [
        RefUpdate(
            ref=f"refs/heads/{name}",
            old=None,
            new="b" * 40,
            commits=(commit(1, files=50_000),),
            commit_count=1,
        )
        for name in ("one", "two", "three")
    ]

    (message,) = messages(push(*updates))

    kept = [len(told.commits[0].files) for told in message.updates]
    assert min(kept) > 0.9 * max(kept)


def test_a_tag_with_a_very_long_message_is_cut() -> None:
    """A tag's message cannot crowd out the refs."""
    tag = Tag("v1", None, "words " * 1_000_000, "a" * 40, "commit")
    tagged = RefUpdate(ref="refs/tags/v1", old=None, new="b" * 40, object="tag", tag=tag)

    (message,) = messages(push(tagged, update(commits=1)))

    assert message.updates[0].tag is not None
    assert message.updates[0].tag.message_truncated is True
    assert message.updates[1].truncated is False
    assert message.tags == {"v1": "b" * 40}


def test_very_many_options_are_cut() -> None:
    """Options may take a quarter of a message; their number stays true."""
    (message,) = messages(push(update(), options=("caf\udce9" * 50,) * 1000, user="u" * 5000), 16384)

    assert 0 < len(message.options) < 1000
    assert message.option_count == 1000
    assert len(message.user) == 1024


def test_a_commit_that_cannot_be_cut_enough_is_left_out() -> None:
    """A commit whose parents alone do not fit is counted, not listed."""
    someone = person("A", "a", "1")
    octopus = Commit("1" * 40, ["2" * 40] * 1000, someone, someone, "Octopus", [])
    event = push(RefUpdate(ref="refs/heads/main", old=None, new="b" * 40, commits=(octopus,), commit_count=1))

    (message,) = messages(event, 16384)

    assert (message.updates[0].commits, message.updates[0].commit_count) == ([], 1)
    assert message.updates[0].truncated is True


def test_bytes_that_are_not_utf8_stand_beside_the_text() -> None:
    """A text is readable, and its bytes can be recovered; where it was UTF-8 there is nothing beside it."""
    odd = file_change("renamed", "caf\udce9", "plain")
    plain = file_change("added", "žluť")

    assert (odd.path, odd.from_) == ("caf\\xe9", "plain")
    assert (odd.path_bytes, odd.from_bytes) == (base64.b64encode(b"caf\xe9").decode(), msgspec.UNSET)
    assert msgspec.json.encode(plain) == '{"change":"added","path":"žluť","from":null}'.encode()


def test_an_update_whose_objects_were_gone_is_truncated() -> None:
    """A consumer can tell "nothing came" from "nothing is known"."""
    (message,) = messages(push(update(object=None, incomplete=True)))

    (told,) = message.updates
    assert (told.commits, told.commit_count, told.object, told.truncated) == ([], 0, None, True)
