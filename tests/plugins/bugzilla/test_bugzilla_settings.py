"""The tables of the Bugzilla plugin, and the feeds that come of them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pulseshim import PollSource, Settings, SettingsError
from pulseshim.settings import AccountSettings, BrokerSettings, StoreSettings
from pulseshim_plugins import bugzilla as plugin
from pulseshim_plugins.bugzilla_check import problems
from pulseshim_plugins.bugzilla_options import read_servers
from tests.bugzilla_server import BugzillaServer, Request


def with_table(table: dict[str, Any]) -> Settings:
    """Give settings with that table of the plugin."""
    broker = BrokerSettings(accounts={"bugs": AccountSettings(user="bugs")})
    return Settings(plugins={"bugzilla": table}, broker=broker, store=StoreSettings(keep="7d"))


def test_a_server_needs_a_url_and_nothing_else() -> None:
    """Everything else has a default."""
    (feed,) = plugin.pulseshim_feeds(
        with_table({"servers": {"main": {"url": "https://bugzilla.example.org/"}}})
    )

    assert (feed.name, feed.exchange.name, feed.account) == (
        "bugzilla.main",
        "exchange/bugzilla/simple",
        None,
    )
    assert isinstance(feed.source, PollSource)
    assert (feed.source.every, feed.source.jitter) == (timedelta(minutes=1), 0)


def test_what_servers_share_stands_once_and_a_server_overrides_it() -> None:
    """Schedule, exchange and account of each server may be its own."""
    table = {
        "every": "10m",
        "jitter": "5s",
        "changes": True,
        "account": "bugs",
        "servers": {
            "one": {"url": "https://one.example.org"},
            "two": {
                "url": "https://two.example.org",
                "cron": "*/5 * * * *",
                "changes": False,
                "account": "bugs",
            },
        },
    }

    feeds = list(plugin.pulseshim_feeds(with_table(table)))

    assert [(feed.name, feed.exchange.name, feed.account) for feed in feeds] == [
        ("bugzilla.one", "exchange/bugzilla/simple", None),
        ("bugzilla.one", "exchange/bugzilla/", None),
        ("bugzilla.two", "exchange/bugzilla/simple", "bugs"),
    ]
    schedules = [
        (feed.source.every, feed.source.jitter) for feed in feeds if isinstance(feed.source, PollSource)
    ]
    assert schedules == [(timedelta(minutes=10), 5), (timedelta(minutes=10), 5), ("*/5 * * * *", 5)]
    assert feeds[0].source is feeds[1].source


def test_the_identity_of_a_server_is_its_url_and_not_its_name() -> None:
    """The table may be renamed, and the scheme may change, without a bug being announced again."""
    table = {"servers": {"a": {"url": "http://bugs.org/bz/"}, "b": {"url": "https://bugs.org/bz"}}}

    assert {server.identity for server in read_servers(with_table(table))} == {"bugs.org/bz"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"url": "bugzilla.example.org"}, "servers.main.url is no URL"),
        ({"url": "ftp://bugzilla.example.org"}, "servers.main.url is no URL"),
        ({"url": "https://u:p@bugzilla.example.org"}, "has a user in it"),
        ({"url": "https://b.org", "evry": "1m"}, "servers.main.evry is no setting: did you mean every"),
        ({"url": "https://b.org", "every": "often"}, "servers.main.every is wrong: expected a time"),
        ({"url": "https://b.org", "protocol": "soap"}, "servers.main.protocol is wrong"),
        ({"url": "https://b.org", "every": "1m", "cron": "* * * * *"}, "has both every and cron"),
        ({"url": "https://b.org", "api_key_file": "/no/such/file"}, "/no/such/file cannot be read"),
        ({"url": "https://b.org", "user": "me"}, "user is given without a key"),
        ({"url": "https://b.org", "overlap": "7d"}, "overlap is not shorter than store.keep"),
        ({"url": "https://b.org", "every": "0s"}, "servers.main.every is less than a second"),
        ({"url": "https://b.org", "every": "999ms"}, "servers.main.every is less than a second"),
        ({"url": "https://b.org", "every": "99999999999w"}, "servers.main.every is more than a year"),
        ({"url": "https://b.org", "jitter": "53w"}, "servers.main.jitter is more than a year"),
        ({"url": "https://b.org", "overlap": "999999w"}, "servers.main.overlap is more than a year"),
        ({"url": "https://b.org", "timeout": "0s"}, "servers.main.timeout is no time"),
        ({"url": "https://b.org", "timeout": "25h"}, "servers.main.timeout is more than a day"),
        ({"url": "https://b.org", "account": "nobody"}, "account names no account"),
        ({}, "servers.main.url is not set"),
    ],
)
def test_a_wrong_setting_is_named_with_its_table(table: dict[str, Any], message: str) -> None:
    """Which key of which server, and what was expected."""
    with pytest.raises(SettingsError) as wrong:
        read_servers(with_table({"servers": {"main": table}}))

    assert message in str(wrong.value)


def test_a_wrong_setting_that_servers_share_is_named() -> None:
    """It stands in the plugin's own table."""
    with pytest.raises(SettingsError, match="overlp is no setting"):
        read_servers(with_table({"overlp": "1m", "servers": {}}))


def test_a_key_is_not_sent_in_the_clear(key_file: str) -> None:
    """But to this machine, or where somebody says that it may be."""
    table = {"url": "http://bugzilla.example.org", "api_key_file": key_file}

    with pytest.raises(SettingsError, match="not encrypted"):
        read_servers(with_table({"servers": {"main": table}}))
    assert read_servers(with_table({"servers": {"main": {**table, "allow_plaintext": True}}}))


@pytest.mark.parametrize("content", ["", "two words", "ümlaut", "-----BEGIN\nPRIVATE KEY-----"])
def test_a_file_that_holds_no_key_is_named_and_not_shown(
    content: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Somebody may have named another secret by mistake."""
    path = tmp_path_factory.mktemp("key") / "file"
    path.write_text(content)

    with pytest.raises(SettingsError) as wrong:
        read_servers(with_table({"servers": {"main": {"url": "https://b.org", "api_key_file": str(path)}}}))

    assert str(path) in str(wrong.value)
    assert not content or content not in str(wrong.value)


def test_check_finds_nothing_where_nothing_is_wrong(bugzilla: BugzillaServer, key_file: str) -> None:
    """Server, key and clock are as they should be."""
    bugzilla.now = datetime.now(UTC)
    table = {"url": bugzilla.url, "api_key_file": key_file, "user": "poller@bugzilla.test"}

    assert list(problems(with_table({"servers": {"main": table}}), datetime.now(UTC))) == []


def test_check_names_key_outage_and_clock(
    make_bugzilla: Callable[..., BugzillaServer], key_file: str
) -> None:
    """Each server is asked, though one before it fails."""
    late, strange = make_bugzilla(), make_bugzilla()
    strange.users = {}
    table = {
        "api_key_file": key_file,
        "servers": {
            "down": {"url": "http://127.0.0.1:1"},
            "late": {"url": late.url},
            "strange": {"url": strange.url},
        },
    }

    found = list(problems(with_table(table), late.now + timedelta(hours=2)))

    assert [(problem.subject, problem.severity) for problem in found] == [
        ("bugzilla.down", "error"),
        ("bugzilla.late", "warning"),
        ("settings", "error"),
    ]
    assert "differs from ours by 7200 s" in found[1].text
    assert "refuses the key" in found[2].text


@pytest.mark.parametrize(
    ("maximum", "bugs", "has_offset", "text"),
    [
        (5, 10, True, "shows no more than 5 at once"),
        (1, 2, True, "shows no more than 1 at once"),
        (5, 10, False, "takes no notice of offset"),
        (10_000, 10, False, "takes no notice of offset"),
        (10_000, 10, True, ""),
        (10, 10, True, ""),
        (200, 300, True, ""),
    ],
)
def test_check_names_a_server_that_pages_badly(
    make_bugzilla: Callable[..., BugzillaServer], maximum: int, bugs: int, has_offset: bool, text: str
) -> None:
    """Polls cope with it as far as they can: it is a warning."""
    server = make_bugzilla(maximum=maximum)
    server.file(count=bugs)
    server.pass_time()
    if not has_offset:
        server.before = lambda request: request.query.pop("offset", None) and None

    found = list(problems(with_table({"servers": {"main": {"url": server.url}}}), server.now))

    assert [problem.severity for problem in found] == ["warning"] * bool(text)
    assert text in "".join(problem.text for problem in found)


def test_check_takes_a_bug_that_changes_meanwhile_for_no_weakness(bugzilla: BugzillaServer) -> None:
    """It stands behind what was shown just now."""
    bugzilla.file(count=2)
    bugzilla.pass_time()

    def file_one(request: Request) -> None:
        if "offset" in request.query:
            bugzilla.file()

    bugzilla.before = file_one

    assert list(problems(with_table({"servers": {"main": {"url": bugzilla.url}}}), bugzilla.now)) == []


def test_a_plugin_without_a_server_says_so() -> None:
    """It is on, and polls nothing."""
    (problem,) = problems(with_table({}), datetime.now(UTC))

    assert "no server" in problem.text
