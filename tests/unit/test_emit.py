"""`pulseshim emit`, and that it finds the same store as everything else."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pulseshim import settings
from pulseshim.commands import emit
from pulseshim.feed import Invocation
from pulseshim.spool import Spool

PROGRAM = "import sys; from pulseshim.commands.emit import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the directory of a store that does not exist yet, and that the environment names."""
    directory = tmp_path / "store"
    monkeypatch.setenv("PULSESHIM_STORE__DIRECTORY", str(directory))
    monkeypatch.chdir(tmp_path)
    return directory


def run(
    *words: str | bytes, stdin: bytes = b"", environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run emit as a process, on top of the environment."""
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(
        command,
        input=stdin,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        check=False,
        timeout=60,
    )


def recorded(store: Path) -> list[Invocation]:
    """Give what is in the spool of a store."""
    spool = Spool(store / "spool", largest=1 << 30)
    return [spool.read(name, time.time_ns())[0] for name in spool.names()]


def test_words_and_standard_input_are_recorded(store: Path, tmp_path: Path) -> None:
    """What was told is in the spool, which is made on the way; nothing is printed."""
    done = run("reviews", "opened", b"caf\xe9", "", stdin=b"line\n\0\xff")

    [invocation] = recorded(store)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert invocation.feed == "reviews"
    assert invocation.arguments == ("opened", os.fsdecode(b"caf\xe9"), "")
    assert invocation.stdin == b"line\n\0\xff"
    assert invocation.cwd == str(tmp_path)


def test_only_variables_that_are_named_are_recorded(store: Path) -> None:
    """Who it is, and what `--env` names; never all of the environment."""
    environ = {"USER": "ada", "LOGNAME": "ada", "REMOTE_USER": "lovelace", "JOB": "17", "PASSWORD": "secret"}

    run("--env", "JOB", "--env=MISSING", "reviews", environ=environ)

    [invocation] = recorded(store)
    assert invocation.environ == {"USER": "ada", "LOGNAME": "ada", "REMOTE_USER": "lovelace", "JOB": "17"}


def test_the_id_is_printed_for_programs(store: Path) -> None:
    """With --json, the invocation can be found again."""
    done = run("reviews", "--json")

    assert json.loads(done.stdout) == {"id": recorded(store)[0].id}


def test_options_stand_anywhere_and_unknown_ones_are_arguments(store: Path) -> None:
    """After FEED, a word that is no option of ours belongs to the invocation, and after -- all do."""
    run("reviews", "-v", "--strict", "--json=no", "--", "--strict", "--env", "--")

    assert recorded(store)[0].arguments == ("-v", "--json=no", "--strict", "--env", "--")


@pytest.mark.parametrize(
    "words", [(), ("--unknown", "x"), ("Git",), ("a b",), ("",), ("git.",), ("--config",), ("--env", "")]
)
def test_a_wrong_command_is_told_and_records_nothing(store: Path, words: tuple[str, ...]) -> None:
    """The exit code is 0, so that what calls this goes on, and 2 for those who asked for strictness."""
    done = run(*words)
    strict = run("--strict", *words)

    assert (done.returncode, strict.returncode) == (0, 2)
    assert done.stderr.startswith(b"pulseshim emit: ")
    assert done.stderr.endswith(b": see `pulseshim emit --help`\n")
    assert not store.exists()


@pytest.mark.parametrize("name", ["git", "bugzilla.main", "buildbot.CI-2", "my_plugin", "a1.2"])
def test_every_name_a_feed_can_have_is_accepted(store: Path, name: str) -> None:
    """The names are those that a Feed accepts."""
    done = run("--strict", name)

    assert done.returncode == 0
    assert recorded(store)[0].feed == name


def test_help_is_complete(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every option is explained, in lines that fit a terminal."""
    code = emit.main(["--help"])

    shown = capfd.readouterr().out
    assert code == 0
    assert all(option in shown for option in ("FEED", "--env", "--config", "--strict", "--json", "--help"))
    assert max(map(len, shown.splitlines())) < 80
    assert not store.exists()


@pytest.mark.parametrize("strict", [False, True])
def test_what_cannot_be_recorded_is_said_in_one_line(store: Path, strict: bool) -> None:
    """Reason, file and remedy on standard error; the exit code tells only those who asked."""
    store.write_text("no directory")

    done = run("reviews", *(["--strict"] if strict else []))

    assert done.returncode == int(strict)
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"pulseshim emit: nothing was recorded (")
    assert os.fsencode(store) in done.stderr


def test_a_closed_standard_input_is_an_empty_one(store: Path) -> None:
    """Some programs start others without one."""
    command = 'exec "$0" -c "$1" reviews <&-'

    done = subprocess.run(["sh", "-c", command, sys.executable, PROGRAM], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")
    assert recorded(store)[0].stdin == b""


def test_a_terminal_is_not_waited_for(store: Path) -> None:
    """Typed at a prompt, the command ends at once."""
    ours, theirs = os.openpty()

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "reviews"], stdin=theirs, capture_output=True, check=False, timeout=60
    )

    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
    assert recorded(store)[0].stdin == b""


def test_nothing_that_costs_is_imported(store: Path) -> None:
    """Neither the command line nor the settings are loaded, and TOML only where there is a file."""
    program = PROGRAM.replace("sys.exit(main(sys.argv[1:]))", "main(sys.argv[1:]); print(*sys.modules)")

    done = subprocess.run(
        [sys.executable, "-c", program, "reviews"], input=b"", capture_output=True, check=True
    )

    costly = {"click", "msgspec", "tomllib", "json", "pathlib", "dataclasses", "subprocess", "kombu"}
    assert costly & set(done.stdout.decode().split()) == set()
    assert len(recorded(store)) == 1


def test_a_file_that_is_not_needed_is_not_read(store: Path, tmp_path: Path) -> None:
    """Where the environment says where the store is, and it is there, TOML is not paid for."""
    program = PROGRAM.replace("sys.exit(main(sys.argv[1:]))", "main(sys.argv[1:]); print(*sys.modules)")
    config = tmp_path / "settings.toml"
    config.write_text('[store]\nrecorders = "group"\n')
    command = [sys.executable, "-c", program, "--config", str(config), "reviews"]

    first, second = (subprocess.run(command, input=b"", capture_output=True, check=True) for _ in range(2))

    assert "tomllib" in first.stdout.decode().split()
    assert "tomllib" not in second.stdout.decode().split()
    assert (store / "spool" / "new").stat().st_mode & 0o777 == 0o730
    assert len(recorded(store)) == 2


TABLE = '[store]\ndirectory = "/from/file"\nrecorders = "group"\n[broker]\nurl = "memory://"\n'
FILES = {"pulseshim.toml": TABLE, "other.toml": TABLE.replace("file", "other").replace("group", "owner")}
FILES["bare.toml"] = "[broker]\n"


@pytest.mark.parametrize(
    ("config", "environ"),
    [
        ("", {}),
        ("other.toml", {}),
        ("bare.toml", {}),
        ("", {"PULSESHIM_CONFIG": "other.toml"}),
        ("pulseshim.toml", {"PULSESHIM_CONFIG": "other.toml"}),
        ("", {"PULSESHIM_STORE__DIRECTORY": "/from/environ"}),
        ("", {"PULSESHIM_STORE__RECORDERS": "owner"}),
        ("", {"PULSESHIM_STORE__directory": "/lower", "PULSESHIM_STORE__DIRECTORY": "/upper"}),
        ("", {"PULSESHIM_STORE__DIRECTORY": ""}),
        ("bare.toml", {"XDG_STATE_HOME": "/state"}),
        ("bare.toml", {"XDG_STATE_HOME": "", "HOME": "/home/ada"}),
        ("", {"PULSESHIM_STORE__DIRECTORY": "relative", "PULSESHIM_STORE__RECORDERS": "everyone"}),
    ],
)
def test_emit_finds_the_store_that_the_settings_name(
    config: str, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever says where it is, recorder and runtime agree."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    for name, text in environ.items():
        monkeypatch.setenv(name, text)

    found = emit.find_directory(config, os.environ), emit.find_recorders(config, os.environ)

    read = settings.load(config, os.environ)
    assert found == (str(read.directory), read.store.recorders)


def test_emit_finds_the_store_without_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is the user's state directory."""
    monkeypatch.chdir(tmp_path)

    found = emit.find_directory("", os.environ), emit.find_recorders("", os.environ)

    assert found == (settings.default_store(os.environ), "everyone")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[store", "not valid TOML"),
        ("store = 1", "store is no table"),
        ("[store]\ndirectory = 1", "store.directory is wrong"),
        ('[store]\nrecorders = "nobody"', "store.recorders is wrong"),
        (None, "No such file or directory"),
    ],
)
def test_settings_that_are_wrong_are_named(
    text: str | None, reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The line names the file and what is wrong with it."""
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text)

    code = emit.main(["--strict", "--config", str(file), "reviews"])

    said = capfd.readouterr().err
    assert code == 1
    assert reason in said
    assert str(file) in said
