"""The spool while a local user works against the reader: what they get to see, and what they hold up."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pulseshim.recorder import record
from pulseshim.spool import Misfit, Spool

NOW = 1_764_025_361_123_456_789
DAY = 24 * 3600
NAME = f"{NOW:020}-00010203-0405-0607-0809-0a0b0c0d0e0f"
READS = 400
SECONDS = 60
MINE = b"mine" * 100


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Give a spool with one invocation in it."""
    made = Spool(tmp_path / "spool", largest=1 << 20)
    made.prepare("owner")
    record(os.fsencode(made.directory), b"git", (), (), MINE, b"/srv", NOW, bytes(range(16)))  # type: ignore[no-untyped-call] # hooks carry a copy
    return made


@contextmanager
def busily(deed: Callable[[], None]) -> Iterator[threading.Event]:
    """Do something over and over in a thread; the event given is set once it was done."""
    stop, done = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            deed()
            done.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def looks(enough: Callable[[], bool]) -> Iterator[int]:
    """Count to READS, and on until enough was seen: whose turn it is is the machine's to say."""
    deadline = time.monotonic() + SECONDS
    for number in itertools.count():
        if number >= READS and enough():
            return
        assert time.monotonic() < deadline, f"not enough seen in {number} looks"
        yield number


def test_a_file_that_is_swapped_while_it_is_looked_at_tells_nothing_of_anothers(
    spool: Spool, tmp_path: Path
) -> None:
    """Now a file, now a link to what the service alone may read, now a pipe: no read gives the other's."""
    entry = spool.entry(NAME)
    content = entry.read_bytes()
    secret = tmp_path / "secret"
    secret.write_bytes(content.replace(b"mine", b"ours"))
    place = tmp_path / "next"

    def swap() -> None:
        place.symlink_to(secret)
        os.replace(place, entry)
        os.mkfifo(place)
        os.replace(place, entry)
        place.write_bytes(content)
        os.replace(place, entry)

    read: list[bytes] = []
    refused: set[str] = set()
    with busily(swap) as begun:
        assert begun.wait(60)
        for _ in looks(lambda: bool(read and refused)):
            try:
                read.append(spool.read(NAME, NOW)[0].stdin)
            except Misfit as misfit:
                refused.add(str(misfit))

    assert set(read) == {MINE}
    assert refused <= {"it is a symbolic link", "it is no regular file"} | {
        "it cannot be opened (Too many levels of symbolic links)",  # it was a link, and is one no more
        "it is empty",
        "it is half-written",
        "it has more than one name (a hard link)",
    }


def test_a_file_that_is_cut_and_filled_while_it_is_read_is_whole_or_none(spool: Spool) -> None:
    """Its writer may keep it open, and write as they like: half of a text is never taken for the whole."""
    entry = spool.entry(NAME)
    content = entry.read_bytes()

    def rewrite() -> None:
        with entry.open("r+b") as file:
            file.truncate(len(content) // 2)
            file.write(content)

    read: list[bytes] = []
    with busily(rewrite) as begun:
        assert begun.wait(60)
        for _ in looks(lambda: bool(read)):
            try:
                read.append(spool.read(NAME, NOW)[1])
            except Misfit:
                continue

    assert set(read) == {content}


def test_a_tmp_that_is_full_holds_up_nobody(spool: Spool, tmp_path: Path) -> None:
    """Thousands of files, links, pipes, directories there: what is recorded is read, and those are let be."""
    tmp = spool.directory / "tmp"
    for number in range(3000):
        (tmp / f"junk-{number}").touch()
    (tmp / "link").symlink_to(tmp_path)
    (tmp / "directory").mkdir()
    (tmp / "directory" / "inside").touch()
    os.mkfifo(tmp / "pipe")
    now = (tmp / "link").lstat().st_mtime

    names = spool.names()
    invocation, _ = spool.read(NAME, NOW)
    young = list(spool.abandoned(now + DAY - 60))
    old = list(spool.abandoned(now + DAY + 60))

    assert names == [NAME]
    assert invocation.stdin == MINE
    assert young == []
    assert len(old) == 3003
    assert {entry.parent for entry in old} == {tmp}
