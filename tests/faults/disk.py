"""A small disk that can be filled: a file system of its own for root, a limit on one process for others."""

import contextlib
import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 192 << 20
PIECE = 1 << 16


class SmallDisk:
    """A directory on a disk that `filled` leaves no byte of.

    Who is not root cannot mount one: there `filled` forbids the process `victim` to write any file beyond its
    first bytes, which its programs see as an I/O error.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.is_mounted = os.geteuid() == 0
        directory.mkdir(mode=0o755)
        if self.is_mounted:
            options = f"size={SIZE},mode=755"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "pulseshim", directory], check=True)

    @contextmanager
    def filled(self, victim: int) -> Iterator[None]:
        """Have no room while inside."""
        if not self.is_mounted:
            with _limited(victim):
                yield
            return
        ballast = self.directory / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(PIECE)):
                    pass
            yield
        finally:
            ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it."""
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", self.directory], check=True)


@contextmanager
def _limited(process: int) -> Iterator[None]:
    """Let a process write no file beyond its first bytes."""
    try:
        soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (PIECE, hard))
    except ProcessLookupError:
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))


def is_full(directory: Path) -> bool:
    """Say whether a directory takes no more."""
    probe = directory / "probe"
    try:
        probe.write_bytes(bytes(PIECE))
    except OSError as error:
        return error.errno == errno.ENOSPC
    else:
        return False
    finally:
        probe.unlink(missing_ok=True)
