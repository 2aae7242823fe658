"""The options of the git plugin."""

import os
import string
from typing import Annotated

import msgspec

from pulseshim import Duration, SettingsError
from pulseshim_plugins.git_url import is_url
from pulseshim_plugins.trust import check_users
from pulseshim_shims.git import MAX_BYTES

_PLACES = {"repo_url", "path", "push_id"}


class GitOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table `[plugins.git]`: whose pushes are announced, where, and how large a message may be."""

    #: Path prefix → public URL prefix. The longest prefix of a repository's git directory wins.
    repositories: dict[str, str] = {}
    #: Users, by name or number, whose word is taken about every repository and for its public URL.
    trusted_users: tuple[str, ...] = ()
    #: The exchange that pushes are announced on.
    exchange: str = "exchange/gitpushes/v1"
    #: The limit for a message: its encoded envelope, in bytes.
    max_bytes: Annotated[int, msgspec.Meta(ge=16384)] = MAX_BYTES
    #: How long git may take to read one push.
    timeout: Duration = "10m"
    #: Templates with {repo_url}, {path} and {push_id}; empty: none.
    push_json_url: str = ""
    #: As `push_json_url`, for the field of that name.
    push_full_json_url: str = ""


def check_options(options: GitOptions, origin: str) -> None:
    """Raise `SettingsError` for a prefix, a URL or a template that cannot be used."""
    where = f"{origin or 'settings'}: plugins.git"
    check_users(options.trusted_users, f"{where}.trusted_users")
    for prefix, url in options.repositories.items():
        if not os.path.isabs(prefix):
            raise SettingsError(f"{where}.repositories: {prefix!r} is no absolute path", "begin it with /")
        if not is_url(url):
            raise SettingsError(f"{where}.repositories: {url!r} is no URL", "write https://host/path")
    for name in ("push_json_url", "push_full_json_url"):
        _check_template(f"{where}.{name}", getattr(options, name))


def _check_template(where: str, template: str) -> None:
    try:
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise SettingsError(
            f"{where} is no template ({error})", "write a brace that is meant as {{ or }}"
        ) from None
    for _, name, format_spec, conversion in fields:
        if name not in _PLACES or format_spec or conversion:
            raise SettingsError(
                f"{where} has an unknown field {{{name}}}", "use {repo_url}, {path} and {push_id}"
            )
