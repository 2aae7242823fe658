"""A spool, what a recorder put into it, and what the reader says of it."""

import os
from pathlib import Path

import pytest

from pulseshim.recorder import record
from pulseshim.spool import Misfit, Spool

NOW = 1_764_025_361_123_456_789
DAY = 24 * 3600 * 10**9
LARGEST = 1 << 20
ID = "00010203-0405-0607-0809-0a0b0c0d0e0f"
NAME = f"{NOW:020}-{ID}"


def prepared(directory: Path) -> Spool:
    made = Spool(directory, largest=LARGEST)
    made.prepare("owner")
    return made


def put(spool: Spool, stdin: bytes = b"", *arguments: bytes, now: int = NOW) -> str:
    """Record an invocation and give the name of its file."""
    identity = bytes(range(16))
    record(
        os.fsencode(spool.directory), b"git", arguments, ((b"USER", b"ada"),), stdin, b"/srv", now, identity
    )  # type: ignore[no-untyped-call] # hooks carry a copy
    return f"{now:020}-{ID}"


def new(spool: Spool, name: str = NAME) -> Path:
    return spool.directory / "new" / name


def aside(spool: Spool, name: str) -> Path | None:
    """Move an entry out of the way and give where it is then, None where it cannot be moved."""
    place = spool.place_aside(name)
    return place if spool.set_aside(spool.entry(name), place) else None


def reason(spool: Spool, name: str = NAME, now: int = NOW) -> str:
    """Give why an entry is no invocation."""
    with pytest.raises(Misfit) as caught:
        spool.read(name, now)
    return str(caught.value)
