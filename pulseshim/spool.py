"""The reading half of the spool. It trusts nothing in there but the bytes of a file it could open itself."""

import errno
import os
import re
import stat
from bisect import bisect_left
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pulseshim import recorder
from pulseshim.errors import StoreUnavailable
from pulseshim.feed import Invocation
from pulseshim.message import readable

_NAME = re.compile(r"(?P<time>[0-9]{20})-(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_HEADER = b"pulseshim-invocation/1"
_FUTURE = 24 * 3600 * 10**9
_ABANDONED = 24 * 3600.0
_MOST_FIELDS = 700_000
"""More than Linux can hand to a program as arguments and environment: 6 MiB, and 9 bytes for the shortest."""
# These say nothing about the file: the process or the machine is short of something for a while.
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR}
_NAME_BYTES = 200
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Misfit(Exception):
    """A directory entry of the spool that is no invocation; its text says why."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, and since when: the time of the oldest in milliseconds since 1970, None for none."""

    count: int
    oldest: int | None


class Spool:
    """A directory that any local program may drop an invocation into (see `pulseshim.recorder`).

    An entry that is no invocation (half-written, too large, a link, a directory, a fifo, a foreign name,
    a name from the future) is a `Misfit`: the reader sets it aside and goes on.
    """

    def __init__(self, directory: Path, *, largest: int) -> None:
        self.directory = directory
        self._new = directory / "new"
        self._tmp = directory / "tmp"
        self._aside = directory / "aside"
        self._largest = largest

    def prepare(self, recorders: str) -> None:
        """Make the spool's directories, open to those who may record. Raises `StoreUnavailable`."""
        try:
            recorder.prepare(os.fsencode(self.directory), recorders)
            self._aside.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _unavailable(self.directory, error) from error

    def names(self) -> list[str]:
        """Give the names of what is in the spool, oldest first, without gaps.

        A large directory is listed in pieces: one hook's second file can be seen though its first, made
        meanwhile, is not. What was made before anything on the first list is on the second for certain.
        """
        try:
            first = set(self._list())
            newest = max(filter(_NAME.fullmatch, first), default="")
            return sorted(name for name in self._list() if name in first or name < newest) if first else []
        except OSError as error:
            raise _unavailable(self._new, error) from error

    def _list(self) -> list[str]:
        return os.listdir(self._new)

    def read(self, name: str, now: int) -> tuple[Invocation, bytes]:
        """Give the invocation in a file, and the file's bytes. Raises `Misfit`.

        `now`, in nanoseconds since 1970, tells a name from the future. Raises FileNotFoundError where
        the file is gone, `StoreUnavailable` where the machine cannot read it now.
        """
        match = _NAME.fullmatch(name)
        if not match:
            raise Misfit("its name is not one that a recorder gives")
        if int(match["time"]) > now + _FUTURE:
            raise Misfit("its name is from the future: more than a day ahead of this machine's clock")
        content, owner = self._content(name)
        invocation = parse(content, owner)
        if invocation.id != match["id"]:
            raise Misfit("its name and its text give two different ids")
        if invocation.recorded_at != _moment(match["time"]):
            raise Misfit("its name and its text give two different times")
        return invocation, content

    def _content(self, name: str) -> tuple[bytes, int]:
        path = self._new / name
        try:
            # O_NONBLOCK: opening a fifo must not wait for a writer.
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            if path.is_symlink():
                raise Misfit("it is a symbolic link") from error
            if error.errno in _PASSING:
                raise _unavailable(path, error) from error
            raise Misfit(f"it cannot be opened ({error.strerror})") from error
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise Misfit("it is no regular file")
            if status.st_nlink > 1:
                raise Misfit("it has more than one name (a hard link)")
            if status.st_mode & _OTHERS_WRITE:
                raise Misfit("others than its owner can write to it: who wrote it is not known")
            if status.st_size > self._largest:
                raise Misfit(
                    f"it has {status.st_size} bytes, the limit store.largest_invocation is {self._largest}"
                )
            return _read_exactly(file, status.st_size), status.st_uid
        except OSError as error:
            raise Misfit(f"it cannot be read ({error.strerror})") from error
        finally:
            os.close(file)

    def remove(self, name: str) -> None:
        """Remove a file that has been read. Raises `StoreUnavailable`."""
        try:
            os.unlink(self._new / name)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _unavailable(self._new / name, error) from error

    def entry(self, name: str) -> Path:
        """Give the path of what has a name in the spool."""
        return self._new / name

    def place_aside(self, name: str, taken: Container[Path] = ()) -> Path:
        """Give a path in `aside/` that is not taken: a stranger's name, made readable and short enough.

        Of one name there may be thousands, so its numbers are not tried one by one.
        """
        first = str(self._aside / readable(name).encode()[:_NAME_BYTES].decode(errors="ignore"))

        def place(number: int) -> str:
            return f"{first}.{number}" if number > 1 else first

        def is_free(number: int) -> bool:
            return not os.path.lexists(place(number)) and Path(place(number)) not in taken

        above = 1
        while not is_free(above):
            above *= 2
        return Path(place(bisect_left(range(above), True, lo=above // 2 + 1, key=is_free)))

    def set_aside(self, entry: Path, place: Path) -> bool:
        """Move an entry to its place in `aside/`, and say whether that was possible."""
        try:
            os.rename(entry, place)
        except OSError:
            return False
        return True

    def bring_back(self, path: Path) -> None:
        """Put what was set aside into the spool again. Raises `StoreUnavailable`."""
        try:
            os.rename(path, self._new / path.name)
        except OSError as error:
            raise _unavailable(path, error) from error

    def abandoned(self, now: float) -> Iterator[Path]:
        """Give what a recorder began more than a day ago and never finished; `now` is in seconds."""
        for entry in sorted(os.scandir(self._tmp), key=lambda entry: entry.name):
            with suppress(OSError):
                if now - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED:
                    yield Path(entry.path)

    def backlog(self) -> Backlog:
        """Give how many invocations wait to be read, and the age of the oldest."""
        times = [int(match["time"]) // 10**6 for name in self.names() if (match := _NAME.fullmatch(name))]
        return Backlog(len(times), min(times, default=None))


def owner_of(entry: Path) -> int | None:
    """Give the user that an entry of the spool belongs to, None where it is gone."""
    try:
        return entry.lstat().st_uid
    except OSError:
        return None


def parse(content: bytes, owner: int | None) -> Invocation:
    """Give the invocation that a file's bytes say. Raises `Misfit` where they say none."""
    if not content.startswith(_HEADER + b"\0"):
        raise Misfit("it is empty" if not content else "it does not begin with pulseshim-invocation/1")
    fields: dict[bytes, list[bytes]] = {}
    start, name = len(_HEADER) + 1, b""
    for _ in range(_MOST_FIELDS):
        end = content.find(b"\0", start)
        name, equals, value = content[start : max(end, start)].partition(b"=")
        if end < 0 or not equals:
            raise Misfit("it is half-written")
        fields.setdefault(name, []).append(value)
        start = end + 1
        if name == b"stdin":
            break
    else:
        raise Misfit(f"it has more than {_MOST_FIELDS} fields")
    rest = content[start:]
    try:
        if len(rest) != int(fields[b"stdin"][0]):
            raise Misfit(
                f"it is half-written: {len(rest)} of {int(fields[b'stdin'][0])} bytes of standard input"
            )
        variables = (pair.partition(b"=") for pair in fields.get(b"environ", []))
        return Invocation(
            id=fields[b"id"][0].decode(),
            feed=fields[b"feed"][0].decode(),
            arguments=tuple(map(os.fsdecode, fields.get(b"argument", []))),
            environ={os.fsdecode(name): os.fsdecode(value) for name, _, value in variables},
            stdin=rest,
            cwd=os.fsdecode(fields[b"cwd"][0]),
            recorded_at=_moment(fields[b"recorded_at"][0]),
            owner=owner,
        )
    except (KeyError, ValueError, OverflowError, OSError) as error:
        raise Misfit(f"a field is missing or wrong ({error})") from error


def _moment(nanoseconds: str | bytes) -> datetime:
    """Give the time that is so long after the beginning of 1970."""
    return datetime.fromtimestamp(int(nanoseconds) / 10**9, UTC)


def _read_exactly(file: int, size: int) -> bytes:
    """Read a file that is not to be larger than it was when it was looked at."""
    parts = []
    left = size + 1
    while left and (part := os.read(file, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    if left == 0:
        raise Misfit("it grew while it was read")
    return b"".join(parts)


def _unavailable(path: Path, error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"the spool {path} cannot be used ({error.strerror})",
        "see that it exists, belongs to the account of pulseshim and has free space (pulseshim check)",
    )
