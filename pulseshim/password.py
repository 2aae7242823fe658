"""A password at the broker: the file that holds it, and the salted hash that the broker has of it."""

import base64
import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pulseshim.errors import CommandFailed, SettingsError
from pulseshim.user import User

RENEWED = ".new"
"""Ends the name of the file with the next password, until the broker knows it and it is in place."""
LOCK = ".pulseshim-provision.lock"
"""The name of the file that is locked, and there, while passwords beside it are provisioned."""
HASHING = "rabbit_password_hashing_sha256"
"""What `hashed` makes. https://www.rabbitmq.com/docs/passwords#computing-password-hash"""
SALT_BYTES = 4
"""How long the salt of a hash is."""
_DIGESTS = {
    HASHING: "sha256",
    "rabbit_password_hashing_sha512": "sha512",
    "rabbit_password_hashing_md5": "md5",
}
_NOBODY_ELSE = 0o600
_OTHERS = 0o007

Standing = Literal["none", "given", "right", "renewed", "wrong"]
"""How a password stands: there is none; there is one and no user; the broker takes it; it takes the renewed
one instead; it takes neither."""


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """What the broker keeps of a password, base64 of salt and digest, and how it was made."""

    text: str = field(default="", repr=False)
    algorithm: str = HASHING


def in_file(path: str) -> str:
    """Give the password in a file, without the line break at its end. Raises `OSError`, `UnicodeError`."""
    with open(path, encoding="utf-8") as file:
        return file.read().rstrip("\r\n")


def hashed(password: str, salt: bytes) -> PasswordHash:
    """Give the hash of a password, to be handed to the broker in its place; `salt` is 4 random bytes."""
    digest = hashlib.sha256(salt + password.encode()).digest()
    return PasswordHash(base64.b64encode(salt + digest).decode())


def matches(password: str, known: PasswordHash) -> bool:
    """Say whether a hash is that of a password; of an algorithm that is not known here, it never is."""
    digest = _DIGESTS.get(known.algorithm)
    if digest is None or not known.text:
        return False
    try:
        raw = base64.b64decode(known.text, validate=True)
    except ValueError:
        return False
    salt = raw[:SALT_BYTES]
    return hashlib.new(digest, salt + password.encode(), usedforsecurity=False).digest() == raw[SALT_BYTES:]


def standing(path: str, password: str, known: PasswordHash | None) -> Standing:
    """Say how the password in a file, or else the one that is given, stands with what the broker knows.

    `known` is None where the broker has no such user. Raises `SettingsError` where the file is unreadable.
    """
    own = existing(path) or password
    if known is None:
        return "given" if own else "none"
    if own and matches(own, known):
        return "right"
    if matches(existing(path + RENEWED) if path else "", known):
        return "renewed"
    return "wrong" if own else "none"


def existing(path: str) -> str:
    """Give the password in a file; empty where there is none. Raises `SettingsError`."""
    try:
        return in_file(path) if path else ""
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"the password file {path} cannot be read ({reason})",
            "correct the path or the file's permissions",
        ) from error


def reader(path: str, owner: tuple[int, int] | None) -> str:
    """Give in words whose the next password file is."""
    uid, _, mode = _for_whom(path, owner)
    return f"owner {User(uid).name}, mode {mode:04o}"


def _for_whom(path: str, owner: tuple[int, int] | None) -> tuple[int, int, int]:
    """Give user, group and mode of the next password file.

    They are those of the file that is there, of which others lose theirs; where there is none, `owner` (None:
    who asks) and 0600.
    """
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return (*(owner or (os.geteuid(), os.getegid())), _NOBODY_ELSE)
    return there.st_uid, there.st_gid, there.st_mode & 0o660 | _NOBODY_ELSE


def prepare(path: str, password: str, owner: tuple[int, int] | None) -> None:
    """Write a password beside its file, for nobody but its reader, and have it on disk.

    Its reader is that of the file which is there, else `owner`. Raises `CommandFailed`.
    """
    with _named(path):
        uid, gid, mode = _for_whom(path, owner)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + RENEWED)
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        file = os.open(path + RENEWED, new, _NOBODY_ELSE)
        try:
            os.fchmod(file, mode)
            if (uid, gid) != (os.geteuid(), os.getegid()):
                os.fchown(file, uid, gid)
            os.write(file, password.encode() + b"\n")
            os.fsync(file)
        finally:
            os.close(file)
        _sync_directory(path)


def settle(path: str) -> None:
    """Put a prepared password in place, in one step that lasts. Raises `CommandFailed`."""
    with _named(path):
        os.replace(path + RENEWED, path)
        _sync_directory(path)


def _sync_directory(path: str) -> None:
    """Have the names in the directory of a file on disk: without its name, a file is lost."""
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def is_open(path: str) -> bool:
    """Say whether others than a password file's owner and group may do anything with it."""
    try:
        return bool(os.stat(path).st_mode & _OTHERS)
    except OSError:
        return False


@contextlib.contextmanager
def locked(paths: list[str]) -> Iterator[None]:
    """Keep other provisioning from the directories of password files. Raises `CommandFailed`.

    One that we may not write to is left out: we change no password there.
    """
    with contextlib.ExitStack() as stack:
        for directory in sorted({os.path.dirname(os.path.abspath(path)) for path in paths}):
            with _named(directory):
                os.stat(directory)
            if os.access(directory, os.W_OK, effective_ids=True):
                stack.enter_context(_held(os.path.join(directory, LOCK)))
        yield


@contextlib.contextmanager
def _held(path: str) -> Iterator[None]:
    """Hold a lock: a file of its own, as whoever may read a file or a directory may lock it. It goes then."""
    while (handle := _lock(path)) is None:
        pass
    try:
        yield
    finally:
        # While it is held still: who has opened it by now finds that it is gone, and makes another.
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.close(handle)


def _lock(path: str) -> int | None:
    """Give the open file of a lock that is taken; None where it went meanwhile, with who held it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, _NOBODY_ELSE)
    except OSError as error:
        raise CommandFailed(
            f"the lock {path} cannot be opened ({error.strerror})", "see whose it is, and remove it"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise CommandFailed(
            f"another provisioning is at work on the passwords in {os.path.dirname(path)}",
            f"let it end first; where there is none, see who holds {path}",
        ) from error
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(handle), os.lstat(path)):
            return handle
    os.close(handle)
    return None


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandFailed(
            f"{error.filename or path}: no password can be written there ({error.strerror})",
            "make the directory, and provision as a user who may write to it",
        ) from error
