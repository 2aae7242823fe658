"""SIGTERM and SIGINT, for the verbs that end in good order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue


class _Stop(threading.Event):
    """An event that the handler of a signal may set. It is never cleared, and one thread waits for it.

    One of threading's has a lock: a handler that interrupts whoever holds it would wait for itself for ever.
    The queue's `put` may interrupt its own `get`, as the library's reference says.
    """

    def __init__(self) -> None:
        super().__init__()
        self._noted: SimpleQueue[None] = SimpleQueue()
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        self._noted.put(None)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        if not self._is_set:
            with suppress(Empty):
                self._noted.get(timeout=timeout)
        return self._is_set


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set. The same signal once more ends the process at once."""
    stop = _Stop()

    def note(number: int, _frame: object) -> None:
        # What a plugin does cannot be interrupted in good order; nothing that is stored is lost without it.
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
