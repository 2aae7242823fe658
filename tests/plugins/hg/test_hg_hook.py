"""The hook in the server's process: what it carries, that it never hurts, and how it is installed."""

import inspect
import json
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim import recorder
from pulseshim.errors import CommandFailed
from pulseshim_plugins.hg_check import hook_problems
from pulseshim_plugins.hg_hook import install, remove, show
from pulseshim_plugins.hg_trust import distrusting

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer

HOOK = Path(__file__).parents[3] / "contrib" / "hooks" / "hg" / "pulseshim_hg.py"


def pulseshim(server: "HgServer", *arguments: str) -> str:
    """Run a verb with the store of a server and give what it says; it must succeed."""
    environ = {**server.environ, "PULSESHIM_STORE__DIRECTORY": str(server.spool.parent)}
    command = [sys.executable, "-m", "pulseshim", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=server.root, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_hook_carries_the_recorder_letter_for_letter() -> None:
    """It works where pulseshim is not installed, and writes just what the recorder would."""
    assert inspect.getsource(recorder.record) in HOOK.read_text()


def test_the_hook_imports_nothing_that_a_server_may_not_have() -> None:
    """Four modules of the standard library, and Mercurial, in whose process it runs."""
    found = re.findall(r"^\s*(?:import|from) (\w+)", HOOK.read_text(), re.MULTILINE)

    assert set(found) == {"os", "signal", "threading", "time", "mercurial"}


def test_a_hook_that_cannot_record_warns_and_lets_the_push_through(server: "HgServer") -> None:
    """The pusher reads one line, the next hook runs, the push has happened."""
    repository = server.init()
    with (repository / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write("[hooks]\ntxnclose.zzz = touch ran\n")
    clone = server.clone(repository)
    node = clone.commit("a", file="a")
    server.spool.rename(server.spool.with_name("away"))

    said = clone("push")

    assert "pulseshim: this push was not recorded (No such file or directory: " in said
    assert "Traceback" not in said
    assert (repository / "ran").exists()
    assert server.client(repository).node("tip") == node


def test_a_hook_without_a_spool_says_what_to_set(server: "HgServer") -> None:
    """Lines that were copied without the last one do no harm."""
    repository = server.init()
    hgrc = repository / ".hg" / "hgrc"
    hgrc.write_text(hgrc.read_text().replace("spool = ", "# spool = "))
    clone = server.clone(repository)
    clone.commit("a", file="a")

    assert "set pulseshim.spool in hgrc" in clone("push")


def test_the_hook_survives_whatever_mercurial_gives_it() -> None:
    """Called with nothing that it knows, it returns false and raises nothing."""
    names: dict[str, object] = {"__name__": "pulseshim_hg"}
    exec(compile(HOOK.read_text(), str(HOOK), "exec"), names)  # noqa: S102 - it is how a server loads it

    assert names["record_transaction"](None, None, changes=3) is False  # type: ignore[operator]


def test_install_adds_lines_and_remove_takes_only_those(server: "HgServer") -> None:
    """What was in hgrc stays to the byte; installing again changes nothing."""
    repository = server.init(hook=False)
    hgrc = repository / ".hg" / "hgrc"
    before = hgrc.read_bytes()

    first = pulseshim(server, "hook", "install", "hg", str(repository))
    lines = hgrc.read_bytes()
    again = pulseshim(server, "hook", "install", "hg", str(repository))
    shown = json.loads(pulseshim(server, "hook", "show", "hg", str(repository), "--json"))
    clone = server.clone(repository)
    clone.commit("a", file="a")
    clone("push", "-q")
    recorded = server.the_one()
    pulseshim(server, "hook", "remove", "hg", str(repository))

    assert first.startswith("installed the hook in ")
    assert again.startswith("updated the hook in ")
    assert lines.startswith(before)
    assert (shown["version"], shown["spool"]) == ("current", str(server.spool))
    assert recorded.types == ["newrepo.1", "changegroup.1"]
    assert hgrc.read_bytes() == before
    assert show(repository).version == "absent"
    with pytest.raises(CommandFailed, match="no lines that pulseshim put there"):
        remove(repository)


def test_a_url_is_written_into_hgrc_and_stays(server: "HgServer") -> None:
    """`--url` sets it; installing again without keeps it, and so does removal."""
    repository = server.init(hook=False)

    install(repository, spool=server.spool, url="https://hg.example.org/public")
    install(repository, spool=server.spool)
    remove(repository)

    assert "url = https://hg.example.org/public" in (repository / ".hg" / "hgrc").read_text()


def test_no_repository_is_no_place_for_a_hook(server: "HgServer") -> None:
    """It says so, and makes nothing."""
    with pytest.raises(CommandFailed, match="is no Mercurial repository"):
        install(server.root, spool=server.spool)


@pytest.mark.parametrize(
    ("owner", "of_store", "shared", "trusted", "expected"),
    [
        ("hg", "hg", False, [], ""),
        ("hg", "hg", True, [], "all others but hg"),
        ("ada", "hg", False, [], "hg, who owns the repository, and all others but ada"),
        ("ada", "hg", True, ["ada"], ""),
        ("ada", "hg", True, ["*"], ""),
    ],
)
def test_mercurial_trusts_files_of_who_runs_it(
    owner: str, of_store: str, expected: str, trusted: list[str], *, shared: bool
) -> None:
    """And those of whom the system's configuration names: nobody else's lines count."""
    assert distrusting(owner, of_store, shared=shared, trusted=trusted) == expected


def test_an_hgrc_that_mercurial_would_not_trust_is_told_of(server: "HgServer") -> None:
    """Those who push to a shared repository as themselves must trust whose hgrc it is: two verbs say so."""
    repository = server.init(hook=False)
    store = repository / ".hg" / "store"
    store.chmod(store.stat().st_mode | stat.S_IWGRP)

    said = pulseshim(server, "hook", "install", "hg", str(repository))
    (problem,) = hook_problems(repository, server.spool)

    assert "warning: Mercurial does not trust" in said
    assert "[trusted] users =" in problem.remedy


def test_check_tells_what_keeps_a_hook_from_recording(server: "HgServer") -> None:
    """Not there, outdated, into another spool, moved away: each with its remedy."""
    repository = server.init(hook=False)
    absent = [problem.text for problem in hook_problems(repository, server.spool)]
    install(repository, spool=server.spool)
    sound = list(hook_problems(repository, server.spool))
    elsewhere = [problem.text for problem in hook_problems(repository, server.spool / "other")]
    with (repository / ".hg" / "pulseshim_hg.py").open("a") as file:
        file.write("# edited\n")
    edited = [problem.text for problem in hook_problems(repository, server.spool)]
    (repository / ".hg" / "pulseshim_hg.py").unlink()
    (missing,) = hook_problems(repository, server.spool)
    gone = [problem.text for problem in hook_problems(server.root / "gone", server.spool)]

    assert "does not have the hook" in absent[0]
    assert sound == []
    assert "the spool is" in elsewhere[0]
    assert "not the one that this version" in edited[0]
    assert missing.text == f"its hgrc names a hook that is not there: {repository}/.hg/pulseshim_hg.py"
    assert missing.severity == "error"
    assert gone == ["the repository is not there any more"]


def test_what_an_hgrc_says_is_shown_without_escapes(server: "HgServer") -> None:
    """Whoever writes it writes nothing to the terminal of who looks at it."""
    repository = server.init(hook=False)
    escape = "\x1b]0;\x07\x1b[2J"
    with (repository / ".hg" / "hgrc").open("a") as hgrc:
        hgrc.write(f"[extensions]\npulseshim_x = /a{escape}b\n[pulseshim]\nspool = /c{escape}d\n")

    shown = pulseshim(server, "hook", "show", "hg", str(repository))

    assert r"/a\x1b]0;\x07\x1b[2Jb" in shown
    assert r"/c\x1b]0;\x07\x1b[2Jd" in shown
    assert shown.replace("\n", "").isprintable()
