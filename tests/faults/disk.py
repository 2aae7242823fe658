"""A small disk that can be filled or sealed: a file system for root, a limit on one process for others."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 192 << 20
PIECE = 1 << 16


class SmallDisk:
    """A directory on a disk that `filled` leaves no byte of, and that `sealed` makes read-only.

    Who may not mount one, for not being root or in a container, has `filled` forbid the process `victim` to
    write any file beyond its first bytes, which its programs see as an I/O error, and `sealed` any byte.
    """

    def __init__(self, directory: Path, size: int = SIZE) -> None:
        self.directory = directory
        directory.mkdir(mode=0o755)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "pulseshim", str(directory)]
        self.is_mounted = os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0

    @contextmanager
    def filled(self, victim: int) -> Iterator[None]:
        """Have no room while inside."""
        if not self.is_mounted:
            with _limited(victim, PIECE):
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

    @contextmanager
    def sealed(self, victim: int) -> Iterator[None]:
        """Have nothing written while inside."""
        if not self.is_mounted:
            with _limited(victim, 0):
                yield
            return
        self._remount("ro")
        try:
            yield
        finally:
            self._remount("rw")

    def _remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", self.directory], check=True)

    def close(self) -> None:
        """Unmount it."""
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", self.directory], check=True)


@contextmanager
def _limited(process: int, most: int) -> Iterator[None]:
    """Let a process write no file beyond its first bytes."""
    try:
        soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (most, hard))
    except ProcessLookupError:
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))
