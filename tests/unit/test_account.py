"""Accounts: settings and environment become what a connection takes, or an error with its remedy."""

import traceback
from pathlib import Path

import msgspec
import pytest
import trustme

from pulseshim.account import Endpoint, endpoint, resolve
from pulseshim.errors import SettingsError
from pulseshim.settings import AccountSettings, BrokerSettings

REMOTE = "amqps://pulse.example.org/"


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    """Give a file with a password and a newline, as an editor leaves it."""
    path = tmp_path / "password"
    path.write_text("secret\n")
    return str(path)


def test_without_settings_everything_stays_in_memory() -> None:
    """The embedded default needs no user and no broker."""
    account = resolve(BrokerSettings(), "", {})

    assert account.in_memory


def test_on_this_host_guest_is_the_default() -> None:
    """RabbitMQ's own default user is right on the loopback interface."""
    account = resolve(BrokerSettings(url="amqp://localhost/"), "", {})

    assert (account.user, account.password) == ("guest", "guest")


def test_elsewhere_a_user_must_be_named() -> None:
    """A remote broker is never tried as guest."""
    with pytest.raises(SettingsError, match=r"broker\.user is not set: name the user"):
        resolve(BrokerSettings(url=REMOTE), "", {})


def test_the_password_is_the_file_without_its_last_newline(password_file: str) -> None:
    """An editor's newline is no part of a password."""
    account = resolve(BrokerSettings(url=REMOTE, user="hgpushes", password_file=password_file), "", {})

    assert account.password == "secret"


def test_the_password_may_come_from_the_environment() -> None:
    """Without a file, $PULSESHIM_BROKER_PASSWORD is taken."""
    settings = BrokerSettings(url=REMOTE, user="hgpushes")

    account = resolve(settings, "", {"PULSESHIM_BROKER_PASSWORD": "from-environment"})

    assert account.password == "from-environment"


def test_a_named_account_has_a_variable_of_its_own() -> None:
    """The variable carries the account's name in capitals, - and . as _."""
    settings = BrokerSettings(url=REMOTE, user="x", accounts={"git-pushes.v1": AccountSettings(user="git")})
    environ = {"PULSESHIM_BROKER_PASSWORD": "wrong", "PULSESHIM_BROKER_PASSWORD_GIT_PUSHES_V1": "right"}

    account = resolve(settings, "git-pushes.v1", environ)

    assert (account.name, account.user, account.password) == ("git-pushes.v1", "git", "right")


def test_a_named_account_shares_url_authority_and_patience() -> None:
    """What belongs to the broker is said once."""
    settings = BrokerSettings(
        url=REMOTE, connect_timeout="250ms", heartbeat="1m", accounts={"code": AccountSettings(user="code")}
    )

    account = resolve(settings, "code", {"PULSESHIM_BROKER_PASSWORD_CODE": "x"})

    assert (account.urls, account.connect_timeout, account.heartbeat) == ((REMOTE,), 0.25, 60.0)


def test_a_named_user_never_gets_the_password_of_another(password_file: str) -> None:
    """The broker's password is not tried for the account's user."""
    settings = BrokerSettings(
        url=REMOTE, user="x", password_file=password_file, accounts={"code": AccountSettings(user="code")}
    )

    with pytest.raises(
        SettingsError, match=r"broker\.accounts\.code\.user is code, and there is no password"
    ):
        resolve(settings, "code", {"PULSESHIM_BROKER_PASSWORD": "secret"})


def test_an_account_that_names_nothing_is_the_one_of_the_broker(password_file: str) -> None:
    """An empty table is the broker's own user under another name."""
    settings = BrokerSettings(
        url=REMOTE, user="x", password_file=password_file, accounts={"code": AccountSettings()}
    )

    account = resolve(settings, "code", {})

    assert (account.user, account.password) == ("x", "secret")


def test_an_account_that_is_not_configured_is_named() -> None:
    """A misspelt account is an error with the table to add."""
    with pytest.raises(
        SettingsError, match=r"there is no account cod: add a table \[broker\.accounts\.cod\]"
    ):
        resolve(BrokerSettings(), "cod", {})


def test_a_password_is_in_no_representation() -> None:
    """Logs and tracebacks show accounts, never passwords."""
    account = resolve(BrokerSettings(url=REMOTE, user="x"), "", {"PULSESHIM_BROKER_PASSWORD": "secret"})

    assert "secret" not in repr(account)


@pytest.mark.parametrize("url", ["amqps://user:secret@pulse.example.org/", "amqp://user@localhost/"])
def test_a_url_with_a_login_in_it_is_refused_without_showing_it(url: str) -> None:
    """Passwords do not belong into URLs, and the error does not repeat them."""
    with pytest.raises(SettingsError, match=r"use broker\.user and broker\.password_file") as raised:
        resolve(BrokerSettings(url=url), "", {})

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://localhost/", r"broker\.url has the scheme redis"),
        ("pulse.example.org", r"broker\.url has the scheme \(none\)"),
        ("amqp:///vhost", r"broker\.url is more or less than"),
        ("amqps://pulse.example.org/?heartbeat=1", r"broker\.url is more or less than"),
        ("amqps://pulse.example.org:port/", r"broker\.url is no URL"),
        ([], r"broker\.url is empty"),
        (["memory://", REMOTE], r"broker\.url names memory:// beside others"),
        ("amqp://pulse.example.org/", r"broker\.url names pulse\.example\.org by amqp://"),
        ("amqp://localhost.example.org/", r"by amqp://"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused(url: str | list[str], problem: str) -> None:
    """Each wrong URL has its own sentence; the exit code is that of settings."""
    with pytest.raises(SettingsError, match=problem) as raised:
        resolve(BrokerSettings(url=url, user="x"), "", {"PULSESHIM_BROKER_PASSWORD": "x"})

    assert (raised.value.exit_code, bool(raised.value.remedy)) == (2, True)


def test_a_password_that_ends_the_host_of_a_url_is_not_shown() -> None:
    """What follows a colon is taken for a port there, and is none."""
    url = "amqps://bot:secret#1@pulse.example.org/"

    with pytest.raises(SettingsError, match=r"broker\.url is no URL") as raised:
        resolve(BrokerSettings(url=url), "", {})

    assert "secret" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.0.1", "[::1]"])
def test_plain_amqp_is_right_on_the_loopback_interface(host: str) -> None:
    """Nobody can listen between a process and another on the same host."""
    account = resolve(BrokerSettings(url=f"amqp://{host}/"), "", {})

    assert account.user == "guest"


def test_plain_amqp_to_elsewhere_can_be_allowed() -> None:
    """Whoever knows that the network is safe says so."""
    settings = BrokerSettings(url="amqp://pulse.example.org/", user="x", allow_plaintext=True)

    account = resolve(settings, "", {"PULSESHIM_BROKER_PASSWORD": "x"})

    assert account.urls == ("amqp://pulse.example.org/",)


def test_a_user_without_a_password_is_refused_with_both_ways_to_give_one() -> None:
    """The remedy names the key and the variable."""
    with pytest.raises(SettingsError, match=r"broker\.password_file, or set \$PULSESHIM_BROKER_PASSWORD"):
        resolve(BrokerSettings(url="amqp://localhost/", user="x"), "", {})


def test_a_password_without_a_user_is_refused() -> None:
    """Guest is not combined with a password that is meant for somebody else."""
    with pytest.raises(SettingsError, match=r"broker\.user is not set"):
        resolve(BrokerSettings(url="amqp://localhost/"), "", {"PULSESHIM_BROKER_PASSWORD": "x"})


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "No such file"), ("\n", "is empty"), (b"\xff", "cannot be read")]
)
def test_a_password_file_that_holds_no_password_is_named(
    tmp_path: Path, content: str | bytes | None, problem: str
) -> None:
    """Missing, empty and binary files are told apart, with key and path."""
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    with pytest.raises(SettingsError, match=rf"broker\.password_file: {path} .*{problem}"):
        resolve(BrokerSettings(url=REMOTE, user="x", password_file=str(path)), "", {})


def test_an_authority_file_that_is_missing_or_no_certificate_is_named(tmp_path: Path) -> None:
    """A typo in ca_file is found before anything is connected."""
    broken = tmp_path / "ca.pem"
    broken.write_text("nothing")
    environ = {"PULSESHIM_BROKER_PASSWORD": "x"}

    with pytest.raises(SettingsError, match=r"broker\.ca_file: /nowhere cannot be read \(No such file"):
        resolve(BrokerSettings(url=REMOTE, user="x", ca_file="/nowhere"), "", environ)
    with pytest.raises(SettingsError, match=r"broker\.ca_file: .* cannot be used"):
        resolve(BrokerSettings(url=REMOTE, user="x", ca_file=str(broken)), "", environ)


def test_a_certificate_and_a_key_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    """The first connection is too late to find this out."""
    authority = trustme.CA()
    first, second = authority.issue_cert("first"), authority.issue_cert("second")
    first.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    second.private_key_pem.write_to_path(tmp_path / "key.pem")
    settings = BrokerSettings(
        url=REMOTE,
        client_certificate=str(tmp_path / "certificate.pem"),
        client_key=str(tmp_path / "key.pem"),
    )

    with pytest.raises(
        SettingsError, match=r"broker\.client_certificate: .* cannot be used \(key values mism"
    ):
        resolve(settings, "", {})


@pytest.mark.parametrize("key", ["client_certificate", "client_key"])
def test_a_client_certificate_or_key_that_cannot_be_read_is_named(tmp_path: Path, key: str) -> None:
    """It is said which of the two files is missing."""
    authority = trustme.CA()
    authority.issue_cert("us").private_key_and_cert_chain_pem.write_to_path(tmp_path / "us.pem")
    paths = {"client_certificate": str(tmp_path / "us.pem"), "client_key": "", key: "/nowhere"}

    with pytest.raises(SettingsError, match=rf"broker\.{key}: /nowhere cannot be read"):
        resolve(msgspec.structs.replace(BrokerSettings(url=REMOTE), **paths), "", {})


def test_a_client_certificate_alone_is_a_login(tmp_path: Path) -> None:
    """Without user and password the certificate says who we are."""
    trustme.CA().issue_cert("us").private_key_and_cert_chain_pem.write_to_path(tmp_path / "us.pem")

    account = resolve(BrokerSettings(url=REMOTE, client_certificate=str(tmp_path / "us.pem")), "", {})

    assert (account.user, account.password) == ("", "")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://localhost", Endpoint("localhost", 5672, tls=False, vhost="/")),
        ("amqps://pulse.example.org/", Endpoint("pulse.example.org", 5671, tls=True, vhost="/")),
        ("amqp://[::1]:1234//", Endpoint("::1", 1234, tls=False, vhost="/")),
        ("amqp://localhost/%2Fpulse", Endpoint("localhost", 5672, tls=False, vhost="/pulse")),
        ("amqp://localhost/pulse", Endpoint("localhost", 5672, tls=False, vhost="pulse")),
    ],
)
def test_the_path_of_a_url_is_the_virtual_host(url: str, expected: Endpoint) -> None:
    """Ports and virtual hosts are read as Kombu and RabbitMQ's documentation have them."""
    assert endpoint(url) == expected
