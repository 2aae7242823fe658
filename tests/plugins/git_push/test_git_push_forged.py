"""Pushes that somebody made up: what is believed of whom, and what is contradicted by the repository."""

import os
import pwd
import shutil
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


_LISTS = {
    "alternates": "{store}\n",
    "alternates by a name with a form feed": "{borrower}/a\fb\n",
    "alternates after a long comment": f"#{'x' * 70_000}\n{{store}}\n",
    "alternates in quotes": '"{store}"\n',
}


def lend(store: Path, borrower: Path, kind: str) -> None:
    """Make an empty object store that takes what it has from another one, in one of git's many ways."""
    (borrower / "info").mkdir(parents=True)
    (borrower / "pack").mkdir()
    if kind in _LISTS:
        (borrower / "a\fb").symlink_to(store)
        (borrower / "info" / "alternates").write_text(_LISTS[kind].format(store=store, borrower=borrower))
    elif kind == "alternates from a pipe":
        os.mkfifo(borrower / "info" / "alternates")
    elif kind == "store":
        shutil.rmtree(borrower)
        borrower.symlink_to(store)
    elif kind == "packs by two links":
        lend(store, elsewhere := borrower.parent / "elsewhere", "pack/*")
        (borrower / "pack").rmdir()
        (borrower / "pack").symlink_to(elsewhere / "pack")
    else:
        for each in store.glob(kind):
            link = borrower / each.relative_to(store)
            if link.is_dir():
                link.rmdir()
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(each)


_WAYS = (
    *("store", "alternates", "alternates by a name with a form feed", "pack", "pack/*", "packs by two links"),
    *("??", "??/*"),
)


@pytest.mark.parametrize("kind", _WAYS)
def test_history_that_the_writer_may_not_read_is_not_announced(pushes: "Pushes", kind: str) -> None:
    """The runtime may read more than the owner of a repository: it must not tell them what it sees."""
    pushes.commit("Secret")
    recorded = pushes.push("main")
    if "pack" in kind:
        pushes.git("repack", "-adq", cwd=pushes.bare)
    secret = pushes.root / "secret"
    (pushes.bare / "objects").rename(secret)
    lend(secret, pushes.bare / "objects", kind)
    give(pushes.bare, GAMES)
    secret.chmod(0o700)

    with pytest.raises(Suspicious, match=r"secret.*, which user 5 \(games\) may not read"):
        pushes.read(by(GAMES, recorded))

    secret.chmod(0o755)
    (payload,) = pushes.read(by(GAMES, recorded))
    assert payload["updates"][0]["commit_count"] == 1


@pytest.mark.parametrize(
    "kind", ["alternates after a long comment", "alternates in quotes", "alternates from a pipe"]
)
def test_a_list_of_alternates_that_git_may_read_otherwise_is_suspicious(pushes: "Pushes", kind: str) -> None:
    """It could lead to what the writer may not read."""
    pushes.commit("Secret")
    recorded = pushes.push("main")
    (pushes.bare / "objects").rename(secret := pushes.root / "secret")
    lend(secret, pushes.bare / "objects", kind)
    give(pushes.bare, GAMES)
    secret.chmod(0o700)

    with pytest.raises(Suspicious, match="is longer than 65536 bytes, has quoted lines or is no file"):
        pushes.read(by(GAMES, recorded))


def test_a_directory_of_objects_that_cannot_be_listed_is_suspicious(pushes: "Pushes") -> None:
    """There may be links in it, and git opens objects by their names."""
    pushes.commit("One")
    recorded = pushes.push("main")
    (pushes.bare / "objects" / "00").symlink_to("00")
    give(pushes.bare, GAMES)

    with pytest.raises(Suspicious, match="objects/00 cannot be looked through"):
        pushes.read(by(GAMES, recorded))


def test_both_places_that_two_dots_after_a_link_can_mean_are_looked_at(pushes: "Pushes") -> None:
    """Older git takes the dots for what is written before them, newer git for where that leads."""
    pushes.commit("Secret")
    recorded = pushes.push("main")
    secret = pushes.root / "group" / "secret"
    (pushes.bare / "objects").rename(secret)
    (pushes.bare / "objects" / "info").mkdir(parents=True)
    (pushes.bare / "link").symlink_to(pushes.bare / "refs" / "heads")
    alternates = pushes.bare / "objects" / "info" / "alternates"
    give(pushes.bare, GAMES)
    secret.chmod(0o700)

    for way in ("link/../..", "link/../../.."):
        alternates.write_text(f"{pushes.bare}/{way}/secret\n")
        with pytest.raises(Suspicious, match="group/secret, which user 5"):
            pushes.read(by(GAMES, recorded))


def test_a_repository_that_leads_elsewhere_while_it_is_read_is_suspicious(
    pushes: "Pushes", monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says is looked at before and after."""
    pushes.commit("Secret")
    recorded = pushes.push("main")
    secret = pushes.root / "secret"
    (pushes.bare / "objects").rename(secret)
    (pushes.bare / "objects" / "info").mkdir(parents=True)
    give(pushes.bare, GAMES)
    secret.chmod(0o700)
    (pushes.root / "bin").mkdir()
    change = f"echo {secret} > {pushes.bare}/objects/info/alternates"
    script = f'case "$*" in *cat-file*) {change};; esac; exec {shutil.which("git")} "$@"'
    (pushes.root / "bin" / "git").write_text(f"#!/bin/sh\n{script}\n")
    (pushes.root / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{pushes.root}/bin:/usr/bin:/bin")

    with pytest.raises(Suspicious, match="secret, which user 5"):
        pushes.read(by(GAMES, recorded))


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
