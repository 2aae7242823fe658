"""Arrivals: wakes the reader the moment a file appears in the spool."""

import logging
from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

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
        self._observer = Observer()
        self._observer.daemon = True
        self._observer.schedule(_Waker(wake), str(directory))

    def start(self) -> None:
        """Begin to watch."""
        try:
            self._observer.start()
        except OSError as error:
            log.warning("spool not watched, it is looked at every few seconds", extra={"error": str(error)})

    def stop(self) -> None:
        """Watch no longer."""
        if self._observer.is_alive():
            self._observer.stop()
