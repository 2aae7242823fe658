"""`pulseshim drain`: what is there goes out, then it ends."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import click

from pulseshim.admission import HELD_BACK
from pulseshim.commands.publishing import runtime_of
from pulseshim.commands.session import PARKED, UNREACHED, Session, progress
from pulseshim.commands.stopping import stop_signals
from pulseshim.condition import Condition
from pulseshim.errors import StoreHeld
from pulseshim.runtime import Runtime
from pulseshim.store import Left, held_store, left_of, next_in_line, open_store

_LOOK = 0.02
_LOOK_AT_OTHER = 0.1


class Patience:
    """Runs out when nothing has changed for some seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: object = None
        self._since = clock()

    def is_over(self, seen: object) -> bool:
        """Say whether what is seen has been the same for too long."""
        if seen != self._seen:
            self._seen, self._since = seen, self._clock()
        return self._clock() - self._since > self._seconds


@click.command("drain")
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    metavar="S",
    help="Give up after S seconds without progress.",
)
@click.option("--single", is_flag=True, help="Leave at once where another drain already waits for its turn.")
@click.pass_obj
def command(session: Session, timeout: float, *, single: bool) -> int:
    """Read and publish what is there until spool and outbox are empty, then exit.

    For cron, or for a machine without a service. While `pulseshim run` works on the same store, drain waits
    until that one has nothing left. Exits 3 where the broker is not reached, 4 where something is parked.
    """
    session.log()
    with stop_signals() as stop, ExitStack() as line:
        if single and not line.enter_context(next_in_line(session.settings.directory)):
            return 0
        return drain(session, Patience(timeout), stop, begun=line.close)


def drain(
    session: Session, patience: Patience, stop: threading.Event, begun: Callable[[], object] = lambda: None
) -> int:
    """Drain the store, or wait until its holder has done so; give the exit code.

    `begun` is called when the store is held and nothing has been read yet.
    """
    while not stop.is_set():
        with ExitStack() as stack:
            try:
                store = stack.enter_context(held_store(session.settings, "drain"))
            except StoreHeld:
                left = _look(session)
                if not left.work:
                    return PARKED if left.parked else 0
                if patience.is_over(left):
                    raise
            else:
                begun()
                return work_off(session, runtime_of(session, store), patience, stop)
        stop.wait(_LOOK_AT_OTHER)
    return 1


def _look(session: Session) -> Left:
    """Give what another runtime has left to do."""
    store = open_store(session.settings, readonly=True)
    try:
        return left_of(store)
    finally:
        store.close()


def work_off(session: Session, runtime: Runtime, patience: Patience, stop: threading.Event) -> int:
    """Read and relay what is in a store that is held, and give the exit code."""
    runtime.start(watching=False)
    try:
        with progress(session, "draining") as shown:
            while not stop.is_set():
                runtime.reader.read_all(stop)
                left = runtime.left()
                shown(f"draining: {left}")
                if not left.work or patience.is_over(left):
                    break
                stop.wait(_LOOK)
        # Where nothing but drain and poll is ever run, nobody else does it.
        runtime.maintain()
        # How they are now is why something is left; a relay that has been stopped says no more than that.
        conditions = runtime.conditions.all()
    finally:
        left = runtime.stop()
    return _code(session, conditions, left)


def _code(session: Session, conditions: Sequence[Condition], left: Left) -> int:
    if left.work:
        session.console.print(f"not drained; left for the next start: {left}")
        held = [c for c in conditions if c.subject.startswith("admission") and c.condition == HELD_BACK]
        lost = [c for c in conditions if c.subject.startswith("relay") and c.detail]
        for condition in [*held, *lost]:
            session.console.print(f"{condition.subject}: {condition.condition}: {condition.detail}")
        return UNREACHED if left.pending and not held else 1
    return PARKED if left.parked else 0
