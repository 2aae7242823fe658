"""`pulseshim replay`: publishes again what was confirmed."""

import re
import time
from datetime import UTC, datetime

import click

from pulseshim.commands.session import Session, fail
from pulseshim.settings import seconds

_AGO = re.compile(r"[0-9]+(\.[0-9]+)?(ms|s|m|h|d|w)")
_FIRST, _LAST = (datetime(*day, tzinfo=UTC).timestamp() for day in ((1, 1, 1), (9999, 12, 31)))
"""Between these a time can be written as a date, and held in the store."""


@click.command("replay")
@click.option(
    "--since", metavar="TIME", help="Sealed at or after this time: RFC 3339, or how long ago (2h, 3d)."
)
@click.option("--until", metavar="TIME", help="Sealed before this time.")
@click.option("--exchange", metavar="NAME", help="On this exchange only.")
@click.option("--id", "ids", metavar="ID", multiple=True, help="The message with this id; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Only say how many messages that would be.")
@click.pass_obj
def command(
    session: Session,
    since: str | None,
    until: str | None,
    exchange: str | None,
    ids: tuple[str, ...],
    *,
    dry_run: bool,
) -> int:
    """Queue confirmed messages to be published again: same ids, same bodies, in their old order.

    They can be had for as long as store.keep says. The running service publishes them; without one, the next
    pulseshim drain or run. Loads no plugin. Exits 1 where there is no such message.
    """
    conditions: list[tuple[str, list[str | int]]] = []
    if since:
        conditions.append(("sent >= ?", [moment(since, time.time())]))
    if until:
        conditions.append(("sent < ?", [moment(until, time.time())]))
    if exchange:
        conditions.append(("exchange = ?", [exchange]))
    if ids:
        conditions.append((f"message_id IN ({', '.join('?' * len(ids))})", list(ids)))
    if not conditions:
        fail("nothing is chosen", "give --since, --until, --exchange or --id")
    sql = " AND ".join(text for text, _ in conditions)
    parameters = [value for _, values in conditions for value in values]
    store = session.store()
    count = store.outbox.replayable(sql, parameters) if dry_run else store.outbox.replay(sql, parameters)
    verb = "would be" if dry_run else "is" if count == 1 else "are"
    click.echo(f"{count} message{'' if count == 1 else 's'} {verb} queued again")
    if not count:
        fail("no confirmed message fits", f"messages are kept for {session.settings.store.keep} (store.keep)")
    return 0


def moment(text: str, now: float) -> int:
    """Give a time in milliseconds since 1970; `now` is in seconds. Raises `CommandFailed`."""
    at = now - seconds(text) if _AGO.fullmatch(text) else _timestamp(text)
    if not _FIRST <= at <= _LAST:
        fail(f"{text} lies outside of the years 1 to 9999", "give a time within them")
    return int(at * 1000)


def _timestamp(text: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is no time", "write 2026-11-23T22:00:00Z, or how long ago: 90m, 2h, 3d")
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
