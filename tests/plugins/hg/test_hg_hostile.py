"""A repository whose owner wishes the runtime harm: nothing of it is run, and nothing of others is told."""

import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim import Settings
from pulseshim.settings import StoreSettings
from pulseshim.testing import MemoryState
from pulseshim_plugins.hg_check import problems
from pulseshim_plugins.hg_pushlog import pushes_of
from pulseshim_plugins.hg_server import HgFailed, HgTimedOut, Servers, start

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer


def test_nothing_that_hgrc_names_is_run(server: "HgServer", tmp_path: Path) -> None:
    """Extensions, hooks, aliases and templates of the repository, though it is our own, are not looked at."""
    repository = server.init()
    clone = server.clone(repository)
    clone.commit("a", file="a")
    clone("push", "-q")
    extension = tmp_path / "evil.py"
    extension.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    touch = f"touch {tmp_path / 'ran'}"
    with (repository / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write(
            f"[extensions]\nevil = {extension}\n[alias]\nlog = !{touch}\ntags = !{touch}\n"
            f"[hooks]\npre-log = {touch}\npost-log = {touch}\n[pager]\npager = {touch}\n"
            "[ui]\nlogtemplate = x\nverbose = yes\n[revsetalias]\nsecret() = none()\n"
        )

    push = server.the_one()

    assert len(push.changesets) == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("linked", [".hg/store", ".hg/store/00changelog.i", ".hg/store/data"])
def test_a_link_to_the_history_of_another_is_refused(server: "HgServer", linked: str) -> None:
    """What the runtime may read and the owner may not is not told under the owner's name."""
    secret = server.init("secret", hook=False)
    clone = server.clone(secret)
    clone.commit("hush", file="a")
    clone("push", "-q")
    repository = server.init("public")
    other = server.clone(repository, "other")
    other.commit("a", file="a")
    other("push", "-q")
    (repository / linked).rename(repository / "away")
    (repository / linked).symlink_to(secret / linked)

    with pytest.raises(HgFailed, match="leads out of the repository"):
        server.announced()


def test_a_share_that_claims_a_recorded_path_is_refused(server: "HgServer") -> None:
    """The hook records where the store is: a repository that leads elsewhere was made to."""
    secret = server.init("secret", hook=False)
    repository = server.init("public")
    clone = server.clone(repository)
    clone.commit("a", file="a")
    clone("push", "-q")
    (repository / ".hg" / "sharedpath").write_text(f"{secret}/.hg")

    with pytest.raises(HgFailed, match="leads out of the repository"):
        server.announced()


def test_a_repository_that_makes_mercurial_wait_is_given_up(server: "HgServer") -> None:
    """A pipe in the place of its history: the process is stopped in time, and others can be read."""
    repository = server.init()
    clone = server.clone(repository)
    clone.commit("a", file="a")
    clone("push", "-q")
    (repository / ".hg" / "store" / "00changelog.i").unlink()
    os.mkfifo(repository / ".hg" / "store" / "00changelog.i")
    server.options = {"timeout": "2s"}

    with pytest.raises(HgTimedOut):
        server.announced()

    assert len(server.servers) == 0


def test_a_requirement_that_is_unknown_is_told(server: "HgServer") -> None:
    """What Mercurial says of it is in the error, and it can be retried."""
    repository = server.init()
    clone = server.clone(repository)
    clone.commit("a", file="a")
    clone("push", "-q")
    with (repository / ".hg" / "requires").open("a") as file:
        file.write("from-the-future\n")

    with pytest.raises(HgFailed, match="from-the-future"):
        server.announced()


def test_a_server_that_died_is_started_again(server: "HgServer") -> None:
    """Between two transactions, a command server may go: nobody notices."""
    clone = server.clone(server.init())
    clone.commit("a", file="a")
    clone("push", "-q")
    server.forget()
    (kept,) = server.servers._kept.values()
    kept.process.kill()
    kept.process.wait()

    clone.commit("b", file="b")
    clone("push", "-q")

    assert len(server.the_one().changesets) == 1


def test_servers_are_kept_of_the_repositories_that_were_busy_last(server: "HgServer") -> None:
    """One for each of them, and no more than that."""
    paths = [str(server.init(name)) for name in ("a", "b", "c")]
    servers = Servers(idle=600, most=2)
    deadline = time.monotonic() + 60

    for path in (*paths, paths[2]):
        list(servers.run(path, ["log"], deadline))
    kept = len(servers)
    servers.close()

    assert kept == 2


def test_a_server_is_ended_when_it_is_idle(server: "HgServer") -> None:
    """After a quiet while, there is none."""
    servers = Servers(idle=0.2, most=2)
    deadline = time.monotonic() + 60

    list(servers.run(str(server.init()), ["log"], deadline))

    while len(servers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_is_left_before_its_end_is_never_too_late(server: "HgServer") -> None:
    """Who has all that was wanted does not hear of a deadline that passed behind it; the server is let go."""
    servers, path = Servers(idle=600), str(server.init())
    answer = servers.run(path, ["config"], time.monotonic() + 4)

    next(answer)
    time.sleep(4.2)
    answer.close()  # type: ignore[attr-defined]  # it is a generator

    assert len(servers) == 0


def test_a_server_that_ends_behind_its_last_answer_is_let_go(server: "HgServer") -> None:
    """Its pipes are closed as well."""
    servers, running = Servers(idle=600), start(str(server.init()), time.monotonic() + 60)
    running.process.kill()
    running.process.wait()

    servers._keep(running)

    assert len(servers) == 0
    assert running.process.stdin is not None
    assert running.process.stdin.closed


def test_a_server_asks_nobody_anything(server: "HgServer") -> None:
    """What would read from a terminal reads an end; an unknown command is an error with its words."""
    running = start(str(server.init()), time.monotonic() + 60)

    with pytest.raises(HgFailed, match="unknown command 'nonsense'"):
        list(running.run(["nonsense"], time.monotonic() + 60))

    assert running.lives
    running.kill()


def pushlog(repository: Path, *pushes: tuple[int, str, int, list[str]]) -> Path:
    """Make a database as the pushlog extension does."""
    path = repository / ".hg" / "pushlog2.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE pushlog (id INTEGER PRIMARY KEY, user TEXT, date INTEGER)")
        connection.execute("CREATE TABLE changesets (pushid INTEGER, rev INTEGER, node TEXT)")
        for push, user, date, nodes in pushes:
            connection.execute("INSERT INTO pushlog VALUES (?, ?, ?)", (push, user, date))
            connection.executemany(
                "INSERT INTO changesets VALUES (?, 0, ?)", [(push, node) for node in nodes]
            )
    connection.close()
    return path


def test_the_pushlog_of_a_repository_is_believed(server: "HgServer") -> None:
    """Number, time and user come from it; a changeset that it does not know has no entry."""
    repository = server.init()
    clone = server.clone(repository)
    one, two = clone.commit("a", file="a"), clone.commit("b", file="b")
    clone("push", "-q")
    pushlog(repository, (4711, "grace", 1460975081, [one, two]))
    logged = server.the_one()
    clone.commit("c", file="c")
    clone("push", "-q")
    unlogged = server.the_one()

    assert logged.v1[0]["pushlog_pushes"] == [
        {
            "pushid": 4711,
            "time": 1460975081,
            "user": "grace@noreply.invalid",
            "push_json_url": "https://hg.example.org/project/json-pushes?version=2&startID=4710&endID=4711",
            "push_full_json_url": (
                "https://hg.example.org/project/json-pushes?version=2&full=1&startID=4710&endID=4711"
            ),
        }
    ]
    assert unlogged.v1[0]["pushlog_pushes"] == []


def test_a_pushlog_that_is_none_is_told(server: "HgServer") -> None:
    """The transaction is parked, and can be retried: a number made up would be another push's."""
    repository = server.init()
    (repository / ".hg" / "pushlog2.db").write_text("no database" * 100)

    with pytest.raises(HgFailed, match="pushlog of"):
        pushes_of(str(repository), ["1" * 40], time.monotonic() + 60)


@pytest.mark.parametrize("line", ["[extensions]\npulseshim_x = a\0b", "[pulseshim]\nspool = a\0b"])
def test_a_repository_whose_hgrc_makes_no_sense_is_a_problem_and_the_next_is_looked_at(
    server: "HgServer", tmp_path: Path, line: str
) -> None:
    """One owner cannot keep `check` from what it says about others."""
    broken, sound = server.init("a"), server.init("b", hook=False)
    with (broken / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write(f"{line}\n")
    state = MemoryState({f"repository:{each}": {"url": "https://hg.example.org"} for each in (broken, sound)})
    settings = Settings(store=StoreSettings(directory=str(tmp_path / "store")))

    found = {problem.subject: problem.text for problem in problems(settings, state)}

    assert found[str(broken)]
    assert "its hgrc does not have the hook" in found[str(sound)]
