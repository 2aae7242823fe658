"""Addresses of servers that are read, in the settings of both who read such."""

from typing import Any

import pytest

from pulseshim import Settings, SettingsError
from pulseshim_plugins.bugzilla_options import read_servers
from pulseshim_plugins.buildbot_options import masters
from pulseshim_plugins.web_address import is_loopback


def refusals(url: str) -> list[str]:
    """Give what each plugin says of an address."""
    told = []
    for name, tables, read in (("bugzilla", "servers", read_servers), ("buildbot", "masters", masters)):
        options: Any = {tables: {"main": {"url": url}}}
        try:
            read(Settings(plugins={name: options}))
        except SettingsError as error:
            told.append(str(error))
    return told


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cr3t.example.org",
        "ftp://s3cr3t.example.org",
        "https://",
        "https:///s3cr3t",
        "https://:8080/s3cr3t",
        "https://[::1",
        "https://::1]/s3cr3t",
        "https://[::1]x/s3cr3t",
        "https://[s3cr3t]/",
        "https://host:99999/",
        "https://host:0/",
        "https://host:s3cr3t/",
        "https://host:80:80/",
        "https://ho st/s3cr3t",
        "https://host/s3cr3t here",
        "https://host/\ts3cr3t",
        "https://host/s3cr3t\n",
        "https://host..org/",
        f"https://{'a' * 64}.org/",
        "https://ho<st/",
        "https://host/?key=s3cr3t",
        "https://host/#s3cr3t",
        "https://user:s3cr3t#@host/",
    ],
)
def test_what_is_no_address_of_a_server_is_named_and_not_shown(url: str) -> None:
    """The setting is told: there may be a password in what it is."""
    told = refusals(url)

    assert "servers.main.url is no URL of a server" in told[0]
    assert "masters.main.url is no URL of a server" in told[1]
    assert "s3cr3t" not in "".join(told)


@pytest.mark.parametrize("url", ["https://u:s3cr3t@host/", "https://s3cr3t@host/", "https://:s3cr3t@host/"])
def test_a_password_in_an_address_is_not_shown(url: str) -> None:
    """Where else it belongs is told."""
    told = refusals(url)

    assert ["has a user in it" in each for each in told] == [True, True]
    assert "use api_key_file" in told[0]
    assert "use user and password_file" in told[1]
    assert "s3cr3t" not in "".join(told)


@pytest.mark.parametrize(
    "url",
    [
        "https://host",
        "http://host:8010/",
        "https://b_c.example.org./buildbot/~a@b/",
        "https://[2001:db8::1]:8010/",
        "https://[fe80::1%25eth0]/",
        "https://192.0.2.1/",
        "https://büro.example.org/ü/",
    ],
)
def test_an_address_of_a_server_is_taken(url: str) -> None:
    """Names, numbers, ports and paths."""
    assert refusals(url) == []


def test_this_host_is_known_by_its_addresses_and_not_by_how_a_name_begins() -> None:
    """What goes to it may go in the clear."""
    hosts = [
        "localhost",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "127.0.0.1.example.org",
        "localhost.example.org",
        "",
    ]

    assert [is_loopback(host) for host in hosts] == [True] * 4 + [False] * 3
