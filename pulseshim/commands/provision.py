"""`pulseshim provision`: virtual host, users, passwords, permissions and limits at the broker."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pulseshim.account import GUEST, broker_urls, endpoint
from pulseshim.commands.session import Session, fail
from pulseshim.commands.terminal import say
from pulseshim.errors import SettingsError
from pulseshim.grant import by_certificate, consumer, publishers
from pulseshim.inventory import Wanted
from pulseshim.password import locked
from pulseshim.plan import Plan, Step, plan
from pulseshim.problem import Problem
from pulseshim.provisioning import find, take
from pulseshim.runtime import exchange_accounts

if TYPE_CHECKING:
    from pulseshim.management import Management

_FAILED = 1


@click.command("provision")
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option(
    "--consumer", "consumers", multiple=True, metavar="NAME", help="A user that consumes; may be repeated."
)
@click.option(
    "--passwords",
    metavar="DIRECTORY",
    help="Where each consumer's password goes, to a file of its name.",
)
@click.option("--rotate", is_flag=True, help="Give new passwords to all these users.")
@click.option(
    "--rotate-only",
    "rotated",
    multiple=True,
    metavar="USER",
    help="Give a new password to this one of them; may be repeated.",
)
@click.option("--delete-guest", is_flag=True, help="Delete the user guest, whose password everybody knows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(
    session: Session,
    consumers: Sequence[str],
    passwords: str | None,
    rotated: Sequence[str],
    *,
    dry_run: bool,
    rotate: bool,
    delete_guest: bool,
    as_json: bool,
) -> int:
    """Make the broker what the settings say: virtual host, users, passwords, permissions, limits.

    Each account of the settings becomes a user that owns its queues and exchanges and reads all exchanges;
    a consumer has queues alone. Passwords are made here and written to the files that the settings name;
    one that works is never replaced but by --rotate and --rotate-only. What is as it shall be is left alone,
    what has drifted is put right and named. Exits 1 where something is left to a person or, with --dry-run,
    to be done.
    """
    wanted, doubts = _wanted(session, consumers, passwords)
    renewed = _renewed(wanted, rotated, everyone=rotate)
    with _management(session) as broker, ExitStack() as stack:
        if delete_guest and broker.user == GUEST:
            raise SettingsError(
                "guest cannot delete guest", "provision as another administrator: provision.user"
            )
        if not dry_run:
            stack.enter_context(locked([g.password_file for g in wanted.grants if g.password_file]))
        owner = _reader(session)
        store = str(session.settings.directory)
        found = find(broker, wanted.vhost, wanted.grants, owner=owner, store=store)
        made = plan(wanted, found, rotate=renewed, delete_guest=delete_guest)
        made = Plan(made.steps, [*doubts, *made.problems])
        taken: list[Step] = []
        for step in made.steps:
            if not dry_run:
                take(step, broker, wanted.grants, owner=owner)
            taken.append(step)
            if not as_json:
                say(str(step))
    _report(made, dry_run=dry_run, as_json=as_json)
    left = (dry_run and made.steps) or any(problem.severity == "error" for problem in made.problems)
    return _FAILED if left else 0


def _wanted(
    session: Session, consumers: Sequence[str], passwords: str | None
) -> tuple[Wanted, list[Problem]]:
    """Give what the settings and the options ask for, and what in them is beyond provisioning."""
    settings = session.settings
    urls = broker_urls(settings.broker)
    if urls[0].startswith("memory:"):
        raise SettingsError("broker.url is memory://, where nobody logs in", "name the broker in broker.url")
    owned = exchange_accounts(settings, session.plugins().feeds(settings))
    grants = publishers(settings.broker, owned, os.environ)
    if consumers and not passwords:
        fail("--consumer needs --passwords", "name the directory that the consumers' passwords go to")
    taken = [grant.user for grant in grants]
    grants += [consumer(name, passwords or "", taken) for name in dict.fromkeys(consumers)]
    if not grants:
        fail("the settings name no account", "name the user that publishes in broker.user")
    doubts = [
        Problem(
            table,
            f"{table} logs in with a certificate: which user that is, the broker knows alone",
            "make that user by hand, without a password (docs/how-to/provision.md)",
            "warning",
        )
        for table in by_certificate(settings.broker, owned, os.environ)
    ]
    wanted = Wanted(
        vhost=endpoint(urls[0]).vhost, grants=grants, exchanges=sorted(owned), limits=settings.provision
    )
    return wanted, doubts


def _renewed(wanted: Wanted, chosen: Sequence[str], *, everyone: bool) -> Sequence[str]:
    """Give the users who get new passwords. Raises `CommandFailed` for a name that is none of ours."""
    users = [grant.user for grant in wanted.grants]
    if chosen and everyone:
        fail("--rotate renews all passwords, --rotate-only some", "give one of the two")
    for name in chosen:
        if name not in users:
            fail(f"no user {name} is provisioned here", f"name one of {', '.join(users)}")
    return users if everyone else chosen


def _management(session: Session) -> "Management":
    try:
        from pulseshim.management import management  # noqa: PLC0415 - no other verb needs what it imports
    except ModuleNotFoundError as error:
        fail(f"provision needs {error.name}", "pip install 'pulseshim[provision]'")
    return management(session.settings.provision, session.settings.broker, os.environ)


def _reader(session: Session) -> tuple[int, int] | None:
    """Give who reads the password files: who provisions or, where that is root, the owner of the store.

    None where there is no store to tell.
    """
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    try:
        owner = session.settings.directory.stat()
    except OSError:
        return None
    return owner.st_uid, owner.st_gid


def _report(made: Plan, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(as_object(made, changed=bool(made.steps) and not dry_run)))
        return
    for problem in made.problems:
        say(f"{problem.severity}: {problem.subject}: {problem.text}", f"  {problem.remedy}")
    count = f"{len(made.steps)} step{'' if len(made.steps) == 1 else 's'}"
    if not made.steps:
        click.echo("nothing to change")
    else:
        click.echo(f"{count} to take, nothing was changed" if dry_run else f"{count} taken")


def as_object(made: Plan, *, changed: bool) -> dict[str, Any]:
    """Give a plan as a JSON object; `was` is null where there was nothing."""
    steps = [
        {"action": step.action, "subject": step.subject, "was": step.was, "becomes": step.becomes}
        for step in made.steps
    ]
    return {"changed": changed, "steps": steps, "problems": [asdict(each) for each in made.problems]}
