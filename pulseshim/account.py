"""An account at the broker: where it is, who we are there, and how patient we are with it."""

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, unquote, urlsplit

from pulseshim.errors import SettingsError
from pulseshim.password import in_file
from pulseshim.settings import AccountSettings, BrokerSettings, seconds

_PORTS = {"amqp": 5672, "amqps": 5671}
_PASSWORD = "PULSESHIM_BROKER_PASSWORD"  # noqa: S105 - the name of a variable
_NO_PATH = ("", "/")
GUEST = "guest"
"""The user that every new broker has, its name being the password; it logs in on the broker's host alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account with everything that a connection takes; times are in seconds.

    Without a `user`, the client certificate says who we are (SASL EXTERNAL). `urls` are all `amqp`/`amqps`,
    in the order they are tried, or the one `memory://`. Where a `password_file` is named, the password may
    have been renewed there since.
    """

    name: str
    urls: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    connect_timeout: float = 5.0
    heartbeat: float = 30.0
    confirm_timeout: float = 30.0

    @property
    def in_memory(self) -> bool:
        """Say whether the broker is the one inside this process."""
        return self.urls[0].startswith("memory:")

    @property
    def table(self) -> str:
        """Give the settings table that a remedy names."""
        return f"broker.accounts.{self.name}" if self.name else "broker"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of the broker, taken from its URL."""

    host: str
    port: int
    tls: bool
    vhost: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def endpoint(url: str) -> Endpoint:
    """Give the address that an `amqp` or `amqps` URL names. No path, or `/`, is the virtual host `/`."""
    parts = urlsplit(url)
    vhost = "/" if parts.path in _NO_PATH else unquote(parts.path[1:])
    port = parts.port or _PORTS[parts.scheme]
    return Endpoint(host=parts.hostname or "", port=port, tls=parts.scheme == "amqps", vhost=vhost)


def resolve(settings: BrokerSettings, name: str, environ: Mapping[str, str]) -> Account:
    """Give an account by its name, `""` being the one of `[broker]` itself.

    An account has its own user, password and certificate, and takes what it does not name from `[broker]`.
    Raises `SettingsError`, naming the key and its remedy, for whatever would keep it from connecting.
    """
    urls = broker_urls(settings)
    own = _own_settings(settings, name)
    account = Account(
        name=name,
        urls=urls,
        ca_file=settings.ca_file,
        client_certificate=own.client_certificate or settings.client_certificate,
        client_key=own.client_key if own.client_certificate else settings.client_key,
        connect_timeout=seconds(settings.connect_timeout),
        heartbeat=seconds(settings.heartbeat),
        confirm_timeout=seconds(settings.confirm_timeout),
        **_login(settings, own, name, environ),
    )
    if account.in_memory:
        return account
    check_certificates(account)
    return _with_login(account)


def broker_urls(settings: BrokerSettings) -> tuple[str, ...]:
    """Give the broker's URLs. Raises `SettingsError` where one is not what it must be."""
    urls = (settings.url,) if isinstance(settings.url, str) else tuple(settings.url)
    if not urls:
        raise SettingsError("broker.url is empty", "name a broker, or remove the key to stay in memory")
    parts = [_split(url) for url in urls]
    if "memory" in {part.scheme for part in parts} and len(parts) > 1:
        raise SettingsError(
            "broker.url names memory:// beside others", "name either memory:// alone or brokers"
        )
    for part in parts:
        plain = part.scheme == "amqp" and not is_loopback(part.hostname or "")
        if plain and not settings.allow_plaintext:
            raise SettingsError(
                f"broker.url names {part.hostname} by amqp://, where others can read passwords and messages",
                "use amqps://, or set broker.allow_plaintext = true",
            )
    return urls


def _split(url: str) -> SplitResult:
    """Give the parts of a URL. It is never quoted in an error: there may be a password in it."""
    try:
        parts = urlsplit(url)
        port_is_sound = parts.port != 0
    except ValueError:
        raise SettingsError("broker.url is no URL", "write amqps://HOST:PORT/VHOST") from None
    if "@" in parts.netloc:
        raise SettingsError(
            "broker.url has a user or a password in it, where logs and process lists would show it",
            "use broker.user and broker.password_file",
        )
    if parts.scheme == "memory":
        return parts
    if parts.scheme not in _PORTS:
        raise SettingsError(
            f"broker.url has the scheme {parts.scheme or '(none)'}", "use amqps://, amqp:// or memory://"
        )
    if not parts.hostname or not port_is_sound or parts.query or parts.fragment:
        raise SettingsError(
            "broker.url is more or less than scheme, host, port and virtual host",
            "write amqps://HOST:PORT/VHOST; everything else has a key of its own in [broker]",
        )
    return parts


def is_loopback(host: str) -> bool:
    """Say whether a host is this one: an address of the loopback interface, or `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own_settings(settings: BrokerSettings, name: str) -> AccountSettings:
    if not name:
        return AccountSettings(user=settings.user, password_file=settings.password_file)
    if name not in settings.accounts:
        raise SettingsError(f"there is no account {name}", f"add a table [broker.accounts.{name}]")
    return settings.accounts[name]


def _login(
    settings: BrokerSettings, own: AccountSettings, name: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Give user and password. They belong together: a user of one's own never gets another's password."""
    table = f"broker.accounts.{name}" if name else "broker"
    password = secret(own.password_file, f"{table}.password_file", environ.get(password_variable(name), ""))
    if not name or own.user or password or own.client_certificate:
        return {"user": own.user, "password": password, "password_file": own.password_file}
    shared = AccountSettings(user=settings.user, password_file=settings.password_file)
    return _login(settings, shared, "", environ)


def secret(path: str, key: str, fallback: str) -> str:
    """Give the password in the file that a setting names, or the fallback. Raises `SettingsError`."""
    if not path:
        return fallback
    try:
        password = in_file(path)
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"{key}: {path} cannot be read ({_reason(error)})", "correct the path or the file's permissions"
        ) from error
    if not password:
        raise SettingsError(f"{key}: {path} is empty", "write the password into it")
    return password


def _with_login(account: Account) -> Account:
    """Give the account as it will log in: on this host, and there alone, it may be guest."""
    if account.user and not account.password:
        raise SettingsError(
            f"{account.table}.user is {account.user}, and there is no password for it",
            f"name a file in {account.table}.password_file, or set ${password_variable(account.name)}",
        )
    if account.user or (account.client_certificate and not account.password):
        return account
    all_here = all(is_loopback(endpoint(url).host) for url in account.urls)
    if account.password or not all_here:
        raise SettingsError(f"{account.table}.user is not set", "name the user that publishes there")
    return replace(account, user=GUEST, password=GUEST)


def password_variable(name: str) -> str:
    """Give the environment variable that may hold the password of an account."""
    return f"{_PASSWORD}_{re.sub('[-.]', '_', name).upper()}" if name else _PASSWORD


def check_certificates(account: Account) -> None:
    """Load each file once, so that what is wrong with it is said before anything is connected.

    Raises `SettingsError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if account.ca_file:
        try:
            context.load_verify_locations(account.ca_file)
        except OSError as error:
            raise _unusable("broker.ca_file", account.ca_file, error) from error
    if account.client_key and not account.client_certificate:
        raise SettingsError(
            f"{account.table}.client_key has no certificate", f"set {account.table}.client_certificate"
        )
    if account.client_certificate:
        for key, path in (("certificate", account.client_certificate), ("key", account.client_key)):
            _check_readable(f"{account.table}.client_{key}", path)
        try:
            # A key with a passphrase would ask for it on the terminal.
            context.load_cert_chain(account.client_certificate, account.client_key or None, password="")
        except OSError as error:
            key = f"{account.table}.client_certificate"
            raise _unusable(key, account.client_certificate, error) from error


def _check_readable(key: str, path: str) -> None:
    try:
        if path:
            with open(path, "rb"):
                pass
    except OSError as error:
        raise _unusable(key, path, error) from error


def _unusable(key: str, path: str, error: OSError) -> SettingsError:
    if isinstance(error, ssl.SSLError):
        return SettingsError(
            f"{key}: {path} cannot be used ({_reason(error)})",
            "it must be PEM, a key without a passphrase, and certificate and key must belong together",
        )
    return SettingsError(
        f"{key}: {path} cannot be read ({_reason(error)})", "correct the path or the file's permissions"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason.lower().replace("_", " ") if error.reason else "no PEM, or no key in it"
    return getattr(error, "strerror", None) or str(error)
