"""A spool with more in it that is no invocation than is set aside at once."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from pulseshim import Exchange, Feed, HookSource, Message
from pulseshim.errors import StoreUnavailable
from pulseshim.parked import Parked
from pulseshim.reader import Reader, ReaderEnds
from pulseshim.recorder import record
from pulseshim.settings import Settings, StoreSettings
from pulseshim.source import Outlet
from pulseshim.store import Store, open_store

DAY = 24 * 3600
MANY = 1200


class Read(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.read"


EXCHANGE = Exchange("exchange/tests/junk", "Tests", "Of the tests.", (Read,))
FEED = Feed(
    "words",
    HookSource(lambda invocation, _state: invocation.arguments),
    lambda text: [Read(routing_key=text, event_id=text)],
    EXCHANGE,
)


class Desk:
    """A reader at a store.

    `told` is what it says, in order: a text that was stored, a path that was parked; `parking` is done before
    it takes note of the latter.
    """

    def __init__(self, directory: Path) -> None:
        settings = Settings(store=StoreSettings(directory=str(directory)))
        self.store: Store = open_store(settings)
        self.new, self.tmp = (self.store.spool.directory / name for name in ("new", "tmp"))
        self.told: list[str] = []
        self.parking: Callable[[], object] = lambda: None
        ends = ReaderEnds(
            stored=lambda envelopes: self.told.extend(each.routing_key for each in envelopes),
            parked=self._parked,
        )
        self.reader = Reader(self.store, {"words": [Outlet(FEED, "")]}, random=lambda: 0.0, ends=ends)

    def _parked(self, item: Parked) -> None:
        self.parking()
        self.told.append(item.subject)

    def put(self, text: str) -> None:
        """Record an invocation."""
        spool, now = os.fsencode(self.store.spool.directory), time.time_ns()
        record(spool, b"words", [text.encode()], (), b"", b"/", now, os.urandom(16))  # type: ignore[no-untyped-call] # hooks carry a copy

    def read_everything(self) -> None:
        """Read until nothing is there."""
        while self.store.spool.names():
            self.reader.read_all()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Give a reader at an empty store."""
    made = Desk(tmp_path / "store")
    yield made
    made.store.close()


def test_what_arrives_while_junk_is_set_aside_is_read_in_between(desk: Desk) -> None:
    """What was there before is read first; neither waits until all is set aside, and all is counted."""
    desk.put("before")
    for number in range(MANY):
        (desk.new / f"!{number}").touch()

    def put_one() -> None:
        if desk.told == ["before"]:
            desk.put("meanwhile")

    desk.parking = put_one
    desk.read_everything()

    assert desk.told[0] == "before"
    assert desk.told.index("meanwhile") < MANY
    assert len(desk.told) == MANY + 2
    assert len(desk.store.parked.items()) == len(os.listdir(desk.store.spool.directory / "aside")) == MANY


def test_names_that_become_one_have_a_place_each(desk: Desk) -> None:
    """A stranger's names may differ in what is cut off alone, and come again: none writes over another."""
    aside = desk.store.spool.directory / "aside"
    for text in ("first", "second"):
        for number in range(20):
            (desk.new / f"{'x' * 210}{number:02}").write_text(f"{text} {number}")
        desk.read_everything()

    held = [Path(item.subject).read_text() for item in desk.store.parked.items()]
    assert held == [f"{text} {number}" for text in ("first", "second") for number in range(20)]
    assert {path.name for path in aside.iterdir()} == {
        "x" * 200 + (f".{number}" if number > 1 else "") for number in range(1, 41)
    }


def test_a_full_disk_leaves_junk_for_later(desk: Desk) -> None:
    """What could not be noted is not moved, and is set aside once there is room."""
    for number in range(3):
        (desk.new / f"!{number}").touch()
    with desk.store.database.step() as connection:
        connection.execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON parked BEGIN SELECT raise(ABORT, 'full'); END"
        )

    with pytest.raises(StoreUnavailable, match="full"):
        desk.reader.read_all()
    left = desk.store.spool.names()
    with desk.store.database.step() as connection:
        connection.execute("DROP TRIGGER full")
    desk.read_everything()

    assert len(left) == 3
    assert len(desk.told) == len(desk.store.parked.items()) == 3


def test_what_a_recorder_left_and_cannot_be_moved_is_told_once_while_it_stays(
    unprivileged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Maintenance comes every hour; what comes anew, or goes and comes again, is told."""
    caplog.set_level(logging.ERROR)
    desk = Desk(unprivileged / "store")
    stuck = desk.tmp / "stuck"

    def leave(name: str) -> None:
        (desk.tmp / name).mkdir()
        (desk.tmp / name / "file").touch()
        (desk.tmp / name).chmod(0o500)

    def tidy() -> int:
        desk.reader.tidy(time.time() + 2 * DAY)
        return len(desk.told)

    leave("stuck")
    counts = [tidy(), tidy()]
    leave("another")
    counts += [tidy(), tidy()]
    stuck.chmod(0o700)
    (stuck / "file").unlink()
    stuck.rmdir()
    counts += [tidy()]
    leave("stuck")
    counts += [tidy()]

    assert counts == [1, 1, 2, 2, 2, 3]
    assert desk.told == [str(stuck), str(desk.tmp / "another"), str(stuck)]
    assert [record.message for record in caplog.records] == ["file set aside"] * 3
    assert len(desk.store.parked.items()) == 2
    desk.store.close()
