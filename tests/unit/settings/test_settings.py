"""Settings: where they come from, how strictly they are read, and what each error says."""

import os
from pathlib import Path

import msgspec
import pytest

from pulseshim import Settings, seconds
from pulseshim.commands.emit import main as emit
from pulseshim.settings import load
from pulseshim.settings_file import find_file
from tests.unit.settings.settings_file import refusal, write


def test_without_a_file_the_defaults_hold(here: Path) -> None:
    """Everything works in one process and nothing leaves it."""
    settings = load(None, {})

    assert (settings, settings.broker.url, settings.origin) == (Settings(), "memory://", "")
    assert not list(here.iterdir())


def test_the_file_that_is_named_comes_before_all_others(here: Path) -> None:
    """`--config`, then `$PULSESHIM_CONFIG`, then the file in the current directory."""
    write(here / "pulseshim.toml", "")
    named = {"PULSESHIM_CONFIG": "/from/environment.toml"}

    found = [find_file("/from/option.toml", named), find_file(None, named), find_file(None, {})]

    assert found == ["/from/option.toml", "/from/environment.toml", "pulseshim.toml"]


def test_an_empty_variable_names_no_file(here: Path) -> None:
    """`PULSESHIM_CONFIG=` in a unit file is as good as none."""
    write(here / "pulseshim.toml", '[log]\nlevel = "debug"')

    settings = load(None, {"PULSESHIM_CONFIG": ""})

    assert (settings.log.level, settings.origin) == ("debug", str(here / "pulseshim.toml"))


def test_settings_know_where_they_were_read_from(here: Path) -> None:
    """Errors that come later name the file by its whole path."""
    path = write(here / "other.toml", "[broker]\nwindow = 7")

    settings = load("other.toml", {})

    assert (settings.origin, settings.broker.window) == (path, 7)


def test_a_file_that_is_named_and_missing_is_an_error(here: Path) -> None:
    """Defaults in its place would publish nothing, or elsewhere."""
    error = refusal(str(here / "nowhere.toml"))

    assert "nowhere.toml cannot be read (No such file or directory)" in error.problem
    assert "$PULSESHIM_CONFIG" in error.remedy
    assert error.exit_code == 2


def test_a_directory_in_place_of_the_file_is_an_error(here: Path) -> None:
    """It is named with what the system says."""
    assert "cannot be read (Is a directory)" in refusal(str(here)).problem


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[broker\n", "line 1"),
        ("a = 1\na = 2\n", "line 2"),
        (b"[broker]\nuser = '\xff'\n", "codec can't decode"),
        (b"\x00", "at line 1"),
    ],
)
def test_a_file_that_is_no_toml_is_named_with_the_place(here: Path, content: str | bytes, said: str) -> None:
    """The administrator is led to the line."""
    path = write(here / "pulseshim.toml", content)

    error = refusal(path)

    assert error.problem.startswith(f"{path} is not valid TOML")
    assert said in error.problem


@pytest.mark.parametrize(
    ("content", "problem", "remedy"),
    [
        ("brokr = {}", "brokr is no setting", "did you mean broker?"),
        ("[broker]\nurls = 'x'", "broker.urls is no setting", "did you mean url?"),
        (
            "[broker]\nzzz = 1",
            "broker.zzz is no setting",
            "see docs/reference/settings.md for those there are",
        ),
        ("origin = 'x'", "origin is no setting", "remove it"),
        ("overlaid = ['x']", "overlaid is no setting", "remove it"),
        ("[broker]\nwindow = true", "broker.window is wrong", "expected integer, got boolean"),
        ("[broker]\nwindow = '5'", "broker.window is wrong", "expected integer, got text"),
        ("[broker]\nwindow = 0", "broker.window is wrong", "expected integer >= 1"),
        ("[broker]\nwindow = 10_001", "broker.window is wrong", "expected integer <= 10000"),
        ("[broker]\nurl = 1", "broker.url is wrong", "expected text or list, got integer"),
        ("[broker]\nurl = ['a', 1]", "broker.url[1] is wrong", "expected text, got integer"),
        ("broker = 'x'", "broker is wrong", "expected table, got text"),
        ("[broker]\nallow_plaintext = 1", "broker.allow_plaintext is wrong", "expected boolean, got integer"),
        (
            "[broker]\nheartbeat = '5'",
            "broker.heartbeat is wrong",
            "expected a time such as 500ms, 30s, 5m, 12h or 7d",
        ),
        (
            "[store]\nrecorders = 'all'",
            "store.recorders is wrong",
            "expected one of owner, group, everyone",
        ),
        ("[metrics]\nport = 65536", "metrics.port is wrong", "expected integer <= 65535"),
        (
            "[broker.accounts.code]\nuser = 'a'\n[broker.accounts.git]\nusr = 'b'",
            "broker.accounts.git.usr is no setting",
            "did you mean user?",
        ),
        (
            "[broker.accounts.'a b']\nuser = 1",
            'broker.accounts."a b".user is wrong',
            "expected text, got integer",
        ),
        ("plugins.git = 1", "plugins.git is wrong", "expected table, got integer"),
    ],
)
def test_what_does_not_fit_is_named_by_file_key_and_expectation(
    here: Path, content: str, problem: str, remedy: str
) -> None:
    """A misspelt key gets the nearest that there is; the names of accounts stand in the key."""
    path = write(here / "pulseshim.toml", content)

    error = refusal(path)

    assert (error.problem, error.remedy) == (f"{path}: {problem}", remedy)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1.5h", 5400), ("7d", 604800), ("2w", 1209600), ("0s", 0)],
)
def test_a_duration_is_a_number_and_a_unit(duration: str, expected: float) -> None:
    """From milliseconds to weeks."""
    assert seconds(duration) == expected


@pytest.mark.parametrize("text", ["5", "s", "5 s", "-5s", "5S", "5m30s", "", "5s\n", ".5s", "1e3s"])
def test_what_is_no_duration_is_refused(here: Path, text: str) -> None:
    """A unit that is left out would be guessed wrongly by somebody."""
    path = write(here / "pulseshim.toml", f"[store]\nkeep = {msgspec.json.encode(text).decode()}")

    assert refusal(path).problem == f"{path}: store.keep is wrong"


def test_the_store_is_in_the_users_state_directory_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the XDG rules have it."""
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    in_state = Settings().directory
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/pulse")
    at_home = Settings().directory

    named = load(None, {"PULSESHIM_STORE__DIRECTORY": "/var/lib/pulseshim"}).directory

    assert [str(path) for path in (in_state, at_home, named)] == [
        "/state/pulseshim",
        "/home/pulse/.local/state/pulseshim",
        "/var/lib/pulseshim",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("whose", ["file", "directory"])
def test_a_file_of_the_current_directory_counts_only_where_nobody_else_can_write_it(
    here: Path, capfd: pytest.CaptureFixture[str], whose: str
) -> None:
    """It says where a password is read, and to whom it is sent; and `emit`, where to record."""
    path = here / "pulseshim.toml"
    write(path, f'[store]\ndirectory = "{here}/store"')
    os.chown(path if whose == "file" else here, 5, 5)

    told = str(refusal(None))
    emitted = emit(["--strict", "tests", "word"])

    assert told == (f"{path} can be written by user 5: name it with --config if it is to be used")
    assert emitted == 1
    assert "can be written by user 5" in capfd.readouterr().err
    assert not (here / "store").exists()
    assert load("pulseshim.toml", {}).origin == str(path)


def test_a_file_of_the_current_directory_that_all_may_write_does_not_count(here: Path) -> None:
    """Though it belongs to who asks."""
    write(here / "pulseshim.toml", "")
    (here / "pulseshim.toml").chmod(0o666)

    assert "can be written by everybody" in str(refusal(None))
