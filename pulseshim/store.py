"""The store: the directory with the spool, the outbox and the lock that lets one runtime work on them."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pulseshim.database import Database
from pulseshim.errors import StoreHeld, StoreUnavailable
from pulseshim.outbox import Outbox
from pulseshim.parked import Parked, ParkedItems
from pulseshim.settings import Settings
from pulseshim.spool import Spool, owner_of

_OUTBOX = "outbox.sqlite3"
_LOCK = "lock"
_LOOK = 0.01
_LOOKS = 200


@dataclass(frozen=True, slots=True)
class Store:
    """Spool, outbox and parked items of one directory."""

    directory: Path
    spool: Spool
    database: Database
    outbox: Outbox
    parked: ParkedItems

    def set_aside(self, entries: Mapping[Path, str]) -> list[tuple[Parked, bool]]:
        """Park entries of the spool that are no invocations, move them to `aside/`, and say of each if it is.

        `entries` gives the cause of each. All are noted, in one step, before any is moved: after a crash in
        between, those that are left are met again and are the same items. Raises `StoreError`.
        """
        places: dict[Path, Path] = {}
        for entry in entries:
            places[self.spool.place_aside(entry.name, places)] = entry
        owners = {entry: owner_of(entry) for entry in entries}
        files = [(str(place), entries[entry], owners[entry]) for place, entry in places.items()]
        items = dict(zip(entries, self.parked.park_files(files), strict=True))
        stuck = [entry for place, entry in places.items() if not self.spool.set_aside(entry, place)]
        if not stuck:
            return [(item, True) for item in items.values()]
        for entry in stuck:
            # The directory of another user cannot be moved (its ".." would change): empty, it can go.
            with suppress(OSError):
                os.rmdir(entry)
        left = [(str(entry), entries[entry], owners[entry]) for entry in stuck]
        instead = self.parked.park_files(left, instead_of=[items[entry] for entry in stuck])
        items.update(zip(stuck, instead, strict=True))
        remains = {entry for entry in stuck if os.path.lexists(entry)}
        return [(item, entry not in remains) for entry, item in items.items()]

    def close(self) -> None:
        """Close the outbox's file."""
        self.database.close()


def milliseconds() -> int:
    """Give the time in milliseconds since 1970."""
    return time.time_ns() // 10**6


def open_store(settings: Settings, *, now: Callable[[], int] = milliseconds, readonly: bool = False) -> Store:
    """Open the store that the settings name; make it where it does not exist yet, unless `readonly`.

    Raises `StoreUnavailable`, `StoreCorrupt` or `StoreVersion`.
    """
    directory = settings.directory
    spool = Spool(directory / "spool", largest=settings.store.largest_invocation)
    path = directory / _OUTBOX
    if readonly and not spool.directory.exists():
        raise StoreUnavailable(
            f"there is no store in {directory}", "name it in store.directory, or start pulseshim run once"
        )
    if not readonly:
        make_directory(directory)
        spool.prepare(settings.store.recorders)
        if not path.exists():
            # What waits in there may tell of private repositories: it is for the owner alone.
            path.touch(mode=0o600)
    database = Database(path, readonly=readonly)
    return Store(directory, spool, database, Outbox(database, now), ParkedItems(database, now))


def make_directory(directory: Path) -> None:
    """Make the directory of a store. Raises `StoreUnavailable`."""
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True, exist_ok=True)
            # Whatever the umask: those who record must reach the spool in it.
            directory.chmod(0o755)
    except OSError as error:
        raise StoreUnavailable(
            f"the store {directory} cannot be made ({error.strerror})",
            "make it, owned by the account of pulseshim, or name another in store.directory",
        ) from error


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to do in a store: invocations in the spool, envelopes without a confirm, parked items."""

    spool: int
    pending: int
    parked: int

    @property
    def work(self) -> int:
        """Give how much there is to do that needs no person."""
        return self.spool + self.pending

    def __str__(self) -> str:
        return f"{self.spool} in the spool, {self.pending} to publish, {self.parked} parked"


def left_of(store: Store) -> Left:
    """Give what is left to do in a store."""
    # Before the outbox: what a reader of another process moves from the one to the other meanwhile is counted
    # twice, where the reverse would not count it at all.
    spooled = len(store.spool.names())
    (pending,), (again,), (parked,) = store.database.query(
        "SELECT count(*) FROM pending UNION ALL SELECT count(*) FROM parked WHERE awaiting = 'reader'"
        " UNION ALL SELECT count(*) FROM parked"
    )
    return Left(spool=spooled + again, pending=pending, parked=parked)


@contextmanager
def held_store(settings: Settings, command: str) -> Iterator[Store]:
    """Give the store, held for one runtime. Raises `StoreHeld`, naming the holder, where another has it."""
    make_directory(settings.directory)
    with _lock_file(settings.directory, _LOCK) as file:
        if not _take(file):
            raise StoreHeld(
                f"{file.read().strip() or 'another pulseshim'} works on the store {settings.directory}",
                "stop it first, or wait until it has ended",
            )
        file.truncate(0)
        with suppress(OSError):  # on a full disk nobody is told who holds it, and it is held all the same
            os.write(file.fileno(), f"pulseshim {command} (process {os.getpid()})".encode())
        store = open_store(settings)
        try:
            yield store
        finally:
            store.close()
            file.truncate(0)


def _take(file: IO[str]) -> bool:
    """Lock a file and say whether that was possible. `holder` has it for a moment, which is waited for."""
    for _ in range(_LOOKS):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        # Two that wait would else hold each other up.
        fcntl.flock(file, fcntl.LOCK_UN)
        time.sleep(_LOOK)
    return False


def holder(directory: Path) -> str:
    """Give who holds a store, as a phrase with verb and process; empty where nobody does."""
    try:
        with (directory / _LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return ""
    except BlockingIOError:
        return (directory / _LOCK).read_text().strip() or "another pulseshim"
    except OSError:
        return ""


@contextmanager
def next_in_line(directory: Path) -> Iterator[bool]:
    """Say whether this process is the one that may wait for the store; there is one at most.

    Who waits will see everything that was recorded before it began to work, so a second need not.
    """
    make_directory(directory)
    with _lock_file(directory, "lock.next") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _lock_file(directory: Path, name: str) -> Iterator[IO[str]]:
    try:
        file = os.fdopen(os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    except OSError as error:
        raise StoreUnavailable(
            f"{directory / name} cannot be opened ({error.strerror})",
            "see that the store exists and belongs to the account of pulseshim",
        ) from error
    with file:
        # Whoever may read a file may lock it, and so keep everybody else from the store.
        if os.fstat(file.fileno()).st_mode & 0o077:
            os.fchmod(file.fileno(), 0o600)
        yield file
