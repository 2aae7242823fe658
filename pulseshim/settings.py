"""Settings: `pulseshim.toml` and the environment, read strictly."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from pulseshim.conversion import convert
from pulseshim.errors import SettingsError
from pulseshim.settings_file import ForeignFile, find_file

T = TypeVar("T")

Duration = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d|w)$(?!\n)")]
"""A time: a number and one of ms, s, m, h, d, w."""

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_ENVIRONMENT = "PULSESHIM_"
_PASSWORD = "PULSESHIM_BROKER_PASSWORD"  # noqa: S105 - the name of the variable


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class StoreSettings(_Table, frozen=True):
    """Where events are kept until they are published, and for a while afterwards."""

    #: Holds spool/ and outbox.sqlite3. Empty: the user's state directory.
    directory: str = ""
    #: How long confirmed messages stay for `replay`.
    keep: Duration = "7d"
    #: Who may record: the spool's owner, its group, or every local user.
    recorders: Literal["owner", "group", "everyone"] = "everyone"
    #: A spool file over this size is set aside.
    largest_invocation: Annotated[int, msgspec.Meta(gt=0)] = 64 * 1024 * 1024


class AccountSettings(_Table, frozen=True):
    """An account at the broker, by its name in `[broker.accounts.<name>]`."""

    #: Who logs in. Empty: `guest` at a broker on this host, else an error.
    user: str = ""
    #: A file that holds the password, and nothing else.
    password_file: str = ""
    #: A certificate (PEM) to show to the broker. Without a `user`, it says who we are.
    client_certificate: str = ""
    #: Its key (PEM, no passphrase). Empty: it stands in the file of the certificate.
    client_key: str = ""


class BrokerSettings(_Table, frozen=True):
    """The broker, and how patient to be with it."""

    #: One URL, or several to fail over between. `memory://`: everything stays in this process.
    url: str | list[str] = "memory://"
    #: Who logs in. Empty: `guest` at a broker on this host, else an error.
    user: str = ""
    #: A file that holds the password, and nothing else.
    password_file: str = ""
    #: The authorities (PEM) that may sign the broker's certificate. Empty: the system's.
    ca_file: str = ""
    #: A certificate (PEM) to show to the broker. Without a `user`, it says who we are.
    client_certificate: str = ""
    #: Its key (PEM, no passphrase). Empty: it stands in the file of the certificate.
    client_key: str = ""
    #: Allow amqp:// to a host that is not this one: passwords and messages can then be read on the way.
    allow_plaintext: bool = False
    #: How long connecting, and each answer to a declaration, may take.
    connect_timeout: Duration = "5s"
    #: How often both sides show that they are alive.
    heartbeat: Duration = "30s"
    #: How long the broker may take to confirm before the connection is held to be dead.
    confirm_timeout: Duration = "30s"
    #: How many messages may be on their way at once.
    window: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    #: Further accounts, each in a table of its own: see below.
    accounts: dict[str, AccountSettings] = {}


class ProvisionSettings(_Table, frozen=True):
    """What `provision` works with: RabbitMQ's management API, and the limits it sets."""

    #: The management API. Empty: `https` and port 15671 at the broker's host; `http` and 15672 on this one.
    url: str = ""
    #: An administrator of the broker. Empty: `guest` at a broker on this host, else an error.
    user: str = ""
    #: A file that holds the administrator's password, and nothing else.
    password_file: str = ""
    #: The authorities (PEM) that may sign the API's certificate. Empty: those of `[broker]`.
    ca_file: str = ""
    #: How many connections each user may have.
    connections: Annotated[int, msgspec.Meta(ge=1)] = 20
    #: How many channels each user may have.
    channels: Annotated[int, msgspec.Meta(ge=1)] = 200
    #: How many queues there may be in the virtual host.
    queues: Annotated[int, msgspec.Meta(ge=1)] = 1000
    #: How many messages may wait in a queue `queue/…`: the oldest make room for those that come.
    queue_messages: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    #: How many bytes of messages may wait in a queue, likewise.
    queue_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1024 * 1024 * 1024
    #: A queue that nobody has used for this long is deleted.
    queue_expires: Duration = "14d"


class LogSettings(_Table, frozen=True):
    """What is logged to standard error, one line an event."""

    #: The least severe events that are logged.
    level: Literal["debug", "info", "warning", "error"] = "info"
    #: One line of `name=value` pairs, or one JSON object a line.
    format: Literal["text", "json"] = "text"


class MetricsSettings(_Table, frozen=True):
    """Prometheus metrics at /metrics, and /live and /ready. No port: off."""

    #: The address to listen on.
    host: str = "127.0.0.1"
    #: The port; 0: any that is free, named in the log.
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None


class Settings(_Table, frozen=True):
    """All settings. A plugin reads its own table with `options`."""

    store: StoreSettings = StoreSettings()
    broker: BrokerSettings = BrokerSettings()
    provision: ProvisionSettings = ProvisionSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    plugins: dict[str, dict[str, Any]] = {}
    #: Where the settings were read from; empty where there was no file.
    origin: str = ""
    #: The plugins whose tables the environment has added to: all that it gives is text.
    overlaid: frozenset[str] = frozenset()

    def options(self, plugin: str, kind: type[T]) -> T:
        """Give a plugin's own table as the type it declares, a `msgspec.Struct`.

        Raises `SettingsError`, naming file and key, where the table does not fit it.
        """
        table = {k: v for k, v in self.plugins.get(plugin, {}).items() if k != "account"}
        strict = plugin not in self.overlaid
        origin = self.origin if strict else f"{self.origin or 'settings'} with the environment"
        return convert(table, kind, origin, ("plugins", plugin), strict=strict)

    def account(self, plugin: str, own: str | None = None) -> str:
        """Give the name of the account a plugin publishes as; empty: the one of `[broker]`.

        `own` is that of one feed of the plugin. Raises `SettingsError` for an account that is not configured.
        """
        name = self.plugins.get(plugin, {}).get("account", "") if own is None else own
        if not isinstance(name, str) or (name and name not in self.broker.accounts):
            raise SettingsError(
                f"{self.origin or 'settings'}: plugins.{plugin}.account names no account ({name!r})",
                f"add a table [broker.accounts.{name or 'NAME'}] or remove the key",
            )
        return name

    @property
    def directory(self) -> Path:
        """Give the directory of the store."""
        return Path(self.store.directory or default_store(os.environ))


def seconds(duration: str) -> float:
    """Give a duration such as `30s` or `7d` in seconds."""
    number = duration.rstrip("smhdw")
    return float(number) * _SECONDS[duration[len(number) :]]


def default_store(environ: Mapping[str, str]) -> str:
    """Give the user's state directory for pulseshim, as the XDG base directory rules have it."""
    state = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "pulseshim")


def load(config: str | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings file, if there is one, and lay the environment over it.

    Raises `SettingsError` for a file that cannot be read, an unknown key, a wrong type or a wrong value, and
    for one of the current directory that others can write.
    """
    try:
        path = find_file(config, environ)
    except ForeignFile as error:
        raise SettingsError(*error.args) from error
    tables = read_file(path) if path else {}
    origin = os.path.abspath(path) if path else ""
    for ours in ("origin", "overlaid"):
        if ours in tables:
            raise SettingsError(f"{origin}: {ours} is no setting", "remove it")
    from_file = convert(tables, Settings, origin)
    variables = sorted(name for name in environ if _is_setting(name))
    if not variables:
        return msgspec.structs.replace(from_file, origin=origin)
    for name in variables:
        _overlay(tables, name, environ[name])
    settings = convert(tables, Settings, "environment", strict=False)
    overlaid = frozenset(_path(name)[1] for name in variables if _path(name)[0] == "plugins")
    return msgspec.structs.replace(settings, origin=origin, overlaid=overlaid)


def read_file(path: str) -> dict[str, Any]:
    """Give the tables of a TOML file."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(
            f"the settings file {path} cannot be read ({error.strerror})",
            "correct --config, $PULSESHIM_CONFIG or the file's permissions",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML ({error})", "correct the file there") from error


def _is_setting(variable: str) -> bool:
    """Say whether a variable of the environment is a setting. An account's name may hold `__`, too."""
    return variable.startswith(_ENVIRONMENT) and "__" in variable and not variable.startswith(_PASSWORD)


def _path(variable: str) -> list[str]:
    return variable.removeprefix(_ENVIRONMENT).lower().split("__")


def _overlay(tables: dict[str, Any], name: str, text: str) -> None:
    """Put the value of an environment variable where its name says: PULSESHIM_BROKER__URL is broker.url."""
    *parents, key = _path(name)
    for parent in parents:
        tables = tables.setdefault(parent, {})
        if not isinstance(tables, dict):
            raise SettingsError(f"${name}: {parent} is no table", "see docs/reference/settings.md")
    tables[key] = _value(text)


def _value(text: str) -> Any:
    """Give a list or a table written in TOML as such, anything else as text (numbers are converted later)."""
    if text.startswith(("[", "{")):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text
