"""The verbs as a person or a program meets them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim.settings import Settings, StoreSettings
from pulseshim.store import held_store

if TYPE_CHECKING:
    from tests.acceptance.conftest import Site
    from tests.conftest import VirtualHost


def pulseshim(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a verb to its end without settings."""
    command = [sys.executable, "-m", "pulseshim", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.broker
def test_tail_prints_messages_as_they_come(make_site: Callable[..., "Site"], vhost: "VirtualHost") -> None:
    """For a program, one JSON object a line, with routing key and body."""
    site = make_site(vhost.url)
    missing = site.pulseshim("tail", "exchange/gitpushes/v1", "--count", "1")
    declared = site.pulseshim("declare")
    command = [sys.executable, "-m", "pulseshim", "tail", "exchange/gitpushes/v1", "#", "--count", "1"]
    with subprocess.Popen(
        [*command, "--config", str(site.config)],
        env=site.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tail:
        assert tail.stderr is not None
        assert "waiting for messages" in tail.stderr.readline()
        commit = site.push("to be seen")
        assert site.pulseshim("drain").returncode == 0
        out, _ = tail.communicate(timeout=30)

    line = json.loads(out)
    assert (missing.returncode, declared.returncode, tail.returncode) == (1, 0, 0)
    assert "pulseshim declare" in missing.stderr
    assert declared.stdout == "declared exchange/gitpushes/v1\n"
    assert line["routing_key"] == "group/project"
    assert line["body"]["payload"]["branches"] == {"main": commit}


def test_tail_does_not_wait_where_nothing_can_come(tmp_path: Path) -> None:
    """The broker inside this process is no place to wait for others: it says so at once."""
    done = pulseshim("tail", "exchange/gitpushes/v1", cwd=tmp_path)

    assert done.returncode == 1
    assert "memory://" in done.stderr


def test_the_demo_shows_every_kind_of_push(tmp_path: Path) -> None:
    """It ends well by itself, with a rename, a merge, a removal, a tag, a force push and a deletion in it."""
    done = pulseshim("demo", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    for words in (
        "branch main created, 2 new commits",
        "renamed main.py → program.py",
        "Merge the documentation (merge)",
        "- README",
        "tag v1.0 created",
        "“The first release”",
        "updated, by force, 1 new commit, 1 discarded",
        "branch topic deleted",
        "Nothing is left.",
    ):
        assert words in done.stdout


def test_plugins_tell_what_they_give(tmp_path: Path) -> None:
    """A plugin with a table shows feed, exchange and message types; one without says that it is off."""
    off = pulseshim("plugins", cwd=tmp_path)
    (tmp_path / "pulseshim.toml").write_text("[plugins.git]\n")

    on = pulseshim("plugins", "--json", cwd=tmp_path)

    (git,) = [plugin for plugin in json.loads(on.stdout) if plugin["name"] == "git"]
    assert "off" in off.stdout
    assert (git["distribution"], git["on"], git["failure"]) == ("pulseshim", True, None)
    assert git["feeds"] == [
        {
            "name": "git",
            "source": "HookSource",
            "exchange": "exchange/gitpushes/v1",
            "messages": ["git.push"],
        }
    ]


def test_plugins_name_a_wrong_setting_as_other_verbs_do(tmp_path: Path) -> None:
    """After the list: the same sentence, the same remedy, the same exit code."""
    (tmp_path / "pulseshim.toml").write_text("[plugins.git]\nrepository = 1\n")

    plugins, declare = pulseshim("plugins", cwd=tmp_path), pulseshim("declare", cwd=tmp_path)

    assert "git  pulseshim" in plugins.stdout
    assert (plugins.returncode, plugins.stderr) == (2, declare.stderr)
    assert "pulseshim.toml: plugins.git.repository is no setting\n  did you mean" in plugins.stderr


def test_every_verb_explains_itself(tmp_path: Path) -> None:
    """Each verb of the contract has a help text, and is in the list."""
    listed = pulseshim("--help", cwd=tmp_path).stdout

    verbs = [
        "emit",
        "run",
        "drain",
        "poll",
        "status",
        "parked",
        "replay",
        "plugins",
        "check",
        "declare",
        "hook",
        "tail",
        "demo",
    ]
    for verb in verbs:
        explained = pulseshim(verb, "--help", cwd=tmp_path)
        assert explained.returncode == 0
        assert f"pulseshim {verb}" in explained.stdout
        assert f"  {verb} " in listed


def test_a_file_that_is_gone_does_not_keep_others_from_a_retry(tmp_path: Path) -> None:
    """`parked retry --all` names the one that cannot go on, lets the others go on, and exits 1."""
    (tmp_path / "pulseshim.toml").write_text('[store]\ndirectory = "store"\n')
    pulseshim("drain", cwd=tmp_path)
    for name in ("first", "second"):
        (tmp_path / "store" / "spool" / "new" / name).write_text("no invocation")
    drained = pulseshim("drain", cwd=tmp_path)
    (tmp_path / "store" / "spool" / "aside" / "first").unlink()

    retried = pulseshim("parked", "retry", "--all", cwd=tmp_path)

    assert (drained.returncode, retried.returncode) == (4, 1)
    assert retried.stdout == "2: file goes on\n"
    assert "first" in retried.stderr
    assert (tmp_path / "store" / "spool" / "new" / "second").exists()


@pytest.mark.parametrize(("verb", "says"), [("retry", "goes on"), ("discard", "discarded")])
def test_more_than_a_step_of_items_is_met_whole(tmp_path: Path, verb: str, says: str) -> None:
    """Each is named, and none is left."""
    (tmp_path / "pulseshim.toml").write_text('[store]\ndirectory = "store"\n')
    with held_store(Settings(store=StoreSettings(directory=str(tmp_path / "store"))), "tests") as store:
        for number in range(501):
            store.parked.park_invocation(f"id{number}", "tests", b"content", "raised")

    done = pulseshim("parked", verb, "--all", cwd=tmp_path)
    listed = pulseshim("parked", "list", "--json", cwd=tmp_path)

    assert done.stdout.splitlines() == [f"{number}: invocation {says}" for number in range(1, 502)]
    waiting = {json.loads(line)["awaiting"] for line in listed.stdout.splitlines()}
    assert waiting == ({"reader"} if verb == "retry" else set())


def test_verbs_of_rescue_load_no_plugin(tmp_path: Path) -> None:
    """`status`, `parked` and `replay` work where a plugin would keep everything else from starting."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('this plugin was loaded')")
    distribution = tmp_path / "broken-1.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (distribution / "entry_points.txt").write_text("[pulseshim]\nbroken = broken\n")
    (tmp_path / "pulseshim.toml").write_text('[store]\ndirectory = "store"\n[plugins.broken]\n')
    starter = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from pulseshim.commands import main; main()"
    )

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", starter, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    emitted, drained, plugins = run("emit", "broken", "--strict"), run("drain"), run("plugins")
    rescued = [
        run("status"),
        run("parked", "list"),
        run("parked", "retry", "1"),
        run("replay", "--since", "1h"),
    ]

    assert emitted.returncode == 0
    assert drained.returncode == 4
    assert plugins.returncode == 1
    assert "this plugin was loaded" in plugins.stdout
    assert "broken 1" in plugins.stdout
    assert [done.returncode for done in rescued] == [0, 0, 0, 1]
    assert all("this plugin was loaded" not in done.stdout + done.stderr for done in rescued)
