"""What provisioning finds wrong and leaves to a person: no step of its own may put it right."""

import re
from collections.abc import Iterator

from pulseshim.account import GUEST
from pulseshim.errors import SettingsError
from pulseshim.grant import Grant
from pulseshim.inventory import POLICY, PRIORITY, Found, User, Wanted
from pulseshim.problem import Problem

_ADMINISTRATOR = "administrator"
_ALL = ".*"
_PROBE = "queue/anybody/anything"


def administers(grant: Grant, found: Found) -> Problem | None:
    """Give why a user of a grant is left as it is, who has the rights of an administrator; None where not.

    Raises `SettingsError` where it is who provisions: it would take its own right to go on.
    """
    if grant.user == found.administrator:
        raise SettingsError(
            f"{grant.user} is the administrator who provisions, so it is no account and no consumer",
            "provision as another (provision.user), or give the account or the consumer another user",
        )
    if _ADMINISTRATOR not in found.users.get(grant.user, User()).tags:
        return None
    return Problem(
        f"user {grant.user}",
        f"{grant.user} is an administrator of the broker, and is left as it is",
        f"name another user, or let it administer nothing: rabbitmqctl set_user_tags {grant.user}",
    )


def unread(grant: Grant, found: Found, *, rotate: bool) -> Problem | None:
    """Give why no password is made: whose file it would be is not known. None where it is or none is made."""
    is_new = grant.user not in found.users and found.passwords.get(grant.user) != "given"
    if (
        not grant.password_file
        or grant.user in found.readers
        or not (found.missing_store and (is_new or rotate))
    ):
        return None
    return Problem(
        f"password of {grant.user}",
        f"who reads {grant.password_file} is not known: the store {found.missing_store} is not there",
        "start the service once, or make store.directory and give it to the service's account",
    )


def troubles(grant: Grant, found: Found, *, rotate: bool) -> Iterator[Problem]:
    """Give what is wrong with a user's password and no step may put right: it may work for somebody else."""
    subject, standing = f"password of {grant.user}", found.passwords.get(grant.user)
    again = f"pulseshim provision --rotate-only {grant.user}"
    if rotate and not grant.password_file:
        remedy = f"name a file in the settings instead, or change {grant.source} and the broker by hand"
        yield Problem(subject, f"it comes from {grant.source} and cannot be renewed", remedy)
    elif rotate or grant.user not in found.users:
        pass
    elif standing == "wrong":
        text = f"the broker has another than {grant.password_file or grant.source}"
        yield Problem(subject, text, f"put the right one there, or give a new one: {again}")
    elif standing == "none" and grant.prefixes:
        text = f"the user is there and {grant.password_file} is not"
        yield Problem(subject, text, f"put the password there, or give a new one: {again}")
    if grant.password_file in found.open_files:
        text = f"others than its owner may read or write {grant.password_file}"
        yield Problem(subject, text, f"chmod 600 {grant.password_file}, then {again}")


def topics(grant: Grant, wanted: Wanted, found: Found) -> Iterator[Problem]:
    """Give what may refuse a user routing keys of our exchanges: where nothing is set, it has all of them."""
    for exchange in wanted.exchanges:
        set_there = found.topic_permissions.get((grant.user, exchange), {})
        limited = {what: pattern for what, pattern in set_there.items() if pattern != _ALL}
        if limited:
            publishes = "write" in limited and exchange.split("/")[1] in grant.prefixes
            said = ", ".join(f"{what} {pattern!r}" for what, pattern in limited.items())
            yield Problem(
                f"topic permissions of {grant.user}",
                f"on {exchange}, they are {said}: what does not fit is refused",
                f"rabbitmqctl clear_topic_permissions -p {wanted.vhost} {grant.user} {exchange}",
                "error" if publishes else "warning",
            )


def guest_is_there() -> Problem:
    """Give the trouble with guest, which a new broker has."""
    text = "guest is there, whose password everybody knows: on the broker's own host, it is let in"
    remedy = "pulseshim provision --delete-guest, once nothing logs in as guest any more"
    return Problem("user guest", text, remedy, "warning")


def strangers(wanted: Wanted, found: Found) -> Iterator[Problem]:
    """Give who may publish to our exchanges or change them, and is neither of us nor an administrator."""
    known = {grant.user for grant in wanted.grants if grant.prefixes} | {found.administrator, GUEST}
    for name, permission in sorted(found.permissions.items()):
        if name in known or _ADMINISTRATOR in found.users.get(name, User()).tags:
            continue
        for what, may in (("write", "write to"), ("configure", "delete")):
            reached = [each for each in wanted.exchanges if _reaches(permission.get(what, ""), each)]
            if reached:
                text = f"{name} may {may} {', '.join(reached)}, and is no account of the settings"
                remedy = f"rabbitmqctl clear_permissions -p {wanted.vhost} {name}, or name it in the settings"
                yield Problem(f"user {name}", text, remedy)
                break


def _reaches(pattern: str, name: str) -> bool:
    """Say whether a pattern of permissions fits a name; one that only Erlang understands is taken to."""
    try:
        return re.search(pattern or "^$", name) is not None
    except re.error:
        return True


def policies(found: Found) -> Iterator[Problem]:
    """Give the operator policies that may stand before ours: of several that fit, one alone holds."""
    for name, policy in sorted(found.policies.items()):
        fits = policy.get("apply-to") != "exchanges" and _reaches(policy.get("pattern", ""), _PROBE)
        if name != POLICY and fits and policy.get("priority", 0) >= PRIORITY:
            text = f"it applies to queues queue/… instead of the operator policy {POLICY}"
            remedy = f"give it a priority below {PRIORITY}, or a pattern that leaves them out"
            yield Problem(f"operator policy {name}", text, remedy, "warning")
