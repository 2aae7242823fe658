"""The table `[plugins.hg]`: what is announced where, and what cannot be used is named."""

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pulseshim import Settings, SettingsError
from pulseshim_plugins.hg import pulseshim_feeds
from pulseshim_plugins.hg_transaction import email
from tests.hg_consumers import Email

if TYPE_CHECKING:
    from tests.plugins.hg.conftest import HgServer


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"repositories": {"srv/hg": "https://h.org"}}, "no absolute path"),
        ({"repositories": {"/srv/hg": "h.org"}}, "no URL"),
        ({"user_suffix": "example.org"}, "makes no e-mail address"),
        ({"user_suffix": "@localhost"}, "makes no e-mail address"),
        ({"feeds": ["v3"]}, "feeds"),
        ({"exchanges": {"v3": "exchange/x/y"}}, "v3"),
        ({"push_json_url": "https://h.org/{repo}"}, "push_json_url has an unknown field"),
        ({"push_full_json_url": "https://h.org/{path"}, "is no template"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(table: dict[str, Any], words: str) -> None:
    """A wrong option is an error that names file, key and what was expected."""
    settings = Settings(plugins={"hg": table}, origin="/etc/pulseshim/pulseshim.toml")

    with pytest.raises(SettingsError, match=words) as raised:
        list(pulseshim_feeds(settings))

    assert "/etc/pulseshim/pulseshim.toml: plugins.hg." in str(raised.value)


@pytest.mark.parametrize("name", ["v1", "v2", "code"])
def test_each_feed_can_be_alone(name: str) -> None:
    """What is not named is off; the exchange is the one of the table, the account the one of the feed."""
    table = {"feeds": [name], "exchanges": {name: "exchange/me/hg"}, "accounts": {name: "me"}}

    (feed,) = pulseshim_feeds(Settings(plugins={"hg": table}))

    assert (feed.name, feed.exchange.name, feed.account) == ("hg", "exchange/me/hg", "me")


def test_urls_of_pushes_come_from_templates(server: "HgServer") -> None:
    """Number, the number before it, and the place of the repository are filled in."""
    server.options = {
        "push_json_url": "{repo_url}/p/{before}/{push_id}",
        "push_full_json_url": "https://hg.example.org/f?{path}",
    }
    clone = server.clone(server.init("group"))
    clone.commit("a", file="a")

    clone("push", "-q")

    (entry,) = server.the_one().v1[0]["pushlog_pushes"]
    assert entry["push_json_url"] == "https://hg.example.org/group/p/0/1"
    assert entry["push_full_json_url"] == "https://hg.example.org/f?group"


@pytest.mark.parametrize(
    ("user", "address"),
    [
        ("ada.b+c@example.org", "ada.b+c@example.org"),
        ("Ada <ada@sub.x-y.example.org>", "ada@sub.x-y.example.org"),
        (".john@example.org", "john.example.org@x.example"),
        ("john.@example.org", "john.example.org@x.example"),
        ("John <john..doe@example.org>", "John.john.doe.example.org@x.example"),
        ("j@-x.org", "j.-x.org@x.example"),
        ("j@x-.org", "j.x-.org@x.example"),
        ("j@example..org", "j.example.org@x.example"),
        ("j@example", "j.example@x.example"),
        ("<>", "unknown@x.example"),
    ],
)
def test_what_is_no_address_to_a_strict_reader_is_made_one(user: str, address: str) -> None:
    """Consumers check it as JSON Schema's `email`: no dot at an end or beside another, no such hyphen."""
    assert email(user, "@x.example") == address
    assert msgspec.convert(address, Email) == address
