"""The options of the Bugzilla plugin: one table a server, and what they share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from pulseshim import Duration, Settings, SettingsError, seconds
from pulseshim_plugins.web_address import check_address, is_loopback

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_KEY = re.compile(r"[!-~]{1,200}")
_LEAST_EVERY = 1.0
_LONGEST_TIMEOUT = 86400.0
_LONGEST_TIME = 366 * 86400.0


class BugzillaServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table `[plugins.bugzilla.servers.<name>]`. All but `url` may stand in `[plugins.bugzilla]`, too."""

    #: Where Bugzilla is: `https://bugzilla.example.org`. Its API is found below it.
    url: str
    #: A file that holds an API key, and nothing else. Empty: anonymous.
    api_key_file: str = ""
    #: The login name that the key belongs to. Where it is given, a key of somebody else is refused.
    user: str = ""
    #: The time between two polls: a second at least.
    every: Duration = "1m"
    #: In place of `every`: a cron expression of five fields, in UTC.
    cron: str = ""
    #: Each poll begins late at random by up to this.
    jitter: Duration = "0s"
    #: How far behind the last poll the next one looks, for what the server shows late.
    overlap: Duration = "5m"
    #: `xmlrpc` is for servers before 5.0, which have no REST.
    protocol: Literal["rest", "xmlrpc"] = "rest"
    #: The exchange for id and time of each bug that changed.
    exchange: str = "exchange/bugzilla/simple"
    #: Tell what changed in public bugs, too.
    changes: bool = False
    #: The exchange for that.
    changes_exchange: str = "exchange/bugzilla/"
    #: The account to publish as, where it is not the plugin's.
    account: str | None = None
    #: How long the server may be silent: a day at most. An answer may take ten times as long in all.
    timeout: Duration = "30s"
    #: The authorities (PEM) that may sign the server's certificate. Empty: those that are known.
    ca_file: str = ""
    #: Allow a key to be sent by http:// to a host that is not this one: it can then be read on the way.
    allow_plaintext: bool = False


class BugzillaOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table `[plugins.bugzilla]`: the servers, and what is the same for all of them."""

    #: The servers by their names, which stand in status, logs and metrics.
    servers: dict[str, dict[str, Any]] = {}
    #: For every server whose table does not say otherwise.
    api_key_file: str | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    user: str | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    every: Duration | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    cron: str | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    jitter: Duration | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    overlap: Duration | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    protocol: Literal["rest", "xmlrpc"] | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    exchange: str | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    changes: bool | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    changes_exchange: str | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    timeout: Duration | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    ca_file: str | UnsetType = UNSET
    #: For every server whose table does not say otherwise.
    allow_plaintext: bool | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Server:
    """A server and its settings; `where` names its table, `identity` is its part of each event's id."""

    name: str
    where: str
    options: BugzillaServer

    @property
    def url(self) -> str:
        """Give the URL without its last slash."""
        return self.options.url.rstrip("/")

    @property
    def identity(self) -> str:
        """Give the URL without scheme and last slash: the same, however the table is named."""
        return self.url.partition("://")[2]

    @property
    def schedule(self) -> timedelta | str:
        """Give when it is polled."""
        return self.options.cron or timedelta(seconds=seconds(self.options.every))

    def read_key(self) -> str:
        """Give the API key; empty where none is configured. Raises `SettingsError`, without it."""
        path = self.options.api_key_file
        if not path:
            return ""
        try:
            key = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SettingsError(
                f"{self.where}.api_key_file: {path} cannot be read ({reason})",
                "name a file that holds the key alone, readable for the account of pulseshim",
            ) from None
        if not _KEY.fullmatch(key):
            raise SettingsError(
                f"{self.where}.api_key_file: what {path} holds is no API key",
                "put the key in it, and nothing else",
            )
        return key


def read_servers(settings: Settings) -> list[Server]:
    """Give the servers, each with its own settings over the shared ones. Raises `SettingsError`."""
    shared = settings.options("bugzilla", BugzillaOptions)
    common = {k: v for k, v in settings.plugins["bugzilla"].items() if k not in ("servers", "account")}
    servers = []
    for name, own in shared.servers.items():
        where = f"{settings.origin or 'settings'}: plugins.bugzilla.servers.{name}"
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{where} is no name of a server", "use letters, digits, - and _")
        servers.append(Server(name, where, _options(settings, name, common, own)))
        _check(servers[-1], settings, own)
    return servers


def _options(
    settings: Settings, name: str, common: Mapping[str, Any], own: Mapping[str, Any]
) -> BugzillaServer:
    if "every" in own:
        # A server's own schedule of either kind replaces the shared one.
        common = {k: v for k, v in common.items() if k != "cron"}
    table = {**common, **own}
    # `options` takes a key `account` for its own: it is the plugin's there, and the server's here.
    account = table.pop("account", None)
    path = f"bugzilla.servers.{name}"
    overlaid = frozenset({path} if "bugzilla" in settings.overlaid else ())
    plain = msgspec.structs.replace(settings, plugins={path: table}, overlaid=overlaid)
    options = plain.options(path, BugzillaServer)
    return msgspec.structs.replace(options, account=settings.account(path, account) if account else None)


def _check(server: Server, settings: Settings, own: Mapping[str, Any]) -> None:
    options, where = server.options, server.where
    if "every" in own and "cron" in own:
        raise SettingsError(f"{where} has both every and cron", "remove one of them")
    parts = check_address(options.url, f"{where}.url", "https://bugzilla.example.org", "api_key_file")
    unsafe = parts.scheme == "http" and not is_loopback(parts.hostname or "")
    if options.api_key_file and unsafe and not options.allow_plaintext:
        raise SettingsError(
            f"{where}.url is not encrypted: the API key could be read on the way",
            "use https://, or set allow_plaintext = true",
        )
    if options.user and not options.api_key_file:
        raise SettingsError(f"{where}.user is given without a key", "name api_key_file, too, or remove user")
    _check_times(where, options)
    if seconds(options.overlap) >= seconds(settings.store.keep):
        raise SettingsError(
            f"{where}.overlap is not shorter than store.keep: what is forgotten would be announced again",
            "shorten the one or lengthen the other",
        )
    server.read_key()


def _check_times(where: str, options: BugzillaServer) -> None:
    if seconds(options.every) < _LEAST_EVERY:
        raise SettingsError(f"{where}.every is less than a second", 'write for example "1m"')
    if not seconds(options.timeout):
        raise SettingsError(f"{where}.timeout is no time", 'write for example "30s"')
    if seconds(options.timeout) > _LONGEST_TIMEOUT:
        raise SettingsError(f"{where}.timeout is more than a day", 'write for example "30s"')
    for key in ("every", "jitter", "overlap"):
        if seconds(getattr(options, key)) > _LONGEST_TIME:
            raise SettingsError(f"{where}.{key} is more than a year", "shorten it")
