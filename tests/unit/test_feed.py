"""Feeds: names that verbs and settings can carry."""

from collections.abc import Iterator

import pytest

from pulseshim import Exchange, Feed, HookSource, Invocation, Message, PollSource, State
from pulseshim.errors import InvalidDeclaration
from pulseshim.testing import MemoryState

EXCHANGE = Exchange("exchange/tests/v1", "Tests", "Of the tests.", ())


def read(invocation: Invocation, _state: State) -> Iterator[str]:
    yield invocation.id


def silent(_event: str) -> Iterator[Message]:
    return iter(())


def feed(name: str) -> Feed[str]:
    return Feed(name, HookSource(read), silent, EXCHANGE)


@pytest.mark.parametrize("name", ["git", "bugzilla.main", "bugzilla.Main-2", "build_bot-2.ci", "a"])
def test_a_feed_is_named_for_its_plugin_and_server(name: str) -> None:
    """Letters, digits, - and _; a server's name may have capitals."""
    assert feed(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Git",
        "2git",
        "git ",
        "git/",
        "git.",
        ".git",
        "git.a.b",
        "git.a b",
        "git\n",
        "-git",
        "gît",
        "../git",
    ],
)
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    """A feed's name stands in file names, in logs and on command lines."""
    with pytest.raises(InvalidDeclaration, match="is no name of a feed: use the plugin's name, or <plugin>"):
        feed(name)


def test_a_feed_publishes_as_its_plugins_account_unless_it_names_one() -> None:
    """None says: what the plugin's table says."""
    assert feed("git").account is None


def test_a_poll_source_reads_no_invocations_unless_it_says_how() -> None:
    """Hooks may tell of what is polled, too, where the source can make sense of it."""
    deaf: PollSource[str] = PollSource(lambda _state: [], "*/5 * * * *")
    hearing = PollSource(lambda _state: [], "*/5 * * * *", read=read)

    assert deaf.read is None
    assert hearing.read is read


def test_a_feeds_parts_cannot_be_exchanged() -> None:
    """A feed is a value: what was checked when it was made stays so."""
    made = feed("git")

    with pytest.raises(AttributeError):
        made.name = "hg"  # type: ignore[misc] # that is the point


def test_the_twin_of_a_state_is_a_state() -> None:
    """What a source is tested with has the methods of what it will get."""
    state: State = MemoryState({"refs": {"main": "1"}, "gone": {}})

    assert state.keys() == ["refs"]
