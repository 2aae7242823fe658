"""`pulseshim poll`: one poll now, for cron."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import takewhile

import click
import msgspec

from pulseshim.commands.drain import Patience, work_off
from pulseshim.commands.publishing import runtime_of
from pulseshim.commands.replay import moment
from pulseshim.commands.session import Session, fail, progress
from pulseshim.commands.stopping import stop_signals
from pulseshim.commands.terminal import printable_json, say
from pulseshim.envelope import seal
from pulseshim.errors import PulseshimError, SettingsError, StoreHeld
from pulseshim.feed import Checkpoint, HookSource
from pulseshim.outbox import Outgoing
from pulseshim.runtime import Runtime
from pulseshim.source import asked, messages
from pulseshim.store import Store, held_store, milliseconds


@click.command("poll")
@click.argument("feeds", metavar="[FEED]...", nargs=-1)
@click.option(
    "--since",
    metavar="TIME",
    help="Look again at what changed from this time on: RFC 3339, or how long ago (2h, 3d).",
)
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    metavar="S",
    help="Wait S seconds at most for a source that asks to come back later; give up publishing after S"
    " seconds without progress.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print what would be published, one JSON object a line; store nothing."
)
@click.pass_obj
def command(
    session: Session, feeds: tuple[str, ...], since: str | None, timeout: float, *, dry_run: bool
) -> int:
    """Poll feeds once, now, then publish what is there.

    FEED is a feed or a plugin (all of its feeds); without any, all feeds that can be polled are. Every one is
    polled even when one fails. Exits 1 where one failed for now, 2 where a setting of one is wrong.

    --since fills a gap. What was stored before keeps its id and is not published twice, as far back as
    store.keep says. While pulseshim run works on the store it polls by itself, and poll exits 2.
    """
    session.log()
    begin = _begin(since) if since else None
    with stop_signals() as stop, _held(session) as store:
        runtime = runtime_of(session, store)
        chosen = choose(runtime, feeds, rewinding=begin is not None)
        if dry_run:
            return _code(show(runtime, chosen, begin, stop))
        with progress(session, f"polling {', '.join(chosen)}") as shown:
            failures = list(poll_all(runtime, chosen, begin, timeout, stop, shown))
        code = work_off(session, runtime, Patience(timeout), stop)
        return _code(failures) or code


@contextmanager
def _held(session: Session) -> Iterator[Store]:
    """Give the store, held; say what a service that has it does for who would poll. Raises `StoreHeld`."""
    with ExitStack() as stack:
        try:
            store = stack.enter_context(held_store(session.settings, "poll"))
        except StoreHeld as error:
            if error.problem.startswith("pulseshim run "):
                remedy = "it polls by itself at its times; to poll now, or --since, stop it first"
                raise StoreHeld(error.problem, remedy) from None
            raise
        yield store


def _begin(since: str) -> datetime:
    at = moment(since, time.time())
    if at > milliseconds():
        fail(f"{since} lies in the future", "give a time that has passed")
    return datetime.fromtimestamp(at / 1000, UTC)


def _code(failures: Sequence[BaseException]) -> int:
    if any(isinstance(error, SettingsError) for error in failures):
        return 2
    return 1 if failures else 0


def choose(runtime: Runtime, feeds: Sequence[str], *, rewinding: bool = False) -> list[str]:
    """Give the names of the feeds that are meant. Raises `CommandFailed` for one that cannot be polled."""
    sources = {name: outs[0].feed.source for name, outs in runtime.outlets.items()}
    polled = {
        name: source for name, source in sources.items() if not isinstance(source, HookSource) and source.poll
    }
    chosen = [name for name in polled if not feeds or name in feeds or name.partition(".")[0] in feeds]
    for feed in feeds:
        if not any(feed in (name, name.partition(".")[0]) for name in polled):
            fail(f"{feed} is no feed that can be polled", f"there are: {', '.join(polled) or 'none'}")
    if not chosen:
        fail(
            "no feed can be polled",
            "give a plugin that polls a table in the settings, such as [plugins.bugzilla]",
        )
    for name in chosen:
        if rewinding and polled[name].rewind is None:
            fail(f"{name} cannot be polled from an earlier time", "leave out --since, or name other feeds")
    return chosen


def poll_all(
    runtime: Runtime,
    chosen: Sequence[str],
    since: datetime | None,
    timeout: float,
    stop: threading.Event,
    went_on: Callable[[str], object],
) -> Iterator[BaseException]:
    """Poll each feed; give what went wrong. Who asks to come back within `timeout` seconds is asked again."""
    deadline = time.monotonic() + timeout
    waiting = list(chosen)
    while waiting and not stop.is_set():
        wait = min(runtime.polls.wait(name) for name in waiting)
        if time.monotonic() + wait > deadline:
            yield from [_too_early(runtime, name) for name in waiting]
            return
        stop.wait(wait)
        for name in [name for name in waiting if not runtime.polls.wait(name)]:
            if stop.is_set():
                return
            error = runtime.poll(name, since, went_on)
            if error is None or not runtime.polls.wait(name):
                waiting.remove(name)
                yield from [error] if error else []


def _too_early(runtime: Runtime, name: str) -> Exception:
    at = datetime.fromtimestamp(time.time() + runtime.polls.wait(name), UTC).isoformat(timespec="seconds")
    at = at.replace("+00:00", "Z")
    say(f"pulseshim: {name} asks to come back at {at}, it is not polled before", err=True)
    return PulseshimError(f"{name} asks to come back at {at}")


def show(
    runtime: Runtime, chosen: Sequence[str], since: datetime | None, stop: threading.Event
) -> list[Exception]:
    """Print the envelopes that a poll would store, with the sequence number 0; give what went wrong.

    Ends when `stop` is set.
    """
    failures: list[Exception] = []
    for name in chosen:
        if runtime.polls.wait(name):
            failures.append(_too_early(runtime, name))
            continue
        try:
            for out in takewhile(lambda _out: not stop.is_set(), _new(runtime, name, since)):
                body = seal(out.message, out.exchange, sequence=0, sent=milliseconds()).body
                click.echo(printable_json(msgspec.json.format(body, indent=0)))
        except PulseshimError as error:
            say(f"pulseshim: {name}: {error}", err=True)
            failures.append(error)
    return failures


def _new(runtime: Runtime, name: str, since: datetime | None) -> Iterator[Outgoing]:
    """Give the messages of a poll that are not stored yet; its state is let go."""
    outs = runtime.outlets[name]
    source, outbox = outs[0].feed.source, runtime.store.outbox
    if not isinstance(source, HookSource):
        events = asked(source, outbox.state(name), since)
        for out in messages(outs, (event for event in events if not isinstance(event, Checkpoint))):
            if not outbox.has(out.message, out.exchange):
                yield out
