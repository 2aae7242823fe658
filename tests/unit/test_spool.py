"""The reading half of the spool: what an invocation is, and what is none."""

import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseshim import Invocation
from pulseshim.errors import StoreUnavailable
from pulseshim.recorder import record
from pulseshim.spool import Backlog, Misfit, Spool, _read_exactly, parse

NOW = 1_764_025_361_123_456_789
DAY = 24 * 3600 * 10**9
LARGEST = 1 << 20
ID = "00010203-0405-0607-0809-0a0b0c0d0e0f"
NAME = f"{NOW:020}-{ID}"

texts = st.binary(max_size=60).map(lambda text: text.replace(b"\0", b""))
names = texts.map(lambda text: text.replace(b"=", b""))
feeds = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Give a spool with nothing in it."""
    return prepared(tmp_path / "spool")


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


@settings(deadline=None)
@given(
    feed=feeds,
    arguments=st.lists(texts, max_size=5),
    environ=st.dictionaries(names, texts, max_size=5),
    stdin=st.binary(max_size=300),
    cwd=texts,
    now=st.integers(0, 10**20 - 1),
    identity=st.binary(min_size=16, max_size=16),
)
def test_what_is_recorded_is_read(
    feed: str,
    arguments: list[bytes],
    environ: dict[bytes, bytes],
    stdin: bytes,
    cwd: bytes,
    now: int,
    identity: bytes,
) -> None:
    """Whatever bytes a hook was given, the reader has them again; no field can look like another."""
    with TemporaryDirectory() as directory:
        spool = prepared(Path(directory))
        given_id = record(  # type: ignore[no-untyped-call] # hooks carry a copy
            os.fsencode(directory), feed.encode(), arguments, environ.items(), stdin, cwd, now, identity
        )
        (name,) = spool.names()

        invocation, content = spool.read(name, now)

        assert content == new(spool, name).read_bytes()
        assert invocation == Invocation(
            id=given_id,
            feed=feed,
            arguments=tuple(map(os.fsdecode, arguments)),
            environ={os.fsdecode(key): os.fsdecode(value) for key, value in environ.items()},
            stdin=stdin,
            cwd=os.fsdecode(cwd),
            recorded_at=datetime.fromtimestamp(now / 10**9, UTC),
            owner=os.geteuid(),
        )
        assert parse(content, os.geteuid()) == invocation


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


def test_there_are_10_000_fields_at_most(spool: Spool) -> None:
    """A hook gives some dozens; a file of nothing but fields must not cost more than a file."""
    five = [b""] * (10_000 - 6)
    put(spool, b"", *five)

    invocation, _ = spool.read(NAME, NOW)
    put(spool, b"", *five, b"")
    found = reason(spool)

    assert len(invocation.arguments) == 9_994
    assert found == "it has more than 10000 fields"


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


def test_names_are_given_oldest_first(spool: Spool) -> None:
    """So invocations are read in the order they were recorded in."""
    times = [NOW + 5, 9, NOW, 10, NOW - 5]
    for now in times:
        put(spool, now=now)

    assert [int(name[:20]) for name in spool.names()] == sorted(times)


def test_the_backlog_counts_what_recorders_named(spool: Spool) -> None:
    """A foreign file has no age, and is no invocation."""
    empty = spool.backlog()
    for now in (NOW + 5 * 10**6, NOW):
        put(spool, now=now)
    new(spool, "foreign").touch()

    assert empty == Backlog(0, None)
    assert spool.backlog() == Backlog(2, NOW // 10**6)


def test_a_file_that_is_gone_is_no_misfit(spool: Spool) -> None:
    """Somebody took it back: removing it is done already."""
    with pytest.raises(FileNotFoundError):
        spool.read(NAME, NOW)

    spool.remove(NAME)

    assert spool.names() == []


def test_setting_aside_never_writes_over_what_is_there(spool: Spool) -> None:
    """The same name may come again: each keeps a place of its own."""
    places = []
    for text in ("one", "two", "three"):
        new(spool, "foreign").write_text(text)
        places.append(aside(spool, "foreign"))

    assert [place.name for place in places if place] == ["foreign", "foreign.2", "foreign.3"]
    assert [place.read_text() for place in places if place] == ["one", "two", "three"]


def test_what_cannot_be_moved_is_told(unprivileged: Path) -> None:
    """The directory of another user may stay where it is."""
    spool = prepared(unprivileged / "spool")
    new(spool, "directory").mkdir(mode=0o500)

    assert aside(spool, "directory") is None
    assert spool.names() == ["directory"]
    assert list((spool.directory / "aside").iterdir()) == []


def test_what_was_set_aside_can_be_brought_back(spool: Spool) -> None:
    """A person has seen to it that it can be read now, as with a larger store.largest_invocation."""
    name = put(spool, b"x" * LARGEST)
    place = aside(spool, name)
    assert place

    spool.bring_back(place)
    invocation, _ = Spool(spool.directory, largest=2 * LARGEST).read(name, NOW)

    assert len(invocation.stdin) == LARGEST


def test_what_a_recorder_never_finished_is_found_after_a_day(spool: Spool) -> None:
    """Younger ones may still be written."""
    tmp = spool.directory / "tmp"
    for name, age in (("old", 86_401), (os.fsdecode(b"caf\xe9"), 90_000), ("young", 86_399)):
        (tmp / name).write_text("half")
        os.utime(tmp / name, (0, NOW // 10**9 - age))

    found = list(spool.abandoned(NOW // 10**9))

    assert found == [tmp / os.fsdecode(b"caf\xe9"), tmp / "old"]


def test_a_spool_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what to look for: every use of it says so, none makes it anew in silence."""
    spool = Spool(tmp_path / "gone", largest=LARGEST)

    with pytest.raises(StoreUnavailable, match=r"gone/new cannot be used \(No such file.*pulseshim check"):
        spool.names()
    with pytest.raises(StoreUnavailable, match="gone/new cannot be used"):
        spool.backlog()
    with pytest.raises(StoreUnavailable, match="gone/aside/x cannot be used"):
        spool.bring_back(tmp_path / "gone" / "aside" / "x")
    assert not spool.set_aside(spool.entry(NAME), tmp_path / "place")


def test_a_spool_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file where its directory should be is not written over."""
    (tmp_path / "spool").write_text("a file")

    with pytest.raises(StoreUnavailable, match=r"the spool .*/spool cannot be used"):
        prepared(tmp_path / "spool")

    assert (tmp_path / "spool").read_text() == "a file"


def test_a_file_that_cannot_be_removed_is_an_error_of_the_store(unprivileged: Path) -> None:
    """The machine is at fault and not the file: nothing is set aside."""
    spool = prepared(unprivileged / "spool")
    put(spool)
    new(spool).parent.chmod(0o500)

    with pytest.raises(StoreUnavailable, match=f"{NAME} cannot be used \\(Permission denied"):
        spool.remove(NAME)

    assert spool.names() == [NAME]


def test_a_list_that_was_taken_in_pieces_has_no_gap(tmp_path: Path) -> None:
    """Seen is a hook's second file and not its first, made meanwhile: both are read, in order."""

    class Torn(Spool):
        listings: ClassVar[list[list[str]]] = [["b", "d"], ["a", "b", "c", "d", "e"]]

        def _list(self) -> list[str]:
            return [f"{ord(letter):020}-{ID}" for letter in self.listings.pop(0)]

    spool = Torn(tmp_path, largest=1)

    names = spool.names()

    assert [chr(int(name[:20])) for name in names] == ["a", "b", "c", "d"]
