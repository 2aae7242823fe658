"""Messages on their way into one step of the outbox, however many and however large they are."""

import os
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from pulseshim.errors import StoreUnavailable
from pulseshim.exchange import Exchange
from pulseshim.message import Message
from pulseshim.outbox import Outgoing

_IN_MEMORY = 4 << 20


class Spill(AbstractContextManager["Spill"]):
    """Keeps a few MiB of messages in memory and the rest in a file without a name below a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._room = _IN_MEMORY
        self._first: list[Outgoing] = []
        self._file: IO[bytes] | None = None
        # They are few and the messages many: the file holds their numbers.
        self._exchanges: list[Exchange] = []

    def extend(self, outgoing: Iterable[Outgoing]) -> None:
        """Take messages, in order. Raises `StoreUnavailable` where the file cannot be written."""
        for out in outgoing:
            if self._room > 0:
                self._first.append(out)
                self._room -= _size(out.message)
            else:
                with self._translated():
                    self._write(out)

    def _write(self, out: Outgoing) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - closed by __exit__
        if out.exchange not in self._exchanges:
            self._exchanges.append(out.exchange)
        fields = (out.message, self._exchanges.index(out.exchange), out.feed, out.account, out.admission)
        pickle.dump(fields, self._file, pickle.HIGHEST_PROTOCOL)

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
            message, number, feed, account, admission = pickle.load(self._file)  # noqa: S301 - as said above
            yield Outgoing(message, self._exchanges[number], feed, account, admission)

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


def _size(message: Message) -> int:
    """Give about how many bytes a message takes: at least 1 KiB, for so much does a small object."""
    try:
        return max(len(msgspec.msgpack.encode(message.payload())), 1 << 10)
    except (TypeError, UnicodeError, OverflowError):
        return _IN_MEMORY  # it cannot be sealed, either: that will be said
