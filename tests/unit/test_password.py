"""Passwords: their hashes as RabbitMQ makes them, and files that are never half written or anybody's."""

import fcntl
import os
import re
import stat
from pathlib import Path

import pytest

from pulseshim.errors import CommandFailed, SettingsError
from pulseshim.password import LOCK, PasswordHash, hashed, is_open, locked, matches, prepare, settle, standing

# The example of https://www.rabbitmq.com/docs/passwords: "test12", with the salt 908D C60A.
EXAMPLE = PasswordHash("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR")


def test_a_hash_is_made_as_the_broker_makes_it() -> None:
    """The salt is the first four bytes, the digest is that of salt and password."""
    assert hashed("test12", bytes.fromhex("908dc60a")) == EXAMPLE
    assert matches("test12", EXAMPLE)
    assert not matches("test13", EXAMPLE)


@pytest.mark.parametrize(
    "known", [PasswordHash(), PasswordHash("no base64!"), PasswordHash(EXAMPLE.text, "a_plugin_of_theirs")]
)
def test_a_hash_that_cannot_be_read_is_no_passwords(known: PasswordHash) -> None:
    """None, damaged, or of an algorithm that is not known here."""
    assert not matches("test12", known)


@pytest.mark.parametrize(
    ("own", "renewed", "known", "expected"),
    [
        ("", "", None, "none"),
        ("test12", "", None, "given"),
        ("test12", "", EXAMPLE, "right"),
        ("other", "test12", EXAMPLE, "renewed"),
        ("", "test12", EXAMPLE, "renewed"),
        ("other", "another", EXAMPLE, "wrong"),
        ("", "", EXAMPLE, "none"),
    ],
)
def test_how_a_password_stands_is_seen_by_its_hash(
    tmp_path: Path, own: str, renewed: str, known: PasswordHash | None, expected: str
) -> None:
    """The file, or the renewed one beside it, or neither is what the broker has."""
    file = tmp_path / "password"
    if own:
        file.write_text(f"{own}\n")
    if renewed:
        (tmp_path / "password.new").write_text(f"{renewed}\n")

    assert standing(str(file), "", known) == expected


def test_a_file_that_is_a_directory_is_named(tmp_path: Path) -> None:
    """It is an error of the settings, with its path."""
    with pytest.raises(SettingsError, match=str(tmp_path)):
        standing(str(tmp_path), "", None)


def test_a_new_file_is_nobodys_but_its_readers_whatever_the_umask(tmp_path: Path) -> None:
    """Mode 0600 from its first instant; what was left there by somebody killed is replaced, not followed."""
    path = tmp_path / "password"
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "password.new").symlink_to(tmp_path / "elsewhere")
    before = os.umask(0)
    try:
        prepare(str(path), "secret", None)
    finally:
        os.umask(before)
    settle(str(path))

    assert path.read_text() == "secret\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "password"]


def test_a_file_that_is_there_keeps_its_group_and_loses_others(tmp_path: Path) -> None:
    """An administrator may let a group read it, for the service; others never."""
    path = tmp_path / "password"
    path.write_text("old")
    path.chmod(0o644)

    prepare(str(path), "new", None)
    settle(str(path))

    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert not is_open(str(path))


def test_a_password_is_on_disk_with_its_name_before_anybody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut loses neither what is in the file nor that it is there: first the one, then the other."""
    path, synced = tmp_path / "password", []

    def fsync(file: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{file}"), sorted(os.listdir(tmp_path))))

    monkeypatch.setattr(os, "fsync", fsync)
    prepare(str(path), "secret", None)
    prepared, synced[:] = synced[:], []
    settle(str(path))

    assert prepared == [(f"{path}.new", ["password.new"]), (str(tmp_path), ["password.new"])]
    assert synced == [(str(tmp_path), ["password"])]


def test_where_no_file_can_be_written_is_said(tmp_path: Path) -> None:
    """The directory is named; no password is."""
    with pytest.raises(CommandFailed, match="nowhere") as caught:
        prepare(str(tmp_path / "nowhere" / "password"), "secret", None)

    assert "secret" not in str(caught.value)


def test_two_cannot_provision_the_same_passwords_at_once(tmp_path: Path) -> None:
    """The second is told so, and may as soon as the first has ended."""
    paths = [str(tmp_path / "one"), str(tmp_path / "two")]

    with locked(paths), pytest.raises(CommandFailed, match="another provisioning"), locked(paths[1:]):
        pass
    with locked(paths):
        pass
    assert os.listdir(tmp_path) == []


def test_who_may_read_the_directory_keeps_nobody_from_provisioning(tmp_path: Path) -> None:
    """Whoever reads something may lock it: what is locked is a file of nobody else's, whatever the umask."""
    directory = os.open(tmp_path, os.O_RDONLY)
    before = os.umask(0)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        with locked([str(tmp_path / "password")]):
            mode = stat.S_IMODE((tmp_path / LOCK).stat().st_mode)
    finally:
        os.umask(before)
        os.close(directory)

    assert mode == 0o600


def test_a_lock_that_somebody_planted_is_not_followed(tmp_path: Path) -> None:
    """It is named, and what it leads to stays as it is; a pipe holds nobody up."""
    (tmp_path / LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandFailed, match=re.escape(LOCK)), locked([str(tmp_path / "password")]):
        pass
    elsewhere = (tmp_path / "elsewhere").exists()
    (tmp_path / LOCK).unlink()
    os.mkfifo(tmp_path / LOCK)
    with locked([str(tmp_path / "password")]):
        pass

    assert not elsewhere


def test_a_lock_that_went_with_who_held_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opened the file just before it was removed would hold what the next one no longer sees."""
    paths, flock = [str(tmp_path / "password")], fcntl.flock
    opened: list[int] = []

    def flock_late(file: int, how: int) -> None:
        if not opened:
            (tmp_path / LOCK).unlink()
        opened.append(file)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with locked(paths):
        shown = (tmp_path / LOCK).exists()
        with pytest.raises(CommandFailed, match="another provisioning"), locked(paths):
            pass

    assert shown
    assert len(opened) == 3


def test_a_directory_that_we_may_only_read_needs_no_lock(unprivileged: Path) -> None:
    """No password is changed there, and the rest of a provisioning need not wait for one that is."""
    unprivileged.chmod(0o500)

    with locked([str(unprivileged / "password")]):
        assert os.listdir(unprivileged) == []
