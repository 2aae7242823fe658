"""The reading half of the spool: what is no invocation, and why."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseshim import Invocation
from pulseshim.spool import Misfit, Spool, _read_exactly, parse
from tests.unit.spool.recorded import DAY, ID, LARGEST, NAME, NOW, aside, new, prepared, put, reason


def test_half_of_an_invocation_is_none(spool: Spool) -> None:
    """A file that ends early is never taken for a whole one, wherever it ends; nor is one with more."""
    content = new(spool, put(spool, b"old new refs/heads/main\n\0", b"one", b"")).read_bytes()

    for length in range(len(content)):
        new(spool).write_bytes(content[:length])

        assert reason(spool)

    new(spool).write_bytes(content + b"\n")
    assert "half-written: 26 of 25 bytes of standard input" in reason(spool)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(text: bytes) -> None:
    """Whatever stands in a file, it is an invocation or a misfit."""
    for content in (text, b"pulseshim-invocation/1\0" + text, b"pulseshim-invocation/1\0stdin=0\0" + text):
        with pytest.raises(Misfit):
            parse(content, None)


@settings(deadline=None)
@given(st.data())
def test_no_change_to_an_invocation_breaks_the_reader(data: st.DataObject) -> None:
    """Bytes that were changed, lost or added make another invocation or a misfit, never another error."""
    fields = [b"pulseshim-invocation/1", b"id=" + ID.encode(), b"feed=git", b"recorded_at=%d" % NOW]
    content = b"\0".join([*fields, b"cwd=/", b"argument=a", b"environ=A=b", b"stdin=3", b"abc"])
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 8)))
    changed = content[:start] + data.draw(st.binary(max_size=12)) + content[end:]

    try:
        invocation = parse(changed, None)
    except Misfit:
        return

    assert isinstance(invocation, Invocation)
    assert len(invocation.stdin) == int(changed.partition(b"\0stdin=")[2].partition(b"\0")[0])


def make_link(place: Path) -> None:
    target = place.parent.parent / "whole"
    place.rename(target)
    place.symlink_to(target)


def make_dangling_link(place: Path) -> None:
    place.unlink()
    place.symlink_to("/nowhere")


def make_hard_link(place: Path) -> None:
    (place.parent.parent / "second").hardlink_to(place)


def make_directory(place: Path) -> None:
    place.unlink()
    place.mkdir()
    (place / "inside").touch()


def make_fifo(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def make_socket(place: Path) -> None:
    place.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        directory = os.open(place.parent, os.O_RDONLY)
        # The path itself may be longer than an address of a socket can be.
        listening.bind(f"/proc/self/fd/{directory}/{place.name}")
        os.close(directory)


def make_large(place: Path) -> None:
    os.truncate(place, LARGEST + 1)


def make_empty(place: Path) -> None:
    os.truncate(place, 0)


def make_foreign(place: Path) -> None:
    place.write_bytes(b"pulseshim-invocation/2\0id=1\0")


def make_other_id(place: Path) -> None:
    place.write_bytes(place.read_bytes().replace(b"id=0001", b"id=0002"))


def make_without_feed(place: Path) -> None:
    place.write_bytes(place.read_bytes().replace(b"feed=", b"food="))


def make_without_a_time(place: Path) -> None:
    place.write_bytes(place.read_bytes().replace(b"recorded_at=", b"recorded_at=1e"))


def make_another_time(place: Path) -> None:
    later = b"recorded_at=%d" % (221_845_392_000 * 10**9)
    place.write_bytes(place.read_bytes().replace(b"recorded_at=%d" % NOW, later))


def make_far_off(place: Path) -> None:
    place.write_bytes(place.read_bytes().replace(b"recorded_at=", b"recorded_at=" + b"9" * 5000))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (make_link, "it is a symbolic link"),
        (make_dangling_link, "it is a symbolic link"),
        (make_hard_link, "it has more than one name (a hard link)"),
        (make_directory, "it is no regular file"),
        (make_fifo, "it is no regular file"),
        (make_socket, "it cannot be opened (No such device or address)"),
        (make_large, "it has 1048577 bytes, the limit store.largest_invocation is 1048576"),
        (make_empty, "it is empty"),
        (make_foreign, "it does not begin with pulseshim-invocation/1"),
        (make_other_id, "its name and its text give two different ids"),
        (make_another_time, "its name and its text give two different times"),
        (make_without_feed, "a field is missing or wrong (b'feed')"),
        (make_without_a_time, "a field is missing or wrong (invalid literal for int()"),
        (make_far_off, "a field is missing or wrong (Exceeds the limit"),
    ],
)
def test_a_misfit_tells_why_it_is_none(spool: Spool, change: Callable[[Path], None], says: str) -> None:
    """Each kind by its own reason, and it can be moved out of the way as it is."""
    put(spool)
    change(new(spool))

    found = reason(spool)
    place = aside(spool, NAME)

    assert found.startswith(says)
    assert place == spool.directory / "aside" / NAME
    assert os.path.lexists(place)
    assert spool.names() == []


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_may_not_be_read_is_a_misfit(unprivileged: Path, kind: str) -> None:
    """Whoever records must let the service read it: another file's turn comes all the same."""
    spool = prepared(unprivileged / "spool")
    put(spool)
    if kind == "directory":
        new(spool).unlink()
        new(spool).mkdir()
    new(spool).chmod(0)

    found = reason(spool)

    assert found == "it cannot be opened (Permission denied)"


@pytest.mark.parametrize(
    "name",
    [
        "foreign",
        ".hidden",
        NAME + "\n",
        NAME.upper(),
        NAME[1:],
        NAME + ".2",
        "0" * 255,
        os.fsdecode(b"caf\xe9"),
        "\u0661" * 20 + NAME[20:],
    ],
)
def test_a_foreign_name_is_a_misfit_and_is_not_opened(spool: Spool, name: str) -> None:
    """What is in the file does not matter: no recorder names it so."""
    put(spool)
    new(spool).rename(new(spool, name))

    found = reason(spool, name)
    place = aside(spool, name)

    assert found == "its name is not one that a recorder gives"
    assert place is not None
    assert place.exists()
    assert str(place).encode()


def test_a_name_from_the_future_is_a_misfit(spool: Spool) -> None:
    """A day ahead may be a clock that was set; more would be read last for ever."""
    put(spool)

    invocation, _ = spool.read(NAME, NOW - DAY)
    found = reason(spool, now=NOW - DAY - 1)

    assert invocation.id == ID
    assert found.startswith("its name is from the future")


def test_there_are_as_many_fields_as_a_program_can_be_given(spool: Spool) -> None:
    """And no more: a file of nothing but fields must not cost more than a file."""
    spool = Spool(spool.directory, largest=1 << 24)
    five = [b""] * (700_000 - 6)
    put(spool, b"", *five)

    invocation, _ = spool.read(NAME, NOW)
    put(spool, b"", *five, b"")
    found = reason(spool)

    assert len(invocation.arguments) == 699_994
    assert found == "it has more than 700000 fields"


def test_a_file_that_grows_while_it_is_read_is_a_misfit(spool: Spool) -> None:
    """Who still writes to what is in new/ is no recorder, and must not make the reader read for ever."""
    put(spool, b"x" * (3 << 20))
    file = os.open(new(spool), os.O_RDONLY)
    size = os.fstat(file).st_size

    with pytest.raises(Misfit, match="it grew while it was read"):
        _read_exactly(file, size - 1)
    os.lseek(file, 0, os.SEEK_SET)
    whole = _read_exactly(file, size)
    os.close(file)

    assert len(whole) == size


@pytest.mark.parametrize("mode", [0o664, 0o620, 0o646])
def test_a_file_that_others_can_write_tells_nothing_of_its_writer(spool: Spool, mode: int) -> None:
    """Somebody may have written an invocation into a file of another's, and moved that here."""
    new(spool, put(spool)).chmod(mode)

    found = reason(spool)

    assert found == "others than its owner can write to it: who wrote it is not known"
