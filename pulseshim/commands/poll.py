"""`pulseshim poll`: one poll now, for cron."""

from collections.abc import Sequence

import click
import msgspec

from pulseshim.commands.drain import Patience, work_off
from pulseshim.commands.run import stop_signals
from pulseshim.commands.session import Session, fail
from pulseshim.envelope import seal
from pulseshim.errors import SettingsError
from pulseshim.feed import Checkpoint, PollSource
from pulseshim.runtime import Runtime
from pulseshim.source import messages
from pulseshim.store import held_store, milliseconds


@click.command("poll")
@click.argument("feeds", metavar="[FEED]...", nargs=-1)
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    metavar="S",
    help="Give up publishing after S seconds without progress.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print what would be published, one JSON object a line; store nothing."
)
@click.pass_obj
def command(session: Session, feeds: tuple[str, ...], timeout: float, *, dry_run: bool) -> int:
    """Poll feeds once, now, then publish what is there.

    FEED is a feed or a plugin (all of its feeds); without any, all feeds that can be polled are. Every one is
    polled even when one fails. Exits 1 where one failed for now, 2 where a setting of one is wrong.
    """
    session.log()
    with stop_signals() as stop, held_store(session.settings, "poll") as store:
        runtime = session.runtime(store)
        chosen = choose(runtime, feeds)
        if dry_run:
            return show(runtime, chosen)
        failures = [error for name in chosen if (error := runtime.poll(name))]
        code = work_off(session, runtime, Patience(timeout), stop)
        if any(isinstance(error, SettingsError) for error in failures):
            return 2
        return 1 if failures else code


def choose(runtime: Runtime, feeds: Sequence[str]) -> list[str]:
    """Give the names of the poll feeds that are meant. Raises `CommandFailed` for one that there is not."""
    polled = [name for name, outs in runtime.outlets.items() if isinstance(outs[0].feed.source, PollSource)]
    chosen = [name for name in polled if not feeds or name in feeds or name.partition(".")[0] in feeds]
    for feed in feeds:
        if not any(feed in (name, name.partition(".")[0]) for name in polled):
            fail(f"{feed} is no feed that can be polled", f"there are: {', '.join(polled) or 'none'}")
    if not chosen:
        fail(
            "no feed can be polled",
            "give a plugin that polls a table in the settings, such as [plugins.bugzilla]",
        )
    return chosen


def show(runtime: Runtime, chosen: Sequence[str]) -> int:
    """Print the envelopes that a poll would store, with the sequence number 0."""
    for name in chosen:
        outs = runtime.outlets[name]
        source = outs[0].feed.source
        if isinstance(source, PollSource):
            events = source.poll(runtime.store.outbox.state(name))
            for out in messages(outs, (event for event in events if not isinstance(event, Checkpoint))):
                body = seal(out.message, out.exchange, sequence=0, sent=milliseconds()).body
                click.echo(msgspec.json.format(body, indent=0))
    return 0
