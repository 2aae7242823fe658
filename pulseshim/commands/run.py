"""`pulseshim run`: the service."""

import logging
from contextlib import ExitStack

import click

from pulseshim.commands.publishing import runtime_of
from pulseshim.commands.session import Session
from pulseshim.commands.stopping import stop_signals
from pulseshim.metrics import serve
from pulseshim.store import held_store

log = logging.getLogger(__name__)

_LOOK = 1.0


@click.command("run")
@click.pass_obj
def command(session: Session) -> int:
    """Be the service: read the spool, poll, listen and publish, until SIGTERM or SIGINT.

    It then finishes what is in flight and says what is left; nothing of that is lost. Ends within 10 seconds.
    The same signal once more ends it at once, and loses nothing either: what was in flight goes out again.
    """
    session.log()
    with ExitStack() as stack:
        store = stack.enter_context(held_store(session.settings, "run"))
        runtime = runtime_of(session, store)
        stack.enter_context(serve(session.settings.metrics, runtime))
        stop = stack.enter_context(stop_signals())
        runtime.start()
        died = False
        while not stop.wait(_LOOK) and not died:
            died = not runtime.is_alive()
        left = runtime.stop()
        click.echo(f"stopped; left for the next start: {left}", err=True)
        if died:
            log.critical("a thread of the runtime died, the service ends so that it can be started anew")
        return 1 if died else 0
