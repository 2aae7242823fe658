"""Settings: where they come from, how strictly they are read, and what each error says."""

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from pulseshim import Duration, Settings, SettingsError, seconds
from pulseshim.settings import AccountSettings, BrokerSettings, find_file, load


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of its own for each server."""

    url: str
    every: Duration = "1m"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a plugin."""

    limit: int = 10
    ratio: float = 0.5
    quiet: bool = False
    names: list[str] = []
    prefixes: dict[str, str] = {}
    servers: dict[str, Server] = {}
    mode: Literal["fast", "slow"] | None = None


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty directory that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str | bytes) -> str:
    """Write a settings file and give its path."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def refusal(path: str | None, environ: dict[str, str] | None = None) -> SettingsError:
    """Give the error that loading ends in."""
    with pytest.raises(SettingsError) as raised:
        load(path, environ or {})
    return raised.value


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


def test_the_environment_wins_over_the_file_and_leaves_the_rest(here: Path) -> None:
    """One key of a table may come from there, and the others from the file."""
    path = write(here / "pulseshim.toml", "[broker]\nuser = 'file'\nwindow = 7\n[log]\nlevel = 'error'")

    settings = load(path, {"PULSESHIM_BROKER__USER": "environment", "PULSESHIM_LOG__FORMAT": "json"})

    assert (settings.broker.user, settings.broker.window) == ("environment", 7)
    assert (settings.log.level, settings.log.format) == ("error", "json")
    assert settings.origin == path


@pytest.mark.usefixtures("here")
def test_numbers_booleans_lists_and_tables_may_come_from_the_environment() -> None:
    """What the environment holds is text; it becomes what the key takes."""
    settings = load(
        None,
        {
            "PULSESHIM_BROKER__WINDOW": "5",
            "PULSESHIM_BROKER__ALLOW_PLAINTEXT": "true",
            "PULSESHIM_BROKER__URL": '["amqps://one/", "amqps://two/"]',
            "PULSESHIM_BROKER__ACCOUNTS": '{code = {user = "hg"}}',
            "PULSESHIM_METRICS__PORT": "0",
        },
    )

    assert settings.broker == BrokerSettings(
        window=5,
        allow_plaintext=True,
        url=["amqps://one/", "amqps://two/"],
        accounts={"code": AccountSettings(user="hg")},
    )
    assert settings.metrics.port == 0


@pytest.mark.usefixtures("here")
def test_a_text_that_looks_like_a_number_stays_text_where_text_is_due() -> None:
    """A user may be called 123."""
    settings = load(None, {"PULSESHIM_BROKER__USER": "123"})

    assert settings.broker.user == "123"


@pytest.mark.parametrize(
    ("name", "value", "problem", "remedy"),
    [
        ("PULSESHIM_BROKER__WINDO", "5", "broker.windo is no setting", "did you mean window?"),
        ("PULSESHIM_BROKER__WINDOW", "many", "broker.window is wrong", "expected integer, got text"),
        ("PULSESHIM_BROKER__URL__HOST", "x", "broker.url is wrong", "expected text or list, got table"),
        ("PULSESHIM_BROKER__ACCOUNTS", "{broken", "broker.accounts is wrong", "expected table, got text"),
        ("PULSESHIM_LOG__LEVEL", "loud", "log.level is wrong", "expected one of debug, info, warning, error"),
        (
            "PULSESHIM_STORE__KEEP",
            "",
            "store.keep is wrong",
            "expected a time such as 500ms, 30s, 5m, 12h or 7d",
        ),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_is_wrong_in_the_environment_is_said_to_be_there(
    name: str, value: str, problem: str, remedy: str
) -> None:
    """The file is not searched for it in vain."""
    error = refusal(None, {name: value})

    assert (error.problem, error.remedy) == (f"environment: {problem}", remedy)


def test_a_variable_below_a_value_of_the_file_is_named(here: Path) -> None:
    """`PULSESHIM_BROKER__USER__NAME` has no place where the file says `user = "x"`."""
    path = write(here / "pulseshim.toml", "[broker]\nuser = 'x'")

    error = refusal(path, {"PULSESHIM_BROKER__USER__NAME": "y"})

    assert error.problem == "$PULSESHIM_BROKER__USER__NAME: user is no table"


def test_a_wrong_type_in_the_file_is_wrong_beside_the_environment_too(here: Path) -> None:
    """The environment alone is read leniently."""
    path = write(here / "pulseshim.toml", "[broker]\nwindow = '5'")

    error = refusal(path, {"PULSESHIM_BROKER__USER": "x"})

    assert error.problem == f"{path}: broker.window is wrong"


@pytest.mark.parametrize(
    "name",
    [
        "PULSESHIM_BROKER_PASSWORD",
        "PULSESHIM_BROKER_PASSWORD_GIT",
        "PULSESHIM_BROKER_PASSWORD_X__Y",
        "PULSESHIM_BROKER_PASSWORD__X",
    ],
)
@pytest.mark.usefixtures("here")
def test_a_password_is_never_taken_for_a_setting(name: str) -> None:
    """It would be shown by errors and by everything that prints settings."""
    settings = load(None, {name: "secret"})

    assert settings == Settings()


@pytest.mark.usefixtures("here")
def test_the_file_of_the_password_is_a_setting() -> None:
    """Its name begins like that of the password and is none."""
    settings = load(None, {"PULSESHIM_BROKER__PASSWORD_FILE": "/etc/password"})

    assert settings.broker.password_file == "/etc/password"


@pytest.mark.usefixtures("here")
def test_variables_of_others_are_left_alone() -> None:
    """Only `PULSESHIM_` with a table behind it is a setting."""
    settings = load(
        None, {"PULSESHIM_CONFIG": "", "PULSESHIM_TEST": "1", "OTHER_BROKER__URL": "x", "HOME": "/"}
    )

    assert settings == Settings()


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


def test_a_plugin_gets_its_own_table_as_its_own_type() -> None:
    """The account is the core's, and no option of the plugin."""
    table = {"limit": 3, "account": "git", "servers": {"main": {"url": "https://example.org"}}}

    options = Settings(plugins={"git": table}).options("git", Options)

    assert options == Options(limit=3, servers={"main": Server(url="https://example.org")})


def test_a_plugin_without_a_table_has_its_defaults() -> None:
    """An empty table and none are the same."""
    assert Settings().options("git", Options) == Options()


@pytest.mark.parametrize(
    ("table", "problem", "remedy"),
    [
        ({"limt": 1}, "limt is no setting", "did you mean limit?"),
        ({"limit": "1"}, "limit is wrong", "expected integer, got text"),
        ({"names": ["a", 1]}, "names[1] is wrong", "expected text, got integer"),
        (
            {"prefixes": {"/a": "b", "/srv/a.b": 1}},
            'prefixes."/srv/a.b" is wrong',
            "expected text, got integer",
        ),
        ({"servers": {"main": {}}}, "servers.main.url is not set", "set it, it has no default"),
        (
            {"servers": {"a": {"url": "x"}, "main": {"url": "x", "evry": "1m"}}},
            "servers.main.evry is no setting",
            "did you mean every?",
        ),
        (
            {"servers": {"main": {"url": "x", "every": "soon"}}},
            "servers.main.every is wrong",
            "expected a time such as 500ms, 30s, 5m, 12h or 7d",
        ),
        ({"mode": "quick"}, "mode is wrong", "expected one of fast, slow"),
    ],
)
def test_a_wrong_option_is_named_below_its_plugin(
    table: dict[str, object], problem: str, remedy: str
) -> None:
    """Servers are named, too: of ten, one is wrong."""
    settings = Settings(plugins={"git": table}, origin="/etc/pulseshim/pulseshim.toml")

    with pytest.raises(SettingsError) as raised:
        settings.options("git", Options)

    assert raised.value.problem == f"/etc/pulseshim/pulseshim.toml: plugins.git.{problem}"
    assert raised.value.remedy == remedy


def test_options_of_a_plugin_may_come_from_the_environment(here: Path) -> None:
    """Numbers and booleans as well, beside what the file says."""
    path = write(here / "pulseshim.toml", "[plugins.git]\nratio = 0.25\n")

    settings = load(
        path,
        {
            "PULSESHIM_PLUGINS__GIT__LIMIT": "5",
            "PULSESHIM_PLUGINS__GIT__QUIET": "true",
            "PULSESHIM_PLUGINS__GIT__NAMES": '["a"]',
            "PULSESHIM_PLUGINS__GIT__PREFIXES": '{"/srv/git" = "https://git.example.org"}',
            "PULSESHIM_PLUGINS__GIT__SERVERS__MAIN__URL": "https://example.org",
        },
    )

    assert settings.options("git", Options) == Options(
        limit=5,
        ratio=0.25,
        quiet=True,
        names=["a"],
        prefixes={"/srv/git": "https://git.example.org"},
        servers={"main": Server(url="https://example.org")},
    )


def test_a_table_that_is_all_of_the_file_is_read_strictly_beside_the_environment(here: Path) -> None:
    """What the environment says of one plugin makes the table of another no more lenient."""
    path = write(here / "pulseshim.toml", "[plugins.hg]\nlimit = '5'\n")

    settings = load(path, {"PULSESHIM_PLUGINS__GIT__LIMIT": "5"})

    with pytest.raises(SettingsError, match=r"plugins\.hg\.limit is wrong: expected integer, got text"):
        settings.options("hg", Options)


def test_a_wrong_option_may_be_the_environments() -> None:
    """The error says that both were read."""
    settings = load(None, {"PULSESHIM_PLUGINS__GIT__LIMIT": "many"})

    with pytest.raises(SettingsError, match=r"^settings with the environment: plugins\.git\.limit is wrong"):
        settings.options("git", Options)


def test_a_plugin_publishes_as_the_account_that_its_table_names() -> None:
    """Without one, it is that of `[broker]`; a feed's own comes first."""
    broker = BrokerSettings(accounts={"git": AccountSettings(), "code": AccountSettings()})
    settings = Settings(broker=broker, plugins={"git": {"account": "git"}, "hg": {}})

    named = (settings.account("git"), settings.account("hg"), settings.account("git", "code"))

    assert named == ("git", "", "code")
    assert settings.account("git", "") == ""


@pytest.mark.parametrize("name", ["cod", 5, ["code"]])
def test_an_account_that_is_not_configured_is_named(name: object) -> None:
    """Publishing as somebody else would be refused, or worse, taken."""
    broker = BrokerSettings(accounts={"code": AccountSettings()})
    settings = Settings(broker=broker, plugins={"git": {"account": name}}, origin="/p.toml")

    with pytest.raises(SettingsError, match=r"^/p\.toml: plugins\.git\.account names no account \("):
        settings.account("git")


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
