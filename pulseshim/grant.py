"""What each user of the broker shall be able to do: with its own queues and exchanges, and with others'."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pulseshim.account import GUEST, password_variable
from pulseshim.errors import SettingsError
from pulseshim.settings import AccountSettings, BrokerSettings

_NAME = re.compile(r"[^/\x00-\x20\x7f]+")
_NAME_BYTES = 200
_NO_NAMES = (".", "..")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A user, the exchanges `exchange/<prefix>/…` that are its own, and where its password is.

    Without prefixes it is a consumer. `password` is one that the environment gives; `source` is the setting
    or the option that names the file or the variable.
    """

    user: str
    prefixes: tuple[str, ...] = ()
    password_file: str = ""
    password: str = field(default="", repr=False)
    source: str = ""

    @property
    def own(self) -> str:
        """Give the pattern of what the user may configure and write: its own queues and exchanges."""
        names = [f"queue/{re.escape(self.user)}/.*"]
        names += [f"exchange/{re.escape(prefix)}/.*" for prefix in self.prefixes]
        return f"^({'|'.join(names)})"

    @property
    def readable(self) -> str:
        """Give the pattern of what the user may read: its own queues and all exchanges."""
        return f"^(queue/{re.escape(self.user)}/.*|exchange/.*)"

    @property
    def permissions(self) -> dict[str, str]:
        """Give the permissions as the broker takes them: patterns of names, as PCRE has them."""
        return {"configure": self.own, "write": self.own, "read": self.readable}


def publishers(broker: BrokerSettings, owned: Mapping[str, str], environ: Mapping[str, str]) -> list[Grant]:
    """Give the grants of the users that publish; `owned` is exchange → account, "" being `[broker]`'s own.

    A user owns the prefixes of the exchanges that its feeds publish to, and its own name where nobody else's
    feeds do. Raises `SettingsError` where two users would own one prefix, or a user lacks what it takes.
    """
    grants: dict[str, Grant] = {}
    names = {*broker.accounts, *owned.values(), *([""] if broker.user else [])}
    for name in sorted(names):
        said_by, own = _login(broker, name, environ)
        if not own.user and own.client_certificate:
            continue  # see `by_certificate`
        prefixes = {exchange.split("/")[1] for exchange, account in owned.items() if account == name}
        _merge(grants, _grant(said_by, own, prefixes, environ))
    owners: dict[str, str] = {}
    for grant in grants.values():
        for prefix in grant.prefixes:
            other = owners.setdefault(prefix, grant.user)
            if other != grant.user:
                raise SettingsError(
                    f"both {other} and {grant.user} publish to exchange/{prefix}/…, which is one account's",
                    "let the feeds that publish there name the same account",
                )
    return [
        grant if owners.get(grant.user, grant.user) != grant.user else _with_own_name(grant)
        for grant in grants.values()
    ]


def by_certificate(
    broker: BrokerSettings, owned: Mapping[str, str], environ: Mapping[str, str]
) -> Iterator[str]:
    """Give the tables whose user is known to the broker alone: they log in with a certificate."""
    names = sorted({*broker.accounts, *owned.values()})
    for name, own in dict(_login(broker, name, environ) for name in names).items():
        if not own.user and own.client_certificate:
            yield _table(name)


def consumer(name: str, directory: str, taken: Collection[str]) -> Grant:
    """Give the grant of a consumer, whose password goes to a file of its name. Raises `SettingsError`."""
    _check(name, "--consumer")
    if name in taken:
        raise SettingsError(f"{name} publishes, so it is no consumer", "give --consumer another name")
    return Grant(user=name, password_file=f"{directory}/{name}", source="--passwords")


def _table(name: str) -> str:
    return f"broker.accounts.{name}" if name else "broker"


def _grant(name: str, own: AccountSettings, prefixes: set[str], environ: Mapping[str, str]) -> Grant:
    table, variable = _table(name), password_variable(name)
    if not own.user:
        raise SettingsError(f"{table}.user is not set", "name the user that publishes there")
    _check(own.user, f"{table}.user")
    password = "" if own.password_file else environ.get(variable, "")
    if not own.password_file and not password:
        raise SettingsError(
            f"{table}.password_file is not set", "name the file that the password shall be written to"
        )
    return Grant(
        user=own.user,
        prefixes=tuple(sorted(prefixes)),
        password_file=own.password_file,
        password=password,
        source=f"{table}.password_file" if own.password_file else f"${variable}",
    )


def _check(name: str, source: str) -> None:
    if name == GUEST:
        raise SettingsError(
            f"{source} is guest, whose password everybody knows", "name a user that is not there by itself"
        )
    if not _NAME.fullmatch(name) or name in _NO_NAMES or len(name.encode()) > _NAME_BYTES:
        raise SettingsError(
            f"{source}: {name!r} cannot stand in the names of queues and exchanges",
            f"use a name without spaces and slashes, in at most {_NAME_BYTES} bytes",
        )


def _login(broker: BrokerSettings, name: str, environ: Mapping[str, str]) -> tuple[str, AccountSettings]:
    """Give the account that says who an account is, and what it says; "" where that is `[broker]`."""
    shared = AccountSettings(
        user=broker.user, password_file=broker.password_file, client_certificate=broker.client_certificate
    )
    own = broker.accounts[name] if name else shared
    said = own.user or own.password_file or own.client_certificate or environ.get(password_variable(name))
    return (name, own) if name and said else ("", shared)


def _merge(grants: dict[str, Grant], grant: Grant) -> None:
    """Add a grant to those of the other users, or to what its user has by another table."""
    there = grants.setdefault(grant.user, grant)
    if (there.password_file, there.password) != (grant.password_file, grant.password):
        raise SettingsError(
            f"{there.source} and {grant.source} are both the password of {grant.user}", "name one file for it"
        )
    prefixes = tuple(sorted({*there.prefixes, *grant.prefixes}))
    grants[grant.user] = replace(there, prefixes=prefixes)


def _with_own_name(grant: Grant) -> Grant:
    return replace(grant, prefixes=(grant.user, *(each for each in grant.prefixes if each != grant.user)))
