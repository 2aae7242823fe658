"""Arrivals: wakes the reader the moment a file appears in the spool."""

import logging
from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

log = logging.getLogger(__name__)


class _Waker(FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_created(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - that something came is enough
        self._wake()

    def on_moved(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - likewise
        self._wake()


class Arrivals:
    """Watches one directory. Where the system cannot watch it, the reader's own rescan has to do."""

    def __init__(self, directory: Path, wake: Callable[[], None]) -> None:
        self._directory = directory
        self._waker = _Waker(wake)
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        """Begin to watch."""
        try:
            # Once it is made it keeps a thread and one of the system's few watches, until it is stopped.
            self._observer = Observer()
            self._observer.daemon = True
            self._observer.schedule(self._waker, str(self._directory))
            self._observer.start()
        except OSError as error:
            log.warning("spool not watched, it is looked at every few seconds", extra={"error": str(error)})
            self.stop()

    def stop(self) -> None:
        """Watch no longer."""
        if self._observer:
            self._observer.stop()
            self._observer = None
