"""`pulseshim declare`: the exchanges of all feeds, ahead of the first message."""

import os

import click

from pulseshim.account import resolve
from pulseshim.commands.session import Session
from pulseshim.commands.terminal import say
from pulseshim.errors import ExchangeRefused
from pulseshim.failover import connect
from pulseshim.runtime import exchange_accounts


@click.command("declare")
@click.pass_obj
def command(session: Session) -> int:
    """Declare the exchanges of all feeds, so that consumers can bind before the first message.

    Exits 1 where one is refused (the others are declared), 3 where the broker is not reached.
    """
    refused = 0
    owned = exchange_accounts(session.settings, session.plugins().feeds(session.settings))
    for name in sorted(set(owned.values())):
        connection = connect(resolve(session.settings.broker, name, os.environ))
        try:
            for exchange in sorted(exchange for exchange, account in owned.items() if account == name):
                try:
                    connection.declare(exchange)
                    click.echo(f"declared {exchange}")
                except ExchangeRefused as error:
                    refused += 1
                    say(f"pulseshim: {error.problem}", f"  {error.remedy}", err=True)
        finally:
            connection.close()
    if not owned:
        click.echo("no feed is on: give a plugin a table in the settings, such as [plugins.git]")
    return 1 if refused else 0
