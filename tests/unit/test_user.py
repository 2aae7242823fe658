"""What a user may do with a directory: the kernel is asked the same, as that user."""

import os
import pwd
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulseshim import User, user_called

# Users that every Debian has, each in a group of its own; and one that the system knows nothing of.
DAEMON, GAMES, NAMELESS = 1, 5, 54321
ASKED = """
import os, sys
name, uid, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if name:
    import pwd
    entry = pwd.getpwuid(uid)
    os.initgroups(entry.pw_name, entry.pw_gid)
    os.setgid(entry.pw_gid)
else:
    os.setgroups([])
    os.setgid(65533)
os.setuid(uid)
def may(action):
    try:
        action()
    except OSError:
        return False
    return True
def write():
    path = os.path.join(directory, f"by-{uid}")
    open(path, "w").close()
    os.unlink(path)
print(may(write), may(lambda: os.listdir(directory) and None))
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """Give a directory that everybody can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="user-") as name:
        Path(name).chmod(0o755)
        made = Path(name) / "made"
        made.mkdir()
        yield made


def kernel(uid: int, directory: Path) -> tuple[bool, bool]:
    """Give whether a process of a user can write to a directory, and whether it can list it."""
    name = "" if uid == NAMELESS else "known"
    command = [sys.executable, "-ISc", ASKED, name, str(uid), str(directory)]
    write, read = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return write == "True", read == "True"


def told(uid: int, directory: Path) -> tuple[bool, bool]:
    return User(uid).may_write(str(directory)), User(uid).may_read(str(directory))


def set_list(path: Path, *entries: tuple[int, int, int]) -> None:
    """Give a path an access control list: tag, permissions and id of each entry, as acl(5) orders them."""
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", value)


NOBODY_AT_ALL = 0xFFFFFFFF


@pytest.mark.parametrize("mode", [0o700, 0o770, 0o750, 0o777, 0o1777, 0o755, 0o707, 0o733, 0o772])
def test_mode_owner_and_group_say_what_the_kernel_says(directory: Path, mode: int) -> None:
    """Of the owner, a member of the group, others, and a user without a name."""
    os.chown(directory, 0, DAEMON)
    directory.chmod(mode)

    answers = {uid: told(uid, directory) for uid in (DAEMON, GAMES, NAMELESS)}

    assert answers == {uid: kernel(uid, directory) for uid in answers}


@pytest.mark.parametrize(
    "entries",
    [
        [(1, 7, NOBODY_AT_ALL), (2, 7, GAMES), (4, 5, NOBODY_AT_ALL), (16, 7, NOBODY_AT_ALL)],
        [(1, 7, NOBODY_AT_ALL), (2, 7, GAMES), (4, 7, NOBODY_AT_ALL), (16, 5, NOBODY_AT_ALL)],
        [(1, 7, NOBODY_AT_ALL), (2, 0, DAEMON), (4, 7, NOBODY_AT_ALL), (16, 7, NOBODY_AT_ALL)],
        [(1, 7, NOBODY_AT_ALL), (4, 0, NOBODY_AT_ALL), (8, 7, GAMES), (16, 7, NOBODY_AT_ALL)],
        [(1, 7, NOBODY_AT_ALL), (4, 7, NOBODY_AT_ALL), (8, 1, DAEMON), (16, 7, NOBODY_AT_ALL)],
        [(1, 7, NOBODY_AT_ALL), (2, 3, NAMELESS), (4, 0, NOBODY_AT_ALL), (16, 7, NOBODY_AT_ALL)],
    ],
)
@pytest.mark.parametrize("others", [0, 7])
def test_an_access_control_list_says_what_the_kernel_says(
    directory: Path, entries: list[tuple[int, int, int]], others: int
) -> None:
    """A user it names, groups it names, and the mask over them."""
    os.chown(directory, 0, DAEMON)
    set_list(directory, *entries, (32, others, NOBODY_AT_ALL))

    answers = {uid: told(uid, directory) for uid in (DAEMON, GAMES, NAMELESS)}

    assert answers == {uid: kernel(uid, directory) for uid in answers}


def test_who_cannot_reach_a_directory_cannot_write_to_it(directory: Path) -> None:
    """It may be open to everyone, behind a door that is not."""
    inner = directory / "inner"
    inner.mkdir()
    inner.chmod(0o777)
    directory.chmod(0o700)

    assert told(GAMES, inner) == kernel(GAMES, inner) == (False, False)


def test_an_owner_may_write_whatever_the_mode_says(directory: Path) -> None:
    """It takes one chmod."""
    os.chown(directory, GAMES, 0)
    directory.chmod(0o500)

    assert User(GAMES).owns(str(directory))
    assert User(GAMES).may_write(str(directory))
    assert not User(DAEMON).may_write(str(directory))


def test_root_may_write_anywhere(directory: Path) -> None:
    """Modes bind everybody else."""
    os.chown(directory, GAMES, GAMES)
    directory.chmod(0o000)

    assert told(0, directory) == (True, True)


def test_of_what_is_gone_the_nearest_directory_decides(directory: Path) -> None:
    """Who may write there could have made it, and removed it."""
    os.chown(directory, GAMES, 0)

    gone = str(directory / "a" / "b")

    assert User(GAMES).may_write(gone)
    assert User(GAMES).owns(gone)
    assert not User(DAEMON).may_write(gone)


def test_a_link_is_followed(directory: Path) -> None:
    """What counts is where it leads."""
    link = directory.parent / "link"
    link.symlink_to("/usr")
    os.lchown(link, GAMES, GAMES)

    assert not User(GAMES).may_write(str(link))


def test_a_user_is_known_by_name_or_number() -> None:
    """As the password file has it; a number needs no entry there."""
    daemon = pwd.getpwuid(DAEMON)

    assert user_called(daemon.pw_name) == user_called("1") == User(DAEMON)
    assert user_called("no-such-user") is None
    assert (User(DAEMON).name, str(User(DAEMON))) == ("daemon", "1 (daemon)")
    assert (User(NAMELESS).name, str(User(NAMELESS))) == ("54321", "54321")


@pytest.mark.parametrize(
    ("mode", "group", "alone"),
    [
        (0o600, GAMES, True),
        (0o644, GAMES, True),
        (0o664, DAEMON, True),
        (0o664, GAMES, False),
        (0o620, 100, False),
        (0o646, DAEMON, False),
        (0o666, DAEMON, False),
    ],
)
def test_a_file_is_written_by_its_owner_alone(directory: Path, mode: int, group: int, *, alone: bool) -> None:
    """The group may be one that was made for the owner, as Debian does for each user."""
    path = directory / "file"
    path.touch()
    os.chown(path, DAEMON, group)
    path.chmod(mode)

    assert User(DAEMON).alone_writes(str(path)) is alone


@pytest.mark.parametrize("mask", [0o6, 0o4])
def test_a_list_may_let_others_write_a_file(directory: Path, mask: int) -> None:
    """It shows in the bits of the group, which are the most that a list can give."""
    path = directory / "file"
    path.touch()
    os.chown(path, DAEMON, DAEMON)
    entries = [(1, 6, -1), (2, 6, GAMES), (4, 4, -1), (16, mask, -1), (32, 4, -1)]

    set_list(path, *((tag, permissions, whose % (1 << 32)) for tag, permissions, whose in entries))

    assert User(DAEMON).alone_writes(str(path)) is not bool(mask & 2)
