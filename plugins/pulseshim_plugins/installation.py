"""What installing a hook takes, whatever the source: the file that is shipped, and a spool to record into.

Who installs may be root, and the repository another's, who could lead root elsewhere by links, and exchange
directories meanwhile. So files are read and replaced by name in a directory that is open, which is reached by
its real path, and what is a link is refused.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pulseshim.errors import CommandFailed, StoreUnavailable
from pulseshim.recorder import prepare

_LONGEST_HOOK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Who may not list a directory may still pass through it.
_ON_THE_WAY = _DIRECTORY | getattr(os, "O_PATH", 0)


def shipped(name: str) -> bytes:
    """Give a hook file as it is shipped: from the checkout this runs in, or beside the package."""
    beside = Path(__file__).parents[2] / "contrib" / name
    if beside.is_file():
        return beside.read_bytes()
    try:
        files = distribution("pulseshim").files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.as_posix().endswith(f"share/pulseshim/{name}"):
            return Path(str(file.locate())).read_bytes()
    raise CommandFailed("the hook file that pulseshim ships is not there", "install pulseshim again")


def read_hook(path: Path) -> bytes:
    """Give what a file of a repository holds, its first MiB at most: its owner may wish the reader harm.

    Raises `OSError` where it cannot be read, or is no regular file.
    """
    # O_NONBLOCK: opening a fifo must not wait for a writer.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(file, "rb") as stream:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return stream.read(_LONGEST_HOOK)


def prepare_spool(spool: Path, recorders: str) -> None:
    """Make a spool that does not exist yet, for the owner of the store around it.

    Raises `StoreUnavailable` where this user may not.
    """
    places = [spool, spool / "tmp", spool / "new"]
    if all(place.is_dir() for place in places):
        return
    try:
        prepare(os.fsencode(spool), recorders)
        if os.geteuid() == 0:
            owner = spool.parent.stat()
            for place in places:
                os.chown(place, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise StoreUnavailable(
            f"the spool cannot be made ({error.strerror}: {spool})",
            "start `pulseshim run` once, as the user it is to run as, then install the hook again",
        ) from error


@contextmanager
def open_directory(path: Path) -> Iterator[int]:
    """Open a directory by its real path: on the way from the root, nothing has become a link since.

    Raises `OSError`.
    """
    directory = os.open("/", _ON_THE_WAY)
    try:
        for place in (*reversed(path.parents), path)[1:]:
            flags = _DIRECTORY if place == path else _ON_THE_WAY
            outer, directory = directory, _enter(directory, place, flags)
            os.close(outer)
        yield directory
    finally:
        os.close(directory)


def _enter(directory: int, place: Path, flags: int) -> int:
    try:
        return os.open(place.name, flags, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise OSError(errno.ELOOP, "it is a link, or no directory", str(place)) from error
        raise OSError(error.errno, error.strerror, str(place)) from error


def make_directory(outer: int, path: Path) -> None:
    """Make a directory, where there is none, in one that is open, for the owner of that. Raises `OSError`."""
    try:
        os.mkdir(path.name, dir_fd=outer)
    except FileExistsError:
        return
    if os.geteuid() == 0:
        made = _enter(outer, path, _DIRECTORY)
        try:
            owner = os.fstat(outer)
            os.fchown(made, owner.st_uid, owner.st_gid)
        finally:
            os.close(made)


def file_status(directory: int, name: str) -> os.stat_result | None:
    """Give the status of a file in a directory, None where there is none.

    Raises `OSError` where it is a link, or no file.
    """
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise _link(name)
    return status


def read_file(directory: int, name: str) -> tuple[bytes, os.stat_result | None]:
    """Give what is in a file of a directory, and its status, which is None where there is none.

    Raises `OSError` where it is a link, or no file.
    """
    if file_status(directory, name) is None:
        return b"", None
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(name, flags, dir_fd=directory), "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _link(name)
        if status.st_size > _LONGEST_HOOK:
            raise OSError(errno.EFBIG, "it is no file of settings, so large", name)
        return stream.read(), status


def replace_file(directory: int, name: str, text: bytes, *, mode: int, like: os.stat_result | None) -> None:
    """Write a file into a directory by rename: whole or not at all.

    `like` is the status of the one that it replaces, whose owner, group and mode it gets. Without, if root
    makes it, it belongs to the owner of the directory. Raises `OSError`.
    """
    written = f".pulseshim-{os.urandom(8).hex()}"
    owner = os.fstat(directory) if like is None else like
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(written, flags, 0o600, dir_fd=directory), "wb") as stream:
        try:
            stream.write(text)
            stream.flush()
            made = os.fstat(stream.fileno())
            is_other = (made.st_uid, made.st_gid) != (owner.st_uid, owner.st_gid)
            if is_other and (like is not None or os.geteuid() == 0):
                os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
            os.fchmod(stream.fileno(), mode if like is None else stat.S_IMODE(like.st_mode))
            os.fsync(stream.fileno())
            os.rename(written, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(written, dir_fd=directory)
            raise
    os.fsync(directory)


def copy_file(directory: int, name: str, copy: str) -> None:
    """Copy a file beside itself, with its mode; if root does it, with its owner and group, too.

    Raises `OSError` where it is a link, or no file, and `FileExistsError` where the other name is taken.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(name, flags, dir_fd=directory), "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _link(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(copy, flags, 0o600, dir_fd=directory), "wb") as made:
            try:
                shutil.copyfileobj(stream, made)
                made.flush()
                if os.geteuid() == 0:
                    os.fchown(made.fileno(), status.st_uid, status.st_gid)
                os.fchmod(made.fileno(), status.st_mode & 0o777)
                os.fsync(made.fileno())
            except BaseException:
                os.unlink(copy, dir_fd=directory)
                raise


def _link(name: str) -> OSError:
    return OSError(errno.ELOOP, "it is a link, or no file", name)
