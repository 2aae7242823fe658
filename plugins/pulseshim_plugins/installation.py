"""What installing a hook takes, whatever the source: files, and a spool to record into."""

import errno
import os
import stat
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pulseshim.errors import CommandFailed, StoreUnavailable
from pulseshim.recorder import prepare

_LONGEST_HOOK = 1 << 20


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
