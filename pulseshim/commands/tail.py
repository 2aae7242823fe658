"""`pulseshim tail`: messages as they come."""

import os
import sys
from typing import Any

import click
import msgspec

from pulseshim.account import resolve
from pulseshim.commands.session import Session, fail
from pulseshim.commands.stopping import stop_signals
from pulseshim.commands.terminal import console, printable_json, say
from pulseshim.consumer import Consumer, Delivery

_LOOK = 0.5
_SHOWN = 200


@click.command("tail")
@click.argument("exchange")
@click.argument("binding_key", default="#")
@click.option(
    "--account", default="", help="Consume as this account of [broker.accounts] instead of [broker]."
)
@click.option("--count", type=int, metavar="N", help="End after N messages.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, on a terminal too.")
@click.pass_obj
def command(
    session: Session, exchange: str, binding_key: str, account: str, count: int | None, *, as_json: bool
) -> int:
    """Print messages of EXCHANGE as they come: one JSON object a line, or a readable line on a terminal.

    BINDING_KEY is the topic pattern ("#": all). What was published before is not shown; the queue is this
    command's own and goes with it.
    """
    reader = resolve(session.settings.broker, account, os.environ)
    if reader.in_memory:
        fail("broker.url is memory://, where no other process publishes", "name the broker in broker.url")
    with stop_signals() as stop, Consumer(reader, exchange, binding_key) as consumer:
        say(f"waiting for messages of {exchange} ({binding_key})", err=True)
        seen = 0
        while not stop.is_set() and seen != count:
            delivery = consumer.receive(_LOOK)
            if delivery is not None:
                seen += 1
                show(delivery, as_json=as_json or not sys.stdout.isatty())
    return 0


def show(delivery: Delivery, *, as_json: bool) -> None:
    """Print a message, as one JSON object or for a person: both in one line, whatever its body is."""
    try:
        body: Any = msgspec.json.decode(delivery.body)
    except (msgspec.DecodeError, RecursionError):
        body = delivery.body.decode("utf-8", "backslashreplace")
    if as_json:
        line = {"exchange": delivery.exchange, "routing_key": delivery.routing_key, "body": body}
        click.echo(printable_json(msgspec.json.encode(line)))
        return
    message = body if isinstance(body, dict) else {}
    meta, payload = message.get("_meta"), message.get("payload", body)
    sent, kind = (meta.get("sent", ""), meta.get("type", "")) if isinstance(meta, dict) else ("", "")
    text = msgspec.json.encode(payload).decode()
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    words = [sent, delivery.routing_key, kind, text]
    console(soft_wrap=True).print("  ".join(str(word) for word in words if word))
