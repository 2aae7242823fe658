"""The reader: what cannot be stored is parked or waits, and nothing stops it."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pulseshim import Feed, Invocation, PollSource, State
from pulseshim.errors import StoreUnavailable
from pulseshim.reader import Reader
from pulseshim.source import Outlet
from tests.unit.reader.bench import LARGEST, NOW, ONE, Bench, shim, words


def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; it is an error where it does not within 20 s."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_is_no_invocation_is_set_aside_and_the_rest_is_read(bench: Bench, tmp_path: Path) -> None:
    """Whatever a stranger drops into the spool, it stops nobody: each is parked with its reason."""
    bench.put("first")
    half, large, linked, twice = (bench.put("never") for _ in range(4))
    content = (bench.new / half).read_bytes()
    (bench.new / half).write_bytes(content[:-3])
    os.truncate(bench.new / large, LARGEST + 1)
    (bench.new / linked).rename(tmp_path / "elsewhere")
    (bench.new / linked).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "second").hardlink_to(bench.new / twice)
    os.mkfifo(bench.new / f"{NOW:020}-00000000-0000-4000-8000-000000000001")
    (bench.new / "directory").mkdir()
    (bench.new / "directory" / "inside").touch()
    Path(os.fsdecode(os.fsencode(bench.new) + b"/caf\xe9")).touch()
    future = f"{NOW + 25 * 3600 * 10**9:020}-00000000-0000-4000-8000-000000000002"
    (bench.new / future).write_bytes(content)
    bench.put("last")

    bench.reader().read_all()

    assert bench.waiting() == ["first", "last"]
    assert bench.store.spool.names() == []
    reasons = {Path(item.subject).name: item.cause for item in bench.store.parked.items()}
    aside = bench.store.spool.directory / "aside"
    assert reasons.keys() == set(os.listdir(aside))
    assert all(Path(item.subject).parent == aside for item in bench.parked)
    assert {item.kind for item in bench.parked} == {"file"}
    assert reasons[half].startswith("it is half-written")
    assert reasons[large].startswith(f"it has {LARGEST + 1} bytes")
    assert reasons[linked].startswith("it is a symbolic link")
    assert reasons[twice].startswith("it has more than one name")
    assert reasons["directory"].startswith("its name is not one")
    assert reasons["caf\\xe9"].startswith("its name is not one")
    assert reasons[future].startswith("its name is from the future")
    assert reasons.keys() - {half, large, linked, twice, "directory", "caf\\xe9", future} == {
        f"{NOW:020}-00000000-0000-4000-8000-000000000001"
    }


def test_what_cannot_be_moved_is_looked_at_once(unprivileged: Path) -> None:
    """A directory that stays in the spool makes neither a loop nor an item each time; the rest is read."""
    bench = Bench(unprivileged / "store")
    (bench.new / "stuck").mkdir()
    (bench.new / "stuck" / "file").touch()
    (bench.new / "stuck").chmod(0o500)
    bench.put("word")
    reader = bench.reader()

    counts = [reader.read_all() for _ in range(3)]
    bench.reader().read_all()

    assert counts == [2, 0, 0]
    assert bench.waiting() == ["word"]
    assert [item.subject for item in bench.store.parked.items()] == [str(bench.new / "stuck")]
    (bench.new / "stuck").chmod(0o700)
    (bench.new / "stuck" / "file").unlink()
    (bench.new / "stuck").rmdir()
    reader.read_all()
    assert reader.immovable == set()
    bench.store.close()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("no such commit"), "RuntimeError: no such commit"),
        (ValueError("caf\udce9 \ud800"), "ValueError: caf\\xe9 \ufffd"),
        (SystemExit(3), "SystemExit: 3"),
        (PermissionError(13, "Permission denied", "/srv/git"), "PermissionError: [Errno 13] Permission"),
    ],
)
def test_whatever_a_plugin_raises_is_parked_with_its_traceback(
    bench: Bench, error: BaseException, cause: str
) -> None:
    """It blocks neither the next invocation nor the other feeds, and the invocation is kept whole."""

    def fail(_invocation: Invocation, _state: State) -> Iterator[str]:
        yield "lost"
        raise error

    name = bench.put("one", feed="broken", stdin=b"\0input\0")
    content = (bench.new / name).read_bytes()
    bench.put("two")

    bench.reader(broken=fail).read_all()

    assert bench.waiting() == ["two"]
    (item,) = bench.store.parked.items()
    assert bench.parked == [item]
    assert (item.kind, item.feed, item.awaiting) == ("invocation", "broken", "person")
    assert item.cause.startswith(cause)
    assert "in fail" in item.traceback
    assert bench.store.parked.content(item) == content
    assert bench.store.spool.names() == []


def test_a_message_that_breaks_a_rule_parks_its_invocation(bench: Bench) -> None:
    """All of an invocation goes out, or none of it: a half would never be completed."""
    bench.put("fine", "", "fine as well")

    bench.reader().read_all()

    assert bench.waiting() == []
    (item,) = bench.store.parked.items()
    assert item.cause.startswith("InvalidDeclaration: the routing key of a tests.read message is 0 bytes")


def test_an_invocation_without_its_feed_waits_for_it(bench: Bench) -> None:
    """A plugin that is not installed or cannot be loaded loses nothing: its turn comes with the plugin."""
    bench.put("one", feed="later")
    bench.reader().read_all()
    (item,) = bench.store.parked.items()
    released = bench.store.parked.release(["words"])
    unread = bench.reader().read_all()

    released_later = bench.store.parked.release(["words", "later"])
    read = bench.reader(later=words).read_all()

    assert (item.awaiting, item.cause) == (
        "feed",
        "no plugin gives the feed 'later' (see pulseshim plugins)",
    )
    assert (released, unread, released_later, read) == (0, 0, 1, 1)
    assert bench.waiting() == ["one"]
    assert bench.store.parked.items() == []


def test_a_feed_that_no_hook_feeds_parks_what_was_recorded_for_it(bench: Bench) -> None:
    """A poll without `read` cannot read an invocation."""
    bench.put("one")
    source = PollSource[str](lambda _state: [], timedelta(hours=1))
    reader = Reader(
        bench.store, {"words": [Outlet(Feed("words", source, shim, ONE), "")]}, random=lambda: 0.0
    )

    reader.read_all()

    assert [item.awaiting for item in bench.store.parked.items()] == ["feed"]


def test_a_retry_reads_again_and_keeps_its_number_where_it_fails_again(bench: Bench) -> None:
    """The person who retries number 1 finds the new cause under number 1, until it goes well."""
    causes = iter(["first", "second"])

    def fail_twice(invocation: Invocation, state: State) -> Iterator[str]:
        if cause := next(causes, ""):
            raise RuntimeError(cause)
        yield from words(invocation, state)

    bench.put("one")
    reader = bench.reader(fail_twice)
    reader.read_all()
    (first,) = bench.store.parked.items()

    bench.store.parked.retry(first)
    reader.read_all()
    (second,) = bench.store.parked.items()
    bench.store.parked.retry(second)
    reader.read_all()

    assert (first.cause, second.cause) == ("RuntimeError: first", "RuntimeError: second")
    assert second.id == first.id
    assert bench.store.parked.items() == []
    assert bench.waiting() == ["one"]


def test_a_full_disk_parks_nothing_and_loses_nothing(bench: Bench) -> None:
    """The invocation stays in the spool until there is space, then it is read."""
    bench.put("x" * 200, stdin=b"x" * 3000)
    connection = bench.store.database._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    reader = bench.reader(lambda _invocation, _state: (f"{number:0250}" for number in range(100)))

    with pytest.raises(StoreUnavailable, match=r"\(database or disk is full\).*free space"):
        reader.read_all()
    names, items = bench.store.spool.names(), bench.store.parked.items()
    connection.execute("PRAGMA max_page_count = 100000")
    reader.read_all()

    assert (len(names), items) == (1, [])
    assert len(bench.waiting()) == 100
    assert bench.store.spool.names() == []


def test_the_reader_outlives_a_spool_that_vanishes(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A file system that is not mounted for a while delays: what is recorded once it is back is read."""
    caplog.set_level(logging.INFO)
    stop = threading.Event()
    reader = bench.reader()
    thread = threading.Thread(target=reader.run, args=(stop,))
    spool = bench.store.spool.directory
    spool.rename(spool.with_name("away"))
    thread.start()
    eventually(lambda: [found for found in caplog.records if found.message == "spool not read"])

    spool.with_name("away").rename(spool)
    bench.put("back")
    reader.wake()
    eventually(lambda: bench.stored == ["back"])
    bench.put("and on")
    reader.wake()
    eventually(lambda: bench.stored == ["back", "and on"])
    stop.set()
    reader.wake()
    thread.join(20)

    assert not thread.is_alive()
    assert "cannot be used" in caplog.records[0].__dict__["error"]


def test_a_deep_recursion_of_a_plugin_is_parked(bench: Bench) -> None:
    """What runs out of stack in a plugin leaves enough of it to go on."""

    def deep(depth: int) -> int:
        return deep(depth + 1)

    bench.put("one", feed="deep")
    bench.put("two")

    bench.reader(deep=lambda _invocation, _state: [str(deep(0))]).read_all()

    assert bench.waiting() == ["two"]
    assert bench.store.parked.items()[0].cause.startswith("RecursionError")


def test_what_is_discarded_while_it_waits_for_its_retry_is_not_read(bench: Bench) -> None:
    """A person may change their mind until its turn comes; the others are read."""
    texts = ("one", "two", "three")
    for text in texts:
        bench.put(text)
    reading: list[str] = []

    def discarding(invocation: Invocation, _state: State) -> Iterator[str]:
        reading.extend(invocation.arguments)
        if len(reading) <= len(texts):
            raise ValueError("not yet")
        if invocation.arguments == ("one",):
            bench.store.parked.discard(bench.parked[1])
        yield from invocation.arguments

    reader = bench.reader(discarding)
    reader.read_all()
    for item in bench.parked[:]:
        bench.store.parked.retry(item)
    reader.read_all()

    assert (bench.waiting(), reading[3:]) == (["one", "three"], ["one", "three"])
    assert bench.store.parked.items() == []
