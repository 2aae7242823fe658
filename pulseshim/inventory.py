"""What shall be at the broker and what is there, as far as provisioning looks at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pulseshim.grant import Grant
from pulseshim.password import PasswordHash, Standing
from pulseshim.settings import ProvisionSettings

POLICY = "pulseshim"
"""The name of the operator policy that limits queues."""
PRIORITY = 0
"""The priority that it shall have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What shall be: a virtual host, the grants of users there, the exchanges that are theirs, the limits."""

    vhost: str
    grants: Sequence[Grant]
    exchanges: Sequence[str]
    limits: ProvisionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user that the broker has. `hash` is what it keeps of the password."""

    tags: tuple[str, ...] = ()
    hash: PasswordHash = field(default=PasswordHash(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is: at the broker, in the virtual host if it is there, and in the password files.

    All by user, but the operator policies, by their names, and the topic permissions, by user and exchange.
    `administrator` is who asked. `readers` says in words whose a new password file would be, where that is
    known: where it is not, `missing_store` is the store that would tell.
    """

    administrator: str
    has_vhost: bool
    users: Mapping[str, User]
    permissions: Mapping[str, Mapping[str, str]]
    topic_permissions: Mapping[tuple[str, str], Mapping[str, str]]
    user_limits: Mapping[str, Mapping[str, int]]
    vhost_limits: Mapping[str, int]
    policies: Mapping[str, Mapping[str, Any]]
    passwords: Mapping[str, Standing]
    open_files: frozenset[str] = frozenset()
    readers: Mapping[str, str] = field(default_factory=dict)
    missing_store: str = ""
