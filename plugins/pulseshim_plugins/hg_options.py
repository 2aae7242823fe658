"""The options of the hg plugin."""

from typing import Annotated, Literal

import msgspec

from pulseshim import Duration, SettingsError
from pulseshim_plugins.repositories import check_repositories, check_template
from pulseshim_plugins.trust import check_users
from pulseshim_shims.hg import MAX_BYTES

FeedName = Literal["v1", "v2", "code"]

_PLACES = ("repo_url", "path", "push_id", "before")


class HgExchanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The exchange of each feed."""

    #: Pushes, as `hg.pushes`.
    v1: str = "exchange/hgpushes/v1"
    #: Whatever happens, in messages of several types.
    v2: str = "exchange/hgpushes/v2"
    #: Pushes and changesets, as `hg.push` and `hg.commit`.
    code: str = "exchange/code/"


class HgOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table `[plugins.hg]`."""

    #: Path prefix → public URL prefix. The longest prefix of a repository's directory wins.
    repositories: dict[str, str] = {}
    #: Users, by name or number, whose word is taken about every repository and for its public URL.
    trusted_users: tuple[str, ...] = ()
    #: Makes an e-mail address of a user's name that is none.
    user_suffix: str = "@noreply.invalid"
    #: What is announced. What is not named is off.
    feeds: tuple[FeedName, ...] = ("v1", "v2", "code")
    #: The exchange of each feed: see below.
    exchanges: HgExchanges = HgExchanges()
    #: Feed → the account that it is published as, where that is not `account`.
    accounts: dict[FeedName, str] = {}
    #: The limit for a message: its encoded envelope, in bytes.
    max_bytes: Annotated[int, msgspec.Meta(ge=16384)] = MAX_BYTES
    #: How long Mercurial may take to read one transaction.
    timeout: Duration = "10m"
    #: How long a command server stays when its repository is quiet.
    idle: Duration = "30s"
    #: Templates with {repo_url}, {path}, {push_id} and {before}, the number before it; empty: none.
    push_json_url: str = "{repo_url}/json-pushes?version=2&startID={before}&endID={push_id}"
    #: As `push_json_url`, for the field of that name.
    push_full_json_url: str = "{repo_url}/json-pushes?version=2&full=1&startID={before}&endID={push_id}"


def check_options(options: HgOptions, origin: str) -> None:
    """Raise `SettingsError` for a prefix, a URL, a suffix or a template that cannot be used."""
    where = f"{origin or 'settings'}: plugins.hg"
    check_users(options.trusted_users, f"{where}.trusted_users")
    check_repositories(f"{where}.repositories", options.repositories)
    host = options.user_suffix.removeprefix("@")
    if host == options.user_suffix or "." not in host.strip(".") or not host.isascii():
        remedy = "write @ and the name of a host, such as @example.org"
        raise SettingsError(f"{where}.user_suffix: {options.user_suffix!r} makes no e-mail address", remedy)
    for name in ("push_json_url", "push_full_json_url"):
        check_template(f"{where}.{name}", getattr(options, name), _PLACES)
