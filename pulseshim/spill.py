"""Messages on their way into one step of the outbox, however many they are."""

import os
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO

from pulseshim.errors import StoreUnavailable
from pulseshim.outbox import Outgoing

_IN_MEMORY = 1000


class Spill(AbstractContextManager["Spill"]):
    """Keeps the first messages in memory and the rest in a file without a name below a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._first: list[Outgoing] = []
        self._file: IO[bytes] | None = None

    def extend(self, outgoing: Iterable[Outgoing]) -> None:
        """Take messages, in order. Raises `StoreUnavailable` where the file cannot be written."""
        for out in outgoing:
            if len(self._first) < _IN_MEMORY:
                self._first.append(out)
            else:
                with self._translated():
                    self._write(out)

    def _write(self, out: Outgoing) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - closed by __exit__
        pickle.dump(out, self._file, pickle.HIGHEST_PROTOCOL)

    def __iter__(self) -> Iterator[Outgoing]:
        """Give the messages in the order they were taken. Raises `StoreUnavailable`, as `extend` does."""
        yield from self._first
        if self._file is None:
            return
        with self._translated():
            end = self._file.seek(0, os.SEEK_END)
            self._file.seek(0)
        while self._file.tell() < end:
            # Nobody but this object has ever written to the file, and nobody else can open it.
            out: Outgoing = pickle.load(self._file)  # noqa: S301 - the reason stands above
            yield out

    def __exit__(self, *_: object) -> None:
        """Let the file go."""
        if self._file is not None:
            # On a full disk closing fails as writing did, and that has been said.
            with suppress(OSError):
                self._file.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(
                f"no file for many messages can be written in {self._directory} ({error.strerror})",
                "see that the directory exists, belongs to the account of pulseshim and has free space",
            ) from error
