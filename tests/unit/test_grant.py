"""Grants: from the settings, who owns what; what cannot be is an error that names the setting."""

import re

import pytest

from pulseshim.errors import SettingsError
from pulseshim.grant import Grant, by_certificate, consumer, publishers
from pulseshim.settings import AccountSettings, BrokerSettings

GIT = BrokerSettings(url="amqps://pulse.example.org/", user="gitpushes", password_file="/etc/git")


def with_account(**own: str) -> BrokerSettings:
    """Give settings with a second account, `hg`."""
    return BrokerSettings(
        url=GIT.url, user=GIT.user, password_file=GIT.password_file, accounts={"hg": AccountSettings(**own)}
    )


def test_a_user_owns_its_name_and_the_prefixes_of_its_feeds() -> None:
    """One account may own several, as Mercurial's does; one that nobody publishes as owns its name."""
    settings = with_account(user="hg", password_file="/etc/hg")
    owned = {"exchange/hgpushes/v1": "hg", "exchange/hgpushes/v2": "hg", "exchange/code/": "hg"}

    grants = publishers(settings, owned, {})

    assert [(grant.user, grant.prefixes) for grant in grants] == [
        ("gitpushes", ("gitpushes",)),
        ("hg", ("hg", "code", "hgpushes")),
    ]


def test_a_name_that_anothers_feeds_publish_below_is_the_others() -> None:
    """Who publishes to exchange/gitpushes/… owns it, whoever is called gitpushes."""
    settings = with_account(user="hg", password_file="/etc/hg")

    git, hg = publishers(settings, {"exchange/gitpushes/v1": "hg", "exchange/other/v1": ""}, {})

    assert git.prefixes == ("other",)
    assert "gitpushes" in hg.prefixes


def test_an_account_that_names_nobody_is_the_one_of_the_broker() -> None:
    """Its exchanges are added to those of `[broker]`'s own user."""
    (grant,) = publishers(with_account(), {"exchange/code/": "hg"}, {})

    assert (grant.user, grant.prefixes) == ("gitpushes", ("gitpushes", "code"))


def test_a_password_of_the_environment_is_taken() -> None:
    """Where no file is named; it is in no text of the grant."""
    settings = with_account(user="hg")

    _, grant = publishers(settings, {}, {"PULSESHIM_BROKER_PASSWORD_HG": "hidden"})

    assert (grant.password, grant.source) == ("hidden", "$PULSESHIM_BROKER_PASSWORD_HG")
    assert "hidden" not in repr(grant)


@pytest.mark.parametrize(
    ("own", "owned", "words"),
    [
        ({"user": "hg"}, {}, r"broker\.accounts\.hg\.password_file is not set"),
        ({"password_file": "/etc/hg"}, {}, r"broker\.accounts\.hg\.user is not set"),
        ({"user": "guest", "password_file": "/etc/hg"}, {}, "guest"),
        ({"user": "a/b", "password_file": "/etc/hg"}, {}, "'a/b' cannot stand in the names"),
        ({"user": "..", "password_file": "/etc/hg"}, {}, "cannot stand"),
        ({"user": "a\nb", "password_file": "/etc/hg"}, {}, "cannot stand"),
        ({"user": "x" * 201, "password_file": "/etc/hg"}, {}, "200 bytes"),
        ({"user": "gitpushes", "password_file": "/etc/hg"}, {}, "both the password of gitpushes"),
        (
            {"user": "hg", "password_file": "/etc/hg"},
            {"exchange/code/a": "hg", "exchange/code/b": ""},
            r"both gitpushes and hg publish to exchange/code/",
        ),
    ],
)
def test_what_cannot_be_is_an_error(own: dict[str, str], owned: dict[str, str], words: str) -> None:
    """No user, no place for a password, a name that reaches further, a prefix of two owners."""
    with pytest.raises(SettingsError, match=words):
        publishers(with_account(**own), owned, {})


def test_an_account_with_a_certificate_is_left_to_the_administrator() -> None:
    """Who it is, the broker knows alone: it gets no grant, and is named."""
    settings = with_account(client_certificate="/etc/hg.pem")

    assert [grant.user for grant in publishers(settings, {"exchange/code/": "hg"}, {})] == ["gitpushes"]
    assert list(by_certificate(settings, {"exchange/code/": "hg"}, {})) == ["broker.accounts.hg"]


def test_a_consumer_owns_no_exchange_and_is_no_publisher() -> None:
    """Its pattern has queues alone; the name of one that publishes is refused."""
    grant = consumer("dashboard", "/etc/consumers", ["gitpushes"])

    assert grant.permissions["write"] == "^(queue/dashboard/.*)"
    assert grant.password_file == "/etc/consumers/dashboard"
    with pytest.raises(SettingsError, match="gitpushes publishes"):
        consumer("gitpushes", "/etc/consumers", ["gitpushes"])


@pytest.mark.parametrize("name", ["a.b", "(", "a|", "[x", "a*", "^a$", "ü+", "a\\E.*"])
def test_a_pattern_fits_its_own_names_alone(name: str) -> None:
    """Whatever signs are in a name, only what begins with it and a slash is reached."""
    grant = Grant(user=name, prefixes=(name,))

    assert re.search(grant.own, f"exchange/{name}/v1")
    assert re.search(grant.own, f"queue/{name}/q")
    for other in (f"exchange/{name}2/v1", "exchange/axb/v1", f"xexchange/{name}/v1", "queue/other/q"):
        assert not re.search(grant.own, other)
