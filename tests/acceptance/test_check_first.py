"""`check` as it is called first: in the order of the docs, before there is a store."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.verb import run_verb
from tests.web import Web

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Give what runs a verb."""

    def verb(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return run_verb(arguments, cwd=tmp_path)

    return verb


@pytest.fixture
def page() -> Iterator[Web]:
    """Give a web server with a page, and no API, at each path."""
    web = Web()
    web.answer = lambda _path, _number: (200, "text/html", b"<html>Log in, please.</html>")
    yield web
    web.close()


def errors(done: "subprocess.CompletedProcess[str]") -> list[tuple[str, str]]:
    """Give subject and text of each error that `check --json` found."""
    problems: list[dict[str, Any]] = json.loads(done.stdout)
    return [(each["subject"], each["text"]) for each in problems if each["severity"] == "error"]


def test_sources_are_asked_before_there_is_a_store(run: Run, page: Web, tmp_path: Path) -> None:
    """A page in place of a master or a Bugzilla is an error already; nothing is made by asking."""
    (tmp_path / "pulseshim.toml").write_text(
        f'[store]\ndirectory = "store"\n[plugins.buildbot.masters.ci]\nurl = "{page.url}"\n'
        f'[plugins.bugzilla.servers.main]\nurl = "{page.url}"\n'
    )

    done = run("check", "--json")

    found = errors(done)
    assert done.returncode == 2
    assert [subject for subject, _ in found] == ["settings"] * 2
    assert all(page.url.rstrip("/") in text for _, text in found)
    assert not (tmp_path / "store").exists()


def test_sources_are_asked_where_the_store_is_damaged(run: Run, page: Web, tmp_path: Path) -> None:
    """Both are said: what is wrong with the store, and with the source."""
    (tmp_path / "pulseshim.toml").write_text(
        f'[store]\ndirectory = "store"\n[plugins.buildbot.masters.ci]\nurl = "{page.url}"\n'
    )
    assert run("drain").returncode == 0
    (tmp_path / "store" / "outbox.sqlite3").write_bytes(b"damaged" * 1000)

    done = run("check", "--json")

    found = errors(done)
    assert [subject for subject, _ in found] == ["store", "settings"]
    assert page.url.rstrip("/") in found[1][1]


def test_a_sound_machine_is_sound_in_the_order_of_the_docs(run: Run, tmp_path: Path) -> None:
    """Hook, check, service: between the first two there is a spool, and no outbox yet."""
    (tmp_path / "pulseshim.toml").write_text(
        f'[store]\ndirectory = "store"\n[plugins.git]\n'
        f'repositories = {{"{tmp_path}" = "https://git.example.org"}}\n'
    )
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "project.git")], check=True)

    before = run("check")
    installed = run("hook", "install", "git", "project.git")
    checked = run("check")
    drained = run("drain")
    after = run("check")

    codes = [done.returncode for done in (before, installed, checked, drained, after)]
    assert codes == [0, 0, 0, 0, 0]
    assert "warning: store: there is no outbox" in checked.stdout
    assert "  the first pulseshim run or drain makes it\n" in checked.stdout
    assert "outbox" not in after.stdout


def test_a_schedule_that_is_none_is_an_error_of_the_settings(run: Run, page: Web, tmp_path: Path) -> None:
    """As `run` says it, and not at its start only."""
    (tmp_path / "pulseshim.toml").write_text(
        '[store]\ndirectory = "store"\n[plugins.bugzilla]\ncron = "61 * * * *"\n'
        f'[plugins.bugzilla.servers.main]\nurl = "{page.url}"\n'
        f'[plugins.bugzilla.servers.other]\nurl = "{page.url}"\n'
    )

    checked, started = run("check"), run("run")

    assert (checked.returncode, started.returncode) == (2, 2)
    for name in ("main", "other"):
        assert f"error: settings: the schedule of bugzilla.{name} is no cron expression" in checked.stdout
    assert "the schedule of bugzilla.main is no cron expression" in started.stderr
