"""A plugin's settings: its own table, as its own type, and the account it publishes as."""

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from pulseshim import Duration, Settings, SettingsError
from pulseshim.settings import AccountSettings, BrokerSettings, load
from tests.unit.settings.settings_file import write


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
