"""Repositories that take objects from others: what the writer of a push may not read is not announced."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim import Invocation, Suspicious

if TYPE_CHECKING:
    from tests.plugins.git_push.conftest import Pushes

# A user that every Debian has, and who owns nothing here until a test gives it to them.
GAMES = 5


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
