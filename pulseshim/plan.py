"""The plan of a provisioning: from what shall be and what was found at the broker, the steps between them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pulseshim.account import GUEST
from pulseshim.doubts import administers, guest_is_there, policies, strangers, topics, troubles, unread
from pulseshim.grant import Grant
from pulseshim.inventory import POLICY, PRIORITY, Found, User, Wanted
from pulseshim.problem import Problem
from pulseshim.settings import seconds

_QUEUES = "^queue/"

Request = tuple[str, tuple[str, ...], Mapping[str, Any]]
"""Method, path below `/api` and content of a request to the management API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change. `was` is None where there was nothing: what was there and differs has drifted.

    `login` says which password the step sets besides its requests: the one that is given, a new one (whose
    file it writes), or a renewed one that the broker knows and that it puts in place.
    """

    action: Literal["create", "change", "renew", "delete"]
    subject: str
    was: Any = None
    becomes: Any = None
    requests: Sequence[Request] = field(default=(), repr=False)
    login: Literal["", "given", "new", "renewed"] = ""
    user: str = ""

    def __str__(self) -> str:
        if isinstance(self.was, Mapping) and isinstance(self.becomes, Mapping):
            was, becomes = self.was, self.becomes
            changed = [key for key in {**becomes, **was} if was.get(key) != becomes.get(key)]
            words = [f"{key} {was.get(key, 'none')} becomes {becomes.get(key, 'none')}" for key in changed]
        elif isinstance(self.becomes, Mapping):
            words = [f"{key} {value}" for key, value in self.becomes.items()]
        else:
            words = [str(self.becomes)] if self.becomes else []
        return f"{self.action} {self.subject}" + (f": {', '.join(words)}" if words else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps to take, in their order, and what no step of ours can put right."""

    steps: Sequence[Step]
    problems: Sequence[Problem]


def plan(wanted: Wanted, found: Found, *, rotate: Collection[str] = (), delete_guest: bool = False) -> Plan:
    """Give the plan that makes the broker what is wanted; one without steps where it is that already.

    `rotate` holds the users who get new passwords. Raises `SettingsError` where one of the grants is for who
    provisions.
    """
    steps = [*_vhost(wanted, found)]
    problems: list[Problem] = []
    for grant in wanted.grants:
        user, renews = found.users.get(grant.user), grant.user in rotate
        if doubt := administers(grant, found) or unread(grant, found, rotate=renews):
            problems.append(doubt)
            continue
        steps += _creation(grant, found) if user is None else _password(grant, user, found, rotate=renews)
        steps += _rights(grant, wanted, found)
        problems += [*troubles(grant, found, rotate=renews), *topics(grant, wanted, found)]
    if GUEST in found.users and delete_guest:
        steps.append(Step(action="delete", subject="user guest", was="there", requests=[_deletion(GUEST)]))
    elif GUEST in found.users:
        problems.append(guest_is_there())
    return Plan(steps, [*problems, *strangers(wanted, found), *policies(found)])


def _vhost(wanted: Wanted, found: Found) -> Iterator[Step]:
    """Give what makes the virtual host, and limits the queues in it."""
    name, limits = wanted.vhost, wanted.limits
    if not found.has_vhost:
        yield Step(action="create", subject=f"virtual host {name}", requests=[("PUT", ("vhosts", name), {})])
    queues = {"max-queues": limits.queues}
    yield from _limits(f"limits of virtual host {name}", ("vhost-limits", name), found.vhost_limits, queues)
    definition = {
        "max-length": limits.queue_messages,
        "max-length-bytes": limits.queue_bytes,
        "expires": int(seconds(limits.queue_expires) * 1000),
    }
    fits: dict[str, Any] = {"pattern": _QUEUES, "apply-to": "queues", "priority": PRIORITY}
    was = found.policies.get(POLICY)
    known = None if was is None else {**{key: was.get(key) for key in fits}, **was.get("definition", {})}
    content = {**fits, "definition": definition}
    path = ("operator-policies", name, POLICY)
    yield from _put(f"operator policy {POLICY}", path, known, {**fits, **definition}, content)


def _put(
    subject: str,
    path: tuple[str, ...],
    was: Mapping[str, Any] | None,
    becomes: Mapping[str, Any],
    content: Mapping[str, Any],
) -> Iterator[Step]:
    """Give the step that makes one thing as it shall be, where it is not."""
    if was != becomes:
        action: Literal["create", "change"] = "create" if was is None else "change"
        yield Step(
            action=action, subject=subject, was=was, becomes=becomes, requests=[("PUT", path, content)]
        )


def _limits(
    subject: str, path: tuple[str, ...], was: Mapping[str, int], becomes: Mapping[str, int]
) -> Iterator[Step]:
    """Give the step that sets limits, where they are not: the API takes them one at a time."""
    differing = [name for name in becomes if was.get(name) != becomes[name]]
    if differing:
        known = {name: was[name] for name in becomes if name in was} or None
        requests = [("PUT", (*path, name), {"value": becomes[name]}) for name in differing]
        yield Step(
            action="create" if known is None else "change",
            subject=subject,
            was=known,
            becomes=becomes,
            requests=requests,
        )


def _creation(grant: Grant, found: Found) -> Iterator[Step]:
    """Give what makes a user: with the password that is given, or a new one."""
    given = found.passwords.get(grant.user) == "given"
    what = f"with the password of {grant.password_file or grant.source}" if given else _to_file(grant, found)
    yield Step(
        action="create",
        subject=f"user {grant.user}",
        becomes=what,
        login="given" if given else "new",
        user=grant.user,
    )


def _password(grant: Grant, user: User, found: Found, *, rotate: bool) -> Iterator[Step]:
    """Give what a user that is there lacks of its password, and takes from it what it has too much."""
    if found.passwords.get(grant.user) == "renewed":
        what = f"{grant.password_file} takes the one that was renewed"
        yield Step(
            action="change",
            subject=f"password of {grant.user}",
            was="half renewed",
            becomes=what,
            login="renewed",
            user=grant.user,
        )
    if user.tags:
        content = {"password_hash": user.hash.text, "hashing_algorithm": user.hash.algorithm, "tags": ""}
        yield Step(
            action="change",
            subject=f"user {grant.user}",
            was={"tags": ",".join(user.tags)},
            becomes={"tags": "none"},
            requests=[("PUT", ("users", grant.user), content)],
        )
    if rotate and grant.password_file:
        yield Step(
            action="renew",
            subject=f"password of {grant.user}",
            was="there",
            becomes=_to_file(grant, found),
            login="new",
            user=grant.user,
        )


def _to_file(grant: Grant, found: Found) -> str:
    reader = found.readers.get(grant.user)
    return f"a new password goes to {grant.password_file}" + (f" ({reader})" if reader else "")


def _rights(grant: Grant, wanted: Wanted, found: Found) -> Iterator[Step]:
    """Give what sets a user's permissions and limits."""
    path = ("permissions", wanted.vhost, grant.user)
    was = found.permissions.get(grant.user)
    yield from _put(f"permissions of {grant.user}", path, was, grant.permissions, grant.permissions)
    limits = {"max-connections": wanted.limits.connections, "max-channels": wanted.limits.channels}
    known = found.user_limits.get(grant.user, {})
    yield from _limits(f"limits of {grant.user}", ("user-limits", grant.user), known, limits)


def _deletion(user: str) -> Request:
    return ("DELETE", ("users", user), {})
