"""`pulseshim parked`: what needs a person."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from pulseshim.commands.owner import owner_name
from pulseshim.commands.session import Session, fail
from pulseshim.commands.terminal import console, say
from pulseshim.envelope import rfc3339
from pulseshim.errors import StoreUnavailable
from pulseshim.message import readable
from pulseshim.parked import Parked
from pulseshim.store import Store

_ids = click.argument("ids", metavar="[ID]...", nargs=-1, type=int)
_all = click.option("--all", "everything", is_flag=True, help="All items.")
_STEP = 500


@click.group("parked")
def command() -> None:
    """Show, retry or discard what cannot go on without a person.

    Loads no plugin. It may be used while pulseshim run works on the store.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def list_items(session: Session, *, as_json: bool) -> int:
    """List parked items, oldest first."""
    store = session.store(readonly=True)
    items = store.parked.items()
    if as_json:
        for item in items:
            click.echo(json.dumps(as_object(item)))
        return 0
    if not items:
        click.echo("nothing is parked")
        return 0
    table = Table("id", "kind", "feed", "parked", "cause", box=None, pad_edge=False)
    for item in items:
        cause = item.cause if item.awaiting == "person" else f"{item.cause} [waits for its {item.awaiting}]"
        kind = "suspicious" if item.suspicious else item.kind
        table.add_row(str(item.id), kind, item.feed, rfc3339(item.parked_at), cause)
    console().print(table)
    return 0


@command.command("show")
@_ids
@click.pass_obj
def show(session: Session, ids: tuple[int, ...]) -> int:
    """Show items whole: cause, traceback, and what they hold."""
    store = session.store(readonly=True)
    for item in chosen(store, ids, everything=not ids):
        for name, value in as_object(item).items():
            if name != "traceback":
                say(f"{name}: {value}")
        if item.traceback:
            say(*item.traceback.split("\n"))
        content = store.parked.content(item).replace(b"\0", b"\n")
        say(*content.decode("utf-8", "backslashreplace").split("\n"))
    return 0


@command.command("retry")
@_ids
@_all
@click.option("--trust", is_flag=True, help="Believe suspicious invocations: you vouch for them.")
@click.pass_obj
def retry(session: Session, ids: tuple[int, ...], *, everything: bool, trust: bool) -> int:
    """Let items go on: an envelope is published again, an invocation or a file is read again.

    A suspicious invocation is asked about again, unless you vouch for it by --trust. The running service
    does all that; without one, the next pulseshim drain or run.
    """
    store = session.store()
    stuck = 0
    for some in in_steps(chosen(store, ids, everything=everything)):
        going = []
        for item in some:
            try:
                if item.kind == "file":
                    store.spool.bring_back(Path(item.subject))
            except StoreUnavailable as error:
                stuck += 1
                say(f"{item.id}: {error.problem}", "  discard it if its file is gone for good", err=True)
                continue
            going.append(item)
        store.parked.retry(*going, trust=trust)
        for item in going:
            click.echo(f"{item.id}: {item.kind} goes on")
    return 1 if stuck else 0


@command.command("discard")
@_ids
@_all
@click.pass_obj
def discard(session: Session, ids: tuple[int, ...], *, everything: bool) -> int:
    """Forget items for good. What they announced is lost; a discarded file stays in the spool's aside/."""
    store = session.store()
    for some in in_steps(chosen(store, ids, everything=everything)):
        store.parked.discard(*some)
        for item in some:
            click.echo(f"{item.id}: {item.kind} discarded")
    return 0


def in_steps(items: Sequence[Parked]) -> Iterator[Sequence[Parked]]:
    """Give the items in steps of the store: thousands take no longer than they must."""
    return (items[start : start + _STEP] for start in range(0, len(items), _STEP))


def chosen(store: Store, ids: Sequence[int], *, everything: bool) -> list[Parked]:
    """Give the items that are meant. Raises `CommandFailed` where there is no such item."""
    if not ids and not everything:
        fail("no item is named", "give their numbers (pulseshim parked list shows them), or --all")
    items = store.parked.items(ids)
    missing = set(ids) - {item.id for item in items}
    if missing:
        fail(f"nothing is parked as {min(missing)}", "pulseshim parked list shows what is")
    return items


def as_object(item: Parked) -> dict[str, Any]:
    """Give an item as a JSON object."""
    return {
        **asdict(item),
        "subject": readable(item.subject),
        "parked_at": rfc3339(item.parked_at),
        "owner_name": owner_name(item.owner),
    }
