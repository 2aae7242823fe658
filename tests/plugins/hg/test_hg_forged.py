"""Transactions that somebody made up: what is believed of whom, and what the store contradicts."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim import Invocation, Suspicious
from pulseshim_shims.hg_event import HgTransaction

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer

# A user that every Debian has, and who owns nothing here until a test gives it to them.
GAMES = 5


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Give a directory that every user can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="reachable-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def pushed(server: "HgServer") -> tuple[Path, Invocation]:
    """Give a repository that everybody can reach, and the invocation of a push into it."""
    repository = server.init()
    clone = server.clone(repository)
    clone.commit("a", file="a")
    clone("push", "-q")
    (invocation,) = server.invocations()
    return repository, invocation


def give(path: Path) -> None:
    for each in (path, *path.rglob("*")):
        os.chown(each, GAMES, GAMES)


def test_a_transaction_by_whom_may_not_write_there_is_suspicious(server: "HgServer") -> None:
    """The same of root, or of who may write to the store, is told."""
    repository, invocation = pushed(server)
    forged = replace(invocation, owner=GAMES)

    with pytest.raises(Suspicious, match=r"user 5 \(games\) recorded this and may not write to .*\.hg/store"):
        server.read(forged)

    (repository / ".hg" / "store").chmod(0o777)
    assert server.read(forged)


def test_a_trusted_user_is_believed(server: "HgServer") -> None:
    """A web server that has its group from elsewhere, say."""
    _, invocation = pushed(server)
    server.options["trusted_users"] = ("games",)

    assert server.read(replace(invocation, owner=GAMES))


def test_changesets_that_never_were_are_suspicious_even_of_root(server: "HgServer") -> None:
    """The repository lacks them and has lost none since. Stripped ones it had, and they are told."""
    repository, invocation = pushed(server)
    node = invocation.stdin.split(b"\0")[2]
    forged = replace(invocation, owner=0, stdin=invocation.stdin.replace(node, b"1" * 40))
    changelog = repository / ".hg" / "store" / "00changelog.i"
    # Mercurial may have set it a second ahead, to tell two changes of one second apart.
    os.utime(changelog, (0, invocation.recorded_at.timestamp() - 1))

    with pytest.raises(Suspicious, match="has not the changesets of this one, and has lost none since"):
        server.read(forged)

    os.utime(changelog)
    assert server.read(forged)


def test_a_store_that_rested_had_no_transaction(server: "HgServer") -> None:
    """Each one leaves its directory younger: one that was told of later by hours did not happen."""
    _, invocation = pushed(server)
    late = replace(invocation, owner=0, recorded_at=invocation.recorded_at + timedelta(hours=2))

    with pytest.raises(Suspicious, match="had no transaction since long before this one"):
        server.read(late)


def test_of_a_repository_that_is_gone_those_are_believed_who_were_before(server: "HgServer") -> None:
    """Of a stranger it is suspicious."""
    repository, invocation = pushed(server)
    give(repository)
    server.read(replace(invocation, owner=GAMES))
    repository.rename(repository.with_name("elsewhere"))
    second = replace(invocation, id="00000000-0000-4000-8000-000000000002", arguments=("txnid=another",))

    with pytest.raises(Suspicious):
        server.read(replace(second, owner=1))
    assert server.read(replace(second, owner=GAMES)) is not None


def test_a_public_url_of_ones_own_making_is_suspicious(server: "HgServer") -> None:
    """Whoever owns a repository could name that of another as its URL."""
    repository, invocation = pushed(server)
    with (repository / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write("url = https://hg.example.org/core\n")
    give(repository)

    with pytest.raises(Suspicious, match=r"names its own public URL https://hg\.example\.org/core"):
        server.read(replace(invocation, owner=GAMES))

    server.options["trusted_users"] = ("games",)
    assert server.read(replace(invocation, owner=GAMES))


def test_who_pushed_is_who_wrote_the_file_unless_that_is_the_server(server: "HgServer") -> None:
    """A server user tells who it let in; a user of the machine is known by their own name."""
    repository, invocation = pushed(server)
    (repository / ".hg" / "store").chmod(0o777)
    claims = replace(invocation, environ={"REMOTE_USER": "ada"})

    users = []
    for number, owner in enumerate((0, GAMES)):
        event = server.read(replace(claims, owner=owner, arguments=(*claims.arguments, f"txnid={number}")))[0]
        assert isinstance(event, HgTransaction)
        users.append(event.user.partition("@")[0])

    assert users == ["ada", "games"]
