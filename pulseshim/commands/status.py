"""`pulseshim status`: what waits, since when, and how each part is."""

import json
from dataclasses import asdict
from typing import Any

import click
from rich.table import Table

from pulseshim.backlog import Figures, figures
from pulseshim.commands.owner import by_owner, owner_name
from pulseshim.commands.session import Session
from pulseshim.commands.terminal import console
from pulseshim.envelope import rfc3339
from pulseshim.store import milliseconds


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(session: Session, *, as_json: bool) -> int:
    """Show what waits in spool and outbox, since when, what is parked, and how each part is.

    Loads no plugin and asks no broker: it works when everything else is broken. Exits 0 whatever it shows,
    1 where the store cannot be looked into.
    """
    now = figures(session.store(readonly=True))
    if as_json:
        click.echo(json.dumps(as_object(now, milliseconds())))
    else:
        show(now, milliseconds())
    return 0


def as_object(now: Figures, at: int) -> dict[str, Any]:
    """Give figures as a JSON object: times in RFC 3339, ages in seconds."""
    return {
        "store": str(now.directory),
        "running": now.running or None,
        "spool": {"count": now.spool, "oldest_seconds": _age(now.spool_oldest, at)},
        "outbox": {
            "count": now.pending,
            "oldest_seconds": max((_age(e.oldest, at) or 0 for e in now.exchanges if e.oldest), default=None),
        },
        "parked": {"count": sum(now.parked.values()), "kinds": now.parked},
        "suspicious": [
            {"owner": owner, "name": owner_name(owner), "count": count} for owner, count in now.suspicious
        ],
        "exchanges": [
            {
                "exchange": e.exchange,
                "account": e.account,
                "pending": e.pending,
                "oldest_seconds": _age(e.oldest, at),
                "confirmed": e.confirmed,
                "last_confirm": rfc3339(e.confirmed_at) if e.confirmed_at else None,
            }
            for e in now.exchanges
        ],
        "conditions": [{**asdict(c), "since": rfc3339(c.since)} for c in now.conditions],
        "counters": [{"feed": feed, "name": name, "count": count} for feed, name, count in now.counters],
        "cursors": [{"feed": feed, "field": field, "value": value} for feed, field, value in now.cursors],
    }


def show(now: Figures, at: int) -> None:
    """Print figures for a person."""
    shown = console(soft_wrap=True)
    shown.print(f"store    {now.directory}")
    shown.print(f"service  {now.running or 'nothing works on this store'}")
    shown.print(f"spool    {_waiting(now.spool, now.spool_oldest, at)}")
    oldest = min((e.oldest for e in now.exchanges if e.oldest is not None), default=None)
    shown.print(f"outbox   {_waiting(now.pending, oldest, at)}")
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(now.parked.items()))
    shown.print(f"parked   {kinds + ' (see pulseshim parked list)' if kinds else 'nothing'}")
    if now.suspicious:
        shown.print(f"suspicious invocations, not published: {by_owner(now.suspicious)}")
    for condition in now.conditions:
        since = rfc3339(condition.since)
        shown.print(f"{condition.subject}: {condition.condition} since {since} {condition.detail}".rstrip())
    for feed, name, count in now.counters:
        shown.print(f"{feed}: {name} {count}")
    if now.exchanges:
        table = Table("exchange", "account", "waiting", "confirmed", "last confirm", box=None, pad_edge=False)
        for e in now.exchanges:
            last = rfc3339(e.confirmed_at) if e.confirmed_at else "never"
            table.add_row(e.exchange, e.account or "-", str(e.pending), str(e.confirmed), last)
        shown.print(table)


def _waiting(count: int, oldest: int | None, at: int) -> str:
    if not count:
        return "empty"
    return f"{count} waiting, the oldest for {_age(oldest, at)} s"


def _age(then: int | None, at: int) -> float | None:
    return None if then is None else round(max(0, at - then) / 1000, 1)
