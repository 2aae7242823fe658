"""Pushes that somebody made up: what is believed of whom, and what is contradicted by the repository."""

import os
import pwd
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pulseshim import Invocation, SettingsError, Suspicious

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.git_push.conftest import Pushes

# Users that every Debian has: neither owns anything here, until a test gives it to them.
DAEMON, GAMES = 1, 5
GAMES_GROUP = pwd.getpwuid(GAMES).pw_gid


@pytest.fixture
def reachable(pushes: "Pushes") -> "Pushes":
    """Give a repository that everybody may reach and read, in a directory of root."""
    for parent in (pushes.root, *pushes.root.parents):
        if parent.stat().st_uid == os.geteuid() and parent.name.startswith(("pytest", "test_")):
            parent.chmod(0o755)
    return pushes


def by(owner: int, invocation: Invocation) -> Invocation:
    return replace(invocation, owner=owner)


def give(path: "Path", owner: int) -> None:
    for each in (path, *path.rglob("*")):
        os.chown(each, owner, owner, follow_symlinks=False)


def test_a_push_by_whom_may_not_write_there_is_suspicious(reachable: "Pushes") -> None:
    """Though every word of it may be true: it is not that user's to tell. A later, real one is told."""
    reachable.commit("One")
    recorded = reachable.push("main")

    with pytest.raises(Suspicious, match=r"user 5 \(games\) recorded this and may not write to .*refs/heads"):
        reachable.read(by(GAMES, recorded))

    (payload,) = reachable.read(by(0, recorded))
    assert payload["push_id"] == 1


@pytest.mark.parametrize("way", ["owner", "group", "everyone"])
def test_a_push_by_whom_may_write_there_is_believed(reachable: "Pushes", way: str) -> None:
    """By owner, by group, or because everybody may."""
    reachable.commit("One")
    recorded = reachable.push("main")
    for directory in (reachable.bare / "refs", reachable.bare / "refs" / "heads"):
        os.chown(directory, GAMES if way == "owner" else 0, GAMES_GROUP if way == "group" else 0)
        directory.chmod({"owner": 0o755, "group": 0o2775, "everyone": 0o777}[way])

    (payload,) = reachable.read(by(GAMES, recorded))

    assert payload["updates"][0]["ref"] == "refs/heads/main"


def test_a_trusted_user_is_believed_about_every_repository(reachable: "Pushes") -> None:
    """By name or by number."""
    reachable.commit("One")
    recorded = reachable.push("main")

    for number, name in enumerate(("games", "5"), 1):
        reachable.options["trusted_users"] = [name]
        (payload,) = reachable.read(by(GAMES, recorded))
        assert payload["push_id"] == number


def test_a_trusted_user_who_is_not_there_is_a_wrong_setting(pushes: "Pushes") -> None:
    """A mistyped name would set aside what it was to let through."""
    pushes.options["trusted_users"] = ["gmaes"]

    with pytest.raises(SettingsError, match=r"plugins\.git\.trusted_users: there is no user 'gmaes'"):
        pushes.read()


@pytest.mark.parametrize("ref", ["refs/heads/../../../open/x", "HEAD", "config", "/tmp/x"])  # noqa: S108 - a name
def test_a_ref_that_leads_elsewhere_is_suspicious(reachable: "Pushes", ref: str) -> None:
    """Where a user may write must not be found by a name of the user's own making."""
    one = reachable.commit("One")
    reachable.push("main")
    recorded = reachable.recorded(f"{reachable.zero} {one} {ref}\n".encode())

    with pytest.raises(Suspicious, match="is no ref that git lets anybody push"):
        reachable.read(by(GAMES, recorded))


def test_a_baseline_by_whom_may_not_write_there_is_suspicious(reachable: "Pushes") -> None:
    """It would say what counts as announced."""
    one = reachable.commit("One")
    reachable.push("main")

    with pytest.raises(Suspicious):
        reachable.read(by(GAMES, reachable.recorded(f"{one} refs/heads/main\n".encode(), None, "baseline")))


def test_an_object_that_never_was_is_suspicious_even_of_the_owner(reachable: "Pushes") -> None:
    """The repository lacks it and has lost nothing since. It had, and it is told as what is gone."""
    one = reachable.commit("One")
    reachable.push("main")
    recorded = by(0, reachable.recorded(f"{one} {'1' * 40} refs/heads/main\n".encode()))

    with pytest.raises(Suspicious, match=r"has no object 1111.* and has lost none since"):
        reachable.read(recorded)

    (reachable.bare / "objects" / "pack" / "of-a-collection").touch()
    (payload,) = reachable.read(recorded)
    assert payload["updates"][0]["object"] is None


def test_a_ref_that_rests_elsewhere_is_suspicious(reachable: "Pushes") -> None:
    """It had its value an hour before the push, and has it now: nobody pushed in between."""
    one, two = reachable.commit("One"), reachable.commit("Two")
    reachable.push("main")
    heads = reachable.bare / "refs" / "heads"
    recorded = reachable.recorded(f"{two} {one} refs/heads/main\n".encode())
    before = (recorded.recorded_at - timedelta(hours=2)).timestamp()
    os.utime(heads, (before, before))

    with pytest.raises(Suspicious, match="has had another refs/heads/main since before"):
        reachable.read(by(0, recorded))

    heads.touch()
    (payload,) = reachable.read(by(0, recorded))
    assert payload["updates"][0]["new"] == one


def test_a_push_into_a_repository_that_is_gone_is_believed_of_those_who_were_before(
    reachable: "Pushes",
) -> None:
    """And of those who may write to where it was; of a stranger it is suspicious."""
    reachable.commit("One")
    first, second = reachable.push("main"), reachable.push("main:other")
    give(reachable.bare, GAMES)
    reachable.read(by(GAMES, first))
    reachable.bare.rename(reachable.root / "elsewhere")

    with pytest.raises(Suspicious):
        reachable.read(by(DAEMON, second))
    (payload,) = reachable.read(by(GAMES, second))

    assert payload["repo_url"] == "https://git.example.org/group/project"


def test_a_repository_that_never_was_is_not_announced_for_a_stranger(reachable: "Pushes") -> None:
    """A path below a public prefix is not enough."""
    recorded = replace(
        reachable.recorded(f"{reachable.zero} {'1' * 40} refs/heads/main\n".encode()),
        cwd=str(reachable.root / "made-up.git"),
    )

    with pytest.raises(Suspicious):
        reachable.read(by(GAMES, recorded))


@pytest.mark.parametrize("kind", ["alternates", "link"])
def test_history_that_the_writer_may_not_read_is_not_announced(reachable: "Pushes", kind: str) -> None:
    """The runtime may read more than the owner of a repository: it must not tell them what it sees."""
    reachable.commit("Secret")
    recorded = reachable.push("main")
    secret = reachable.root / "secret"
    (reachable.bare / "objects").rename(secret)
    if kind == "link":
        (reachable.bare / "objects").symlink_to(secret)
    else:
        (reachable.bare / "objects" / "info").mkdir(parents=True)
        (reachable.bare / "objects" / "info" / "alternates").write_text(f"{secret}\n")
    give(reachable.bare, GAMES)
    secret.chmod(0o700)

    with pytest.raises(Suspicious, match=r"secret, which user 5 \(games\) may not read"):
        reachable.read(by(GAMES, recorded))

    secret.chmod(0o755)
    (payload,) = reachable.read(by(GAMES, recorded))
    assert payload["updates"][0]["commit_count"] == 1


def test_a_public_url_of_ones_own_making_is_suspicious(reachable: "Pushes") -> None:
    """Whoever owns a repository could name that of another as its URL."""
    reachable.options["repositories"] = {"/nonexistent": "https://git.example.org"}
    reachable.commit("One")
    recorded = reachable.push("main")
    url = "https://git.example.org/core"
    reachable.git("config", "pulseshim.url", url, cwd=reachable.bare)
    give(reachable.bare, GAMES)

    with pytest.raises(Suspicious, match=f"names its own public URL {url}, in a file that user 5"):
        reachable.read(by(GAMES, recorded))

    reachable.options["trusted_users"] = ["games"]
    (payload,) = reachable.read(by(GAMES, recorded))
    assert payload["repo_url"] == url


@pytest.mark.parametrize("change", ["link", "hard link", "open"])
def test_a_configuration_that_is_not_its_owners_alone_names_no_url(
    reachable: "Pushes", change: str, tmp_path: "Path"
) -> None:
    """It is by root, but somebody else could have put it there or written it."""
    reachable.options["repositories"] = {"/nonexistent": "https://git.example.org"}
    reachable.commit("One")
    recorded = reachable.push("main")
    reachable.git("config", "pulseshim.url", "https://git.example.org/core", cwd=reachable.bare)
    config = reachable.bare / "config"
    if change == "open":
        config.chmod(0o666)
    else:
        elsewhere = tmp_path / "config-of-another"
        config.rename(elsewhere)
        config.symlink_to(elsewhere) if change == "link" else os.link(elsewhere, config)

    with pytest.raises(Suspicious, match="names its own public URL"):
        reachable.read(by(0, recorded))


def test_the_owner_of_a_prefix_names_urls_below_it(reachable: "Pushes") -> None:
    """Whom the directory of all repositories belongs to could rename any of them."""
    reachable.commit("One")
    recorded = reachable.push("main")
    reachable.git("config", "pulseshim.url", "https://git.example.org/renamed", cwd=reachable.bare)
    give(reachable.bare, GAMES)
    os.chown(reachable.root, GAMES, GAMES)

    (payload,) = reachable.read(by(GAMES, recorded))

    assert payload["repo_url"] == "https://git.example.org/renamed"


def test_who_pushed_is_who_wrote_the_file_unless_that_is_the_server(reachable: "Pushes") -> None:
    """A server user tells who it let in; a user of the machine is known by their own name."""
    reachable.commit("One")
    recorded = reachable.push("main", environ={"REMOTE_USER": "ada"})
    give(reachable.bare, DAEMON)
    for directory in (reachable.bare / "refs", reachable.bare / "refs" / "heads"):
        directory.chmod(0o777)

    users = [reachable.read(by(owner, recorded))[0]["user"] for owner in (0, DAEMON, GAMES)]

    assert users == ["ada", "ada", "games"]
