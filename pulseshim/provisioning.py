"""Provisioning: what there is at the broker, and the steps of a plan taken there."""

import os
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pulseshim.grant import Grant
from pulseshim.inventory import Found, User
from pulseshim.password import (
    SALT_BYTES,
    PasswordHash,
    existing,
    hashed,
    is_open,
    prepare,
    reader,
    settle,
    standing,
)
from pulseshim.plan import Step

if TYPE_CHECKING:
    from pulseshim.management import Management  # what it imports may be missing, `provision` says so

Random = Callable[[int], bytes]
"""Gives as many random bytes as it is asked for."""
Owner = tuple[int, int] | None
"""User and group, by their numbers, that a new password file is for; None: who writes it."""
_PASSWORD_BYTES = 32


def find(broker: "Management", vhost: str, grants: Sequence[Grant], *, owner: Owner, store: str) -> Found:
    """Give what there is: at the broker as far as a plan looks at it, and in the files of passwords.

    New files are for `owner`, who is that of the store; None where there is no store.
    """
    users = {row["name"]: _user(row) for row in broker.get("users")}
    has_vhost = bool(broker.get("vhosts", vhost))
    there = {grant.user: users.get(grant.user) for grant in grants}
    return Found(
        administrator=broker.user,
        has_vhost=has_vhost,
        users=users,
        permissions={
            row["user"]: {what: row[what] for what in ("configure", "write", "read")}
            for row in (broker.get("vhosts", vhost, "permissions") if has_vhost else [])
        },
        topic_permissions={
            (row["user"], row["exchange"]): {what: row[what] for what in ("write", "read")}
            for row in (broker.get("vhosts", vhost, "topic-permissions") if has_vhost else [])
        },
        user_limits={row["user"]: row["value"] for row in broker.get("user-limits")},
        vhost_limits=next((row["value"] for row in broker.get("vhost-limits", vhost)), {}),
        policies={row["name"]: row for row in broker.get("operator-policies", vhost)},
        passwords={
            grant.user: standing(grant.password_file, grant.password, user.hash if user else None)
            for grant, user in zip(grants, there.values(), strict=True)
        },
        open_files=frozenset(grant.password_file for grant in grants if is_open(grant.password_file)),
        readers={
            grant.user: reader(grant.password_file, owner)
            for grant in grants
            # A consumer's file is for who provisions to hand over.
            if owner or not grant.prefixes or os.path.exists(grant.password_file)
        },
        missing_store="" if owner else store,
    )


def _user(row: dict[str, Any]) -> User:
    """Give a user as the API tells of it: before RabbitMQ 3.9, its tags were one text."""
    tags = row.get("tags") or ()
    parted = tags.split(",") if isinstance(tags, str) else tags
    known = PasswordHash(row.get("password_hash") or "", row.get("hashing_algorithm") or "")
    return User(tags=tuple(parted), hash=known)


def take(
    step: Step,
    broker: "Management",
    grants: Sequence[Grant],
    *,
    random: Random = secrets.token_bytes,
    owner: Owner = None,
) -> None:
    """Take a step of a plan. Raises the errors of `Management`, and `CommandFailed` for a file.

    A new password is on disk beside its file before the broker is told, and in the file's place after that:
    whoever is killed in between, the next provisioning finds both and ends what was begun, and a publisher
    that connects in between tries both.
    """
    for method, path, content in step.requests:
        broker.call(method, path, content)
    if not step.login:
        return
    grant = next(grant for grant in grants if grant.user == step.user)
    if step.login == "new":
        new = _new_password(random)
        prepare(grant.password_file, new, owner)
        _tell(broker, step.user, new, random)
    elif step.login == "given":
        _tell(broker, step.user, existing(grant.password_file) or grant.password, random)
    if step.login != "given":
        settle(grant.password_file)


def _new_password(random: Random) -> str:
    return random(_PASSWORD_BYTES).hex()


def _tell(broker: "Management", user: str, password: str, random: Random) -> None:
    """Set a user's password, and that it has no tags. The broker gets the hash alone."""
    known = hashed(password, random(SALT_BYTES))
    content = {"password_hash": known.text, "hashing_algorithm": known.algorithm, "tags": ""}
    broker.call("PUT", ("users", user), content)
