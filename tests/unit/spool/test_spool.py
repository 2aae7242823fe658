"""The reading half of the spool: what was recorded is read, oldest first, and gone when it is seen to."""

import os
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
from pulseshim.spool import Backlog, Spool, parse
from tests.unit.spool.recorded import ID, LARGEST, NAME, NOW, aside, new, prepared, put

texts = st.binary(max_size=60).map(lambda text: text.replace(b"\0", b""))
names = texts.map(lambda text: text.replace(b"=", b""))
feeds = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


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
