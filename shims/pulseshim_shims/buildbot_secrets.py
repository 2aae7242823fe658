"""What of a master's data is not for everybody: properties by their names, logins where URLs have them."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

HIDDEN = (
    "*passw*",
    "*passphrase*",
    "*secret*",
    "*token*",
    "*credential*",
    "*authorization*",
    "*api*key*",
    "*access*key*",
    "*private*key*",
    "*[_-]key",
)
"""Patterns of the names of properties that are not published, where no others are set."""

# It begins behind the scheme: a search for whole URLs would take the square of the length of a long text.
_LOGIN = re.compile(r"(?<=://)(?:(?<!ssh://)[^\s/?#]*@|[^\s/?#:@]*:[^\s/?#]*@)", re.IGNORECASE)


def is_hidden(name: str, hide: Sequence[str]) -> bool:
    """Say whether one of the patterns fits a name; case does not matter."""
    return any(fnmatchcase(name.casefold(), pattern.casefold()) for pattern in hide)


def without_logins(value: Any) -> Any:
    """Give a value with no user and password in the URLs of its texts, at any depth, keys included.

    `https://user:password@host/` becomes `https://host/`, and `https://token@host/` does too. `ssh://git@host`
    stays: a user without a password is where one logs in by a key, and no secret.
    """
    if isinstance(value, str):
        return _LOGIN.sub("", value) if "://" in value else value
    if isinstance(value, msgspec.Struct):
        parts = {name: getattr(value, name) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **{name: without_logins(part) for name, part in parts.items()})
    if isinstance(value, Mapping):
        return {without_logins(key): without_logins(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(without_logins, value))
    return value
