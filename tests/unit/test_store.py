"""The store: one directory, and one runtime at a time that works on it."""

import fcntl
import os
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pulseshim.errors import StoreCorrupt, StoreHeld, StoreUnavailable
from pulseshim.settings import Settings, StoreSettings
from pulseshim.store import held_store, holder, next_in_line, open_store

PATIENCE = 60.0
HOLDING = """
import sys
from pulseshim.settings import Settings, StoreSettings
from pulseshim.store import held_store
with held_store(Settings(store=StoreSettings(directory=sys.argv[1])), "run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=StoreSettings(directory=str(tmp_path / "var" / "store")))


def holding(settings: Settings) -> subprocess.Popen[str]:
    """Start another process that holds the store until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, settings.directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_store_is_made_where_there_is_none(settings: Settings) -> None:
    """Spool and outbox, the outbox for the owner alone: what waits may tell of private things."""
    store = open_store(settings)

    store.close()

    assert sorted(os.listdir(settings.directory)) == ["outbox.sqlite3", "spool"]
    assert sorted(os.listdir(store.spool.directory)) == ["aside", "new", "tmp"]
    assert stat.S_IMODE((settings.directory / "outbox.sqlite3").stat().st_mode) == 0o600
    assert stat.S_IMODE((store.spool.directory / "aside").stat().st_mode) == 0o700


@pytest.mark.parametrize(("recorders", "mode"), [("owner", 0o700), ("group", 0o3730), ("everyone", 0o1733)])
def test_the_spool_is_open_to_those_whom_the_settings_name(tmp_path: Path, recorders: str, mode: int) -> None:
    """Opening the store again sets right what was changed."""
    for before in ("everyone", recorders):
        store = open_store(
            Settings(store=StoreSettings(directory=str(tmp_path), recorders=before))  # type: ignore[arg-type] # one of three
        )
        store.close()

    assert stat.S_IMODE((tmp_path / "spool" / "new").stat().st_mode) == mode


def test_who_only_reads_makes_nothing(settings: Settings) -> None:
    """A store that is not there is named, with how it comes to be."""
    with pytest.raises(
        StoreUnavailable, match=r"there is no store in .*: name it in store.directory, or start"
    ):
        open_store(settings, readonly=True)

    assert not settings.directory.exists()


def test_a_store_without_an_outbox_reads_as_an_empty_one(settings: Settings) -> None:
    """Hooks may record before the service has ever run."""
    open_store(settings).close()
    (settings.directory / "outbox.sqlite3").unlink()

    store = open_store(settings, readonly=True)

    assert store.parked.items() == []
    assert store.spool.names() == []
    store.close()
    assert os.listdir(settings.directory) == ["spool"]


def test_a_store_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file stands where its directory should be."""
    (tmp_path / "file").touch()
    settings = Settings(store=StoreSettings(directory=str(tmp_path / "file" / "store")))

    with pytest.raises(
        StoreUnavailable, match=r"file/store cannot be made \(Not a directory\): make it, owned"
    ):
        open_store(settings)
    with (
        pytest.raises(StoreUnavailable, match="file/store cannot be made"),
        held_store(settings, "run"),
    ):
        pytest.fail("it was held")


def test_a_store_that_may_not_be_written_is_named(unprivileged: Path) -> None:
    """It belongs to another account."""
    settings = Settings(store=StoreSettings(directory=str(unprivileged / "store")))
    (unprivileged / "store").mkdir(mode=0o500)

    with pytest.raises(StoreUnavailable, match=r"store/spool cannot be used \(Permission denied\)"):
        open_store(settings)
    with (
        pytest.raises(StoreUnavailable, match=r"store/lock cannot be opened \(Permission denied\)"),
        held_store(settings, "run"),
    ):
        pytest.fail("it was held")


def test_a_second_runtime_is_told_who_holds_the_store(settings: Settings) -> None:
    """By verb and process; when that one has ended, the store is free again."""
    process = holding(settings)
    named = holder(settings.directory)
    with pytest.raises(StoreHeld) as caught, held_store(settings, "drain"):
        pytest.fail("it was held twice")

    process.communicate("", timeout=60)
    with held_store(settings, "drain"):
        mine = holder(settings.directory)

    assert named == f"pulseshim run (process {process.pid})"
    assert str(caught.value).startswith(f"{named} works on the store {settings.directory}: stop it first")
    assert caught.value.exit_code == 2
    assert mine == f"pulseshim drain (process {os.getpid()})"
    assert holder(settings.directory) == ""


def test_a_runtime_that_was_killed_holds_nothing(settings: Settings) -> None:
    """What it wrote into the lock's file is no sign of life."""
    process = holding(settings)

    process.kill()
    process.communicate(timeout=60)

    assert holder(settings.directory) == ""
    with held_store(settings, "run") as store:
        assert store.outbox.waiting() == {}


def test_a_store_is_free_again_after_an_error(settings: Settings) -> None:
    """Whether the work failed or the outbox could not be opened."""
    with pytest.raises(ZeroDivisionError), held_store(settings, "run"):
        raise ZeroDivisionError
    (settings.directory / "outbox.sqlite3").write_bytes(b"no database" * 100)
    with pytest.raises(StoreCorrupt), held_store(settings, "run"):
        pytest.fail("it was opened")

    assert holder(settings.directory) == ""


def test_a_look_at_who_holds_the_store_keeps_nobody_out(settings: Settings) -> None:
    """`status` may run at the very moment the service starts: the service does not give up."""
    open_store(settings).close()
    with (settings.directory / "lock").open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        look_ends = threading.Timer(0.05, fcntl.flock, (looking, fcntl.LOCK_UN))
        look_ends.start()

        with held_store(settings, "run"):
            named = holder(settings.directory)
        look_ends.join()

    assert named.startswith("pulseshim run")


def test_a_store_that_is_not_there_is_held_by_nobody(tmp_path: Path) -> None:
    """Nor is one in which nothing has ever run."""
    assert holder(tmp_path / "missing") == ""
    assert holder(tmp_path) == ""


def test_one_at_most_waits_for_the_store(settings: Settings) -> None:
    """Many pushes at once are one drain: whoever waits will see all that was recorded before."""
    with (
        next_in_line(settings.directory) as first,
        next_in_line(settings.directory) as second,
        held_store(settings, "run"),
    ):
        assert (first, second) == (True, False)

    with next_in_line(settings.directory) as later:
        assert later


def test_the_spool_can_be_reached_whatever_the_umask(settings: Settings) -> None:
    """A service is often started with one that closes all it makes to others."""
    before = os.umask(0o077)
    try:
        open_store(settings).close()
    finally:
        os.umask(before)

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (settings.directory, settings.directory / "spool")]
    assert modes == [0o755, 0o755]


def test_an_entry_is_noted_before_it_is_moved(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in between, it is met again, moved to the place that was noted, and stays one item."""
    store = open_store(settings)
    entry = store.spool.entry("foreign")
    entry.write_text("text")
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", _killed)
        with pytest.raises(SystemExit):
            store.set_aside({entry: "it is foreign"})
    (noted,) = store.parked.items()

    ((item, moved),) = store.set_aside({entry: "it is foreign"})

    assert (item.id, item.subject, moved) == (noted.id, noted.subject, True)
    assert item.owner == os.geteuid()
    assert Path(item.subject).read_text() == "text"
    assert store.parked.items() == [item]
    store.close()


def _killed(*_: object) -> None:
    raise SystemExit


def test_an_entry_that_cannot_be_moved_is_named_where_it_is(unprivileged: Path) -> None:
    """The directory of another user: an empty one is removed, a full one stays, and is one item for ever."""
    store = open_store(Settings(store=StoreSettings(directory=str(unprivileged / "store"))))
    empty, full = store.spool.entry("empty"), store.spool.entry("full")
    for directory in (empty, full):
        directory.mkdir()
    (full / "file").touch()
    for directory in (empty, full):
        directory.chmod(0o500)

    told = [each for entry in (empty, full, full) for each in store.set_aside({entry: "a directory"})]

    assert [moved for _, moved in told] == [True, False, False]
    assert [item.subject for item in store.parked.items()] == [str(empty), str(full)]
    assert store.spool.names() == ["full"]
    store.close()


def test_two_that_start_while_somebody_looks_do_not_keep_each_other_out(settings: Settings) -> None:
    """Each waits for the look to end, neither for the other: one of them has the store."""
    open_store(settings).close()
    held: list[str] = []
    ended = threading.Event()

    def begin(verb: str) -> None:
        with suppress(StoreHeld), held_store(settings, verb):
            held.append(verb)
            assert ended.wait(PATIENCE)

    with (settings.directory / "lock").open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        beginners = [threading.Thread(target=begin, args=(verb,)) for verb in ("run", "poll")]
        for beginner in beginners:
            beginner.start()
        time.sleep(0.2)
    until = time.monotonic() + PATIENCE
    while not held and any(beginner.is_alive() for beginner in beginners) and time.monotonic() < until:
        time.sleep(0.01)
    ended.set()
    for beginner in beginners:
        beginner.join()

    assert len(held) >= 1


def test_nobody_else_can_lock_the_store(settings: Settings) -> None:
    """Whoever may read a file may lock it: these are for the owner alone, also those from before."""
    settings.directory.mkdir(parents=True)
    (settings.directory / "lock").touch(mode=0o644)

    with held_store(settings, "run"), next_in_line(settings.directory):
        modes = {name: (settings.directory / name).stat().st_mode & 0o777 for name in ("lock", "lock.next")}

    assert modes == {"lock": 0o600, "lock.next": 0o600}
