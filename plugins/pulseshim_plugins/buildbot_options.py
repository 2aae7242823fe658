"""The options of the buildbot plugin: one table a master, over what all masters share."""

import os
import re
from typing import Annotated, Any, Literal

import msgspec

from pulseshim import Duration, Settings, SettingsError, seconds
from pulseshim_plugins.trust import check_users
from pulseshim_plugins.web_address import check_address, is_loopback
from pulseshim_shims.buildbot import MAX_BYTES
from pulseshim_shims.buildbot_secrets import HIDDEN

_LEAST_SECONDS = 1.0
_MASTER = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = re.compile(r"[A-Za-z0-9-]+")
_SECRETS = {"password_file": re.compile(r"[^\x00-\x1f\x7f]+"), "token_file": re.compile(r"[ -~]+")}


class SharedOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What stands in `[plugins.buildbot]` for all masters, and may stand in a master's own table."""

    #: The exchange for what happens at the master.
    exchange: str = "exchange/build/"
    #: Who logs in at the master. Empty: nobody, unless there is a token.
    user: str = ""
    #: A file that holds the user's password, and nothing else.
    password_file: str = ""
    #: A file that holds a token, which goes into a header of each request.
    token_file: str = ""
    #: The header for the token; in `Authorization`, `Bearer` is put before a token that is one word.
    token_header: str = "Authorization"  # noqa: S105 - the name of a header is no secret
    #: The authorities (PEM) that may sign the master's certificate. Empty: the system's.
    ca_file: str = ""
    #: Send password or token to a host that is not this one without TLS: both can be read on the way.
    allow_plaintext: bool = False
    #: How the master's events are heard: the websocket, else SSE; one of them alone; or not at all.
    events: Literal["auto", "websocket", "sse", "none"] = "auto"
    #: How often the master's state is read again though its events are heard: each second at most.
    every: Duration = "30s"
    #: How long the master may take to answer.
    timeout: Duration = "30s"
    #: How often a master that answers is said to: each second at most. `0s`: never.
    heartbeat: Duration = "15m"
    #: Announce the steps of builds, too.
    steps: bool = False
    #: Patterns of names that are never published, of properties and inside them; case does not matter.
    hide_properties: tuple[str, ...] = HIDDEN
    #: The limit for a message: its encoded envelope, in bytes.
    max_bytes: Annotated[int, msgspec.Meta(ge=16384)] = MAX_BYTES


class MasterOptions(SharedOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table `[plugins.buildbot.masters.<name>]`: where a master is, and what is different with it."""

    #: The address of its web interface.
    url: str
    #: The account to publish as. Not given: that of the plugin.
    account: str | None = None
    #: Users, by name or number, who may record its builds: the account that the master runs as.
    trusted_users: tuple[str, ...] = ()


class BuildbotOptions(SharedOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table `[plugins.buildbot]`: the masters, and what they share."""

    #: The masters, each in a table of its own.
    masters: dict[str, MasterOptions] = {}


def masters(settings: Settings) -> dict[str, MasterOptions]:
    """Give the options of each master, what is shared included. Raises `SettingsError`."""
    options = settings.options("buildbot", BuildbotOptions)
    where = f"{settings.origin or 'settings'}: plugins.buildbot.masters"
    found = {}
    for name, own in options.masters.items():
        given: Any = settings.plugins["buildbot"]["masters"][name]
        shared = {
            field.name: getattr(options, field.name)
            for field in msgspec.structs.fields(SharedOptions)
            if field.name not in given
        }
        found[name] = msgspec.structs.replace(own, **shared)
        _check(f"{where}.{name}", name, found[name])
    return found


def server(url: str) -> str:
    """Give what names a master in identities: its URL without scheme and trailing slash."""
    return url.partition("://")[2].rstrip("/")


def base(url: str) -> str:
    """Give the URL of a master with one slash at its end."""
    return url.rstrip("/") + "/"


def secret(file: str, setting: Literal["password_file", "token_file"]) -> str:
    """Give what a file with a password or token holds. Raises `SettingsError`, without it."""
    if not file:
        return ""
    try:
        with open(file, encoding="utf-8") as opened:
            found = opened.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(
            f"{setting} {file} cannot be read ({reason})", "correct the setting or the file's permissions"
        ) from None
    if not _SECRETS[setting].fullmatch(found):
        kind = setting.removesuffix("_file")
        raise SettingsError(
            f"{setting}: what {file} holds is no {kind}", f"put the {kind} in it, and nothing else"
        )
    return found


def _check(where: str, name: str, options: MasterOptions) -> None:
    """Raise `SettingsError` for what cannot be used."""
    if not _MASTER.fullmatch(name):
        raise SettingsError(f"{where} is no name of a master", "use letters, digits, - and _")
    url = check_address(options.url, f"{where}.url", "https://host/path/", "user and password_file")
    if options.user and options.token_file:
        raise SettingsError(f"{where} has both user and token_file", "remove one of them")
    if bool(options.user) != bool(options.password_file):
        raise SettingsError(
            f"{where} needs user and password_file, or neither", "add the one that is missing"
        )
    secrets = options.user or options.token_file
    if secrets and url.scheme == "http" and not (is_loopback(url.hostname or "") or options.allow_plaintext):
        raise SettingsError(
            f"{where} would send a password or token without TLS",
            "use https, or set allow_plaintext = true",
        )
    if not _HEADER.fullmatch(options.token_header):
        raise SettingsError(f"{where}.token_header is no name of a header", "use letters, digits and -")
    if options.ca_file and not os.path.isfile(options.ca_file):
        raise SettingsError(f"{where}.ca_file: there is no file {options.ca_file}", "correct the path")
    _check_times(where, options)
    check_users(options.trusted_users, f"{where}.trusted_users")


def _check_times(where: str, options: MasterOptions) -> None:
    if seconds(options.every) < _LEAST_SECONDS:
        raise SettingsError(f"{where}.every is less than a second", 'write for example "30s"')
    if 0 < seconds(options.heartbeat) < _LEAST_SECONDS:
        raise SettingsError(
            f"{where}.heartbeat is less than a second", 'write for example "15m", or "0s" for none'
        )
    if not seconds(options.timeout):
        raise SettingsError(f"{where}.timeout is no time", 'write for example "30s"')
