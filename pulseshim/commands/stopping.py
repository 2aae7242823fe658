"""SIGTERM and SIGINT, for the verbs that end in good order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set. The same signal once more ends the process at once."""
    stop = threading.Event()

    def note(number: int, _frame: object) -> None:
        stop.set()
        # What a plugin does cannot be interrupted in good order; nothing that is stored is lost without it.
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
