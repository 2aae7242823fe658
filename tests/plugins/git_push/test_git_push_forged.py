"""Pushes that somebody made up: what is believed of whom, and what is contradicted by the repository."""

import os
import pwd
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim import Invocation, SettingsError, Suspicious

if TYPE_CHECKING:
    from tests.plugins.git_push.conftest import Pushes

# Users that every Debian has: neither owns anything here, until a test gives it to them.
DAEMON, GAMES = 1, 5
GAMES_GROUP = pwd.getpwuid(GAMES).pw_gid


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Give a directory that every user can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="reachable-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def by(owner: int, invocation: Invocation) -> Invocation:
    return replace(invocation, owner=owner)


def give(path: Path, owner: int) -> None:
    for each in (path, *path.rglob("*")):
        os.chown(each, owner, owner, follow_symlinks=False)


def test_a_push_by_whom_may_not_write_there_is_suspicious(pushes: "Pushes") -> None:
    """Though every word of it may be true: it is not that user's to tell. A later, real one is told."""
    pushes.commit("One")
    recorded = pushes.push("main")

    with pytest.raises(Suspicious, match=r"user 5 \(games\) recorded this and may not write to .*refs/heads"):
        pushes.read(by(GAMES, recorded))

    (payload,) = pushes.read(by(0, recorded))
    assert payload["push_id"] == 1


@pytest.mark.parametrize("way", ["owner", "group", "everyone"])
def test_a_push_by_whom_may_write_there_is_believed(pushes: "Pushes", way: str) -> None:
    """By owner, by group, or because everybody may."""
    pushes.commit("One")
    recorded = pushes.push("main")
    for directory in (pushes.bare / "refs", pushes.bare / "refs" / "heads"):
        os.chown(directory, GAMES if way == "owner" else 0, GAMES_GROUP if way == "group" else 0)
        directory.chmod({"owner": 0o755, "group": 0o2775, "everyone": 0o777}[way])

    (payload,) = pushes.read(by(GAMES, recorded))

    assert payload["updates"][0]["ref"] == "refs/heads/main"


def test_a_trusted_user_is_believed_about_every_repository(pushes: "Pushes") -> None:
    """By name or by number."""
    pushes.commit("One")
    recorded = pushes.push("main")

    for number, name in enumerate(("games", "5"), 1):
        pushes.options["trusted_users"] = [name]
        (payload,) = pushes.read(by(GAMES, recorded))
        assert payload["push_id"] == number


def test_a_trusted_user_who_is_not_there_is_a_wrong_setting(pushes: "Pushes") -> None:
    """A mistyped name would set aside what it was to let through."""
    pushes.options["trusted_users"] = ["gmaes"]

    with pytest.raises(SettingsError, match=r"plugins\.git\.trusted_users: there is no user 'gmaes'"):
        pushes.read()


@pytest.mark.parametrize("ref", ["refs/heads/../../../open/x", "HEAD", "config", "/tmp/x"])  # noqa: S108 - a name
def test_a_ref_that_leads_elsewhere_is_suspicious(pushes: "Pushes", ref: str) -> None:
    """Where a user may write must not be found by a name of the user's own making."""
    one = pushes.commit("One")
    pushes.push("main")
    recorded = pushes.recorded(f"{pushes.zero} {one} {ref}\n".encode())

    with pytest.raises(Suspicious, match="is no ref that git lets anybody push"):
        pushes.read(by(GAMES, recorded))


def test_a_baseline_by_whom_may_not_write_there_is_suspicious(pushes: "Pushes") -> None:
    """It would say what counts as announced."""
    one = pushes.commit("One")
    pushes.push("main")

    with pytest.raises(Suspicious):
        pushes.read(by(GAMES, pushes.recorded(f"{one} refs/heads/main\n".encode(), None, "baseline")))


def test_an_object_that_never_was_is_suspicious_even_of_the_owner(pushes: "Pushes") -> None:
    """The repository lacks it and has lost nothing since. It had, and it is told as what is gone."""
    one = pushes.commit("One")
    pushes.push("main")
    recorded = by(0, pushes.recorded(f"{one} {'1' * 40} refs/heads/main\n".encode()))

    with pytest.raises(Suspicious, match=r"has no object 1111.* and has lost none since"):
        pushes.read(recorded)

    (pushes.bare / "objects" / "pack" / "of-a-collection").touch()
    (payload,) = pushes.read(recorded)
    assert payload["updates"][0]["object"] is None


def test_a_ref_that_rests_elsewhere_is_suspicious(pushes: "Pushes") -> None:
    """It had its value an hour before the push, and has it now: nobody pushed in between."""
    one, two = pushes.commit("One"), pushes.commit("Two")
    pushes.push("main")
    heads = pushes.bare / "refs" / "heads"
    recorded = pushes.recorded(f"{two} {one} refs/heads/main\n".encode())
    before = (recorded.recorded_at - timedelta(hours=2)).timestamp()
    os.utime(heads, (before, before))

    with pytest.raises(Suspicious, match="has had another refs/heads/main since before"):
        pushes.read(by(0, recorded))

    heads.touch()
    (payload,) = pushes.read(by(0, recorded))
    assert payload["updates"][0]["new"] == one


def test_a_push_into_a_repository_that_is_gone_is_believed_of_those_who_were_before(
    pushes: "Pushes",
) -> None:
    """And of those who may write to where it was; of a stranger it is suspicious."""
    pushes.commit("One")
    first, second = pushes.push("main"), pushes.push("main:other")
    give(pushes.bare, GAMES)
    pushes.read(by(GAMES, first))
    pushes.bare.rename(pushes.root / "elsewhere")

    with pytest.raises(Suspicious):
        pushes.read(by(DAEMON, second))
    (payload,) = pushes.read(by(GAMES, second))

    assert payload["repo_url"] == "https://git.example.org/group/project"


def test_a_repository_that_never_was_is_not_announced_for_a_stranger(pushes: "Pushes") -> None:
    """A path below a public prefix is not enough."""
    recorded = replace(
        pushes.recorded(f"{pushes.zero} {'1' * 40} refs/heads/main\n".encode()),
        cwd=str(pushes.root / "made-up.git"),
    )

    assert pushes.read(by(GAMES, recorded)) == []
    assert pushes.state.entries == {}


def test_a_public_url_of_ones_own_making_is_suspicious(pushes: "Pushes") -> None:
    """Whoever owns a repository could name that of another as its URL."""
    pushes.options["repositories"] = {"/nonexistent": "https://git.example.org"}
    pushes.commit("One")
    recorded = pushes.push("main")
    url = "https://git.example.org/core"
    pushes.git("config", "pulseshim.url", url, cwd=pushes.bare)
    give(pushes.bare, GAMES)

    with pytest.raises(Suspicious, match=f"names its own public URL {url}, in a file that user 5"):
        pushes.read(by(GAMES, recorded))

    pushes.options["trusted_users"] = ["games"]
    (payload,) = pushes.read(by(GAMES, recorded))
    assert payload["repo_url"] == url


@pytest.mark.parametrize("change", ["link", "hard link", "open"])
def test_a_configuration_that_is_not_its_owners_alone_names_no_url(
    pushes: "Pushes", change: str, tmp_path: Path
) -> None:
    """It is by root, but somebody else could have put it there or written it."""
    pushes.options["repositories"] = {"/nonexistent": "https://git.example.org"}
    pushes.commit("One")
    recorded = pushes.push("main")
    pushes.git("config", "pulseshim.url", "https://git.example.org/core", cwd=pushes.bare)
    config = pushes.bare / "config"
    if change == "open":
        config.chmod(0o666)
    else:
        elsewhere = tmp_path / "config-of-another"
        config.rename(elsewhere)
        config.symlink_to(elsewhere) if change == "link" else os.link(elsewhere, config)

    with pytest.raises(Suspicious, match="names its own public URL"):
        pushes.read(by(0, recorded))


def test_the_owner_of_a_prefix_names_urls_below_it(pushes: "Pushes") -> None:
    """Whom the directory of all repositories belongs to could rename any of them."""
    pushes.commit("One")
    recorded = pushes.push("main")
    pushes.git("config", "pulseshim.url", "https://git.example.org/renamed", cwd=pushes.bare)
    give(pushes.bare, GAMES)
    os.chown(pushes.root, GAMES, GAMES)

    (payload,) = pushes.read(by(GAMES, recorded))

    assert payload["repo_url"] == "https://git.example.org/renamed"


def test_who_pushed_is_who_wrote_the_file_unless_that_is_the_server(pushes: "Pushes") -> None:
    """A server user tells who it let in; a user of the machine is known by their own name."""
    pushes.commit("One")
    recorded = pushes.push("main", environ={"REMOTE_USER": "ada"})
    give(pushes.bare, DAEMON)
    for directory in (pushes.bare / "refs", pushes.bare / "refs" / "heads"):
        directory.chmod(0o777)

    users = [pushes.read(by(owner, recorded))[0]["user"] for owner in (0, DAEMON, GAMES)]

    assert users == ["ada", "ada", "games"]
