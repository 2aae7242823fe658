"""Mercurial as a command server: one process a repository while that is busy, asked over pipes.

The protocol is that of the page CommandServer of Mercurial's wiki: the letter of a channel, a length of four
bytes, and so many bytes. What a repository's owner wrote into its hgrc is not read: the environment says so.
"""

import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from threading import Event, Lock, Thread, Timer
from typing import IO, cast

from pulseshim.errors import PulseshimError
from pulseshim_plugins.hg_requirements import needed_extensions

_HEADER = struct.Struct(">cI")
_STATUS = struct.Struct(">i")
_ENVIRONMENT = {
    "HGRCPATH": "",  # no configuration of system or user
    "HGRCSKIPREPO": "1",  # none of the repository, whoever owns it: extensions and hooks would run as us
    "HGPLAIN": "1",
    "HGENCODING": "utf-8",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
}
_SETTINGS = (
    "ui.interactive=no",
    "ui.paginate=no",
    "ui.timeout=0",
    "worker.enabled=no",
    "lfs.url=null://",
)
_LONGEST_ERROR = 4000
# So, and in no other words, does Mercurial say that it has not a revision it was asked for.
_GONE = re.compile(
    rb"^abort: (unknown revision '[0-9a-f]+'|00changelog(\.i)?@[0-9a-f]+: no node)", re.MULTILINE
)


class HgFailed(PulseshimError):
    """Mercurial could not read a repository: correct what it says, then retry what was parked."""


class HgTimedOut(HgFailed):
    """Mercurial took longer than the plugin's `timeout` for one transaction, and was stopped."""


class RevisionsGone(HgFailed):
    """What was asked for is not in the repository any more: go on with what is known."""


@dataclass(slots=True)
class CommandServer:
    """A running `hg serve --cmdserver pipe` of one repository. One command at a time."""

    path: str
    process: "subprocess.Popen[bytes]"
    used: float = 0.0
    changelog: os.stat_result | None = None
    late: Event = field(default_factory=Event)
    said: deque[bytes] = field(default_factory=lambda: deque(maxlen=20))

    def run(self, arguments: Sequence[str], deadline: float) -> Iterator[bytes]:
        """Give what a command prints, as it comes. Raises `HgFailed`, and `HgTimedOut` at the deadline.

        Leaving early leaves the server unusable: it is killed.
        """
        watch = Timer(max(deadline - time.monotonic(), 0.0), self._stop)
        watch.daemon = True
        watch.start()
        finished = False
        try:
            complaint: list[bytes] = []
            self._ask(arguments)
            while (answer := self._answer(complaint)) is not None:
                if isinstance(answer, int):
                    finished = True
                    if answer not in (0, 1):
                        raise failure(self.path, arguments[0], b"".join(complaint))
                    return
                yield answer
        finally:
            watch.cancel()
            if not finished:
                self.kill()
            # Who leaves before the end has all that was wanted, in time or not.
            if self.late.is_set() and sys.exc_info()[0] is not GeneratorExit:
                raise HgTimedOut(
                    f"hg {arguments[0]} in {self.path} took too long and was stopped",
                    "raise plugins.hg.timeout, or look for what slows the repository down, and retry",
                )
        raise failure(self.path, arguments[0], b"".join(self.said) or b"it ended")

    def kill(self) -> None:
        """End it at once, with whatever it started: all are of the session that was made for it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    @property
    def lives(self) -> bool:
        """Say whether it can be asked."""
        return self.process.poll() is None

    def _stop(self) -> None:
        self.late.set()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _ask(self, arguments: Sequence[str]) -> None:
        words = b"\0".join(os.fsencode(argument) for argument in arguments)
        stdin = cast(IO[bytes], self.process.stdin)
        with suppress(BrokenPipeError):  # that it ended shows when the answer is read
            stdin.write(b"runcommand\n" + struct.pack(">I", len(words)) + words)
            stdin.flush()

    def _answer(self, complaint: list[bytes]) -> bytes | int | None:
        """Give the next piece of output, the command's status when it ended, or None: the server ended."""
        stdout = cast(IO[bytes], self.process.stdout)
        while header := stdout.read(_HEADER.size):
            if len(header) < _HEADER.size:
                break
            channel, length = _HEADER.unpack(header)
            if channel in (b"I", b"L"):
                with suppress(BrokenPipeError):
                    cast(IO[bytes], self.process.stdin).write(struct.pack(">I", 0))
                    cast(IO[bytes], self.process.stdin).flush()
                continue
            piece = stdout.read(length)
            if channel == b"r":
                return int(_STATUS.unpack(piece)[0]) if len(piece) == _STATUS.size else None
            if channel == b"o":
                return piece
            if sum(map(len, complaint)) < _LONGEST_ERROR:
                complaint.append(piece[:_LONGEST_ERROR])
        return None


def start(path: str, deadline: float) -> CommandServer:
    """Start a command server for the repository at a path, and wait until it says hello."""
    environment = {**_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)}
    every = (*_SETTINGS, *needed_extensions(path))
    settings = [word for setting in every for word in ("--config", setting)]
    command = [program(), "--hidden", "-R", path, *settings, "serve", "--cmdserver", "pipe"]
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, cwd="/", env=environment, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
    except OSError as error:
        raise HgFailed(f"hg could not be started ({error})", "pip install 'pulseshim[hg]'") from error
    server = CommandServer(path, process)
    listener = Thread(target=_drain, args=(process, server.said), daemon=True)
    listener.start()
    watch = Timer(max(deadline - time.monotonic(), 0.0), server._stop)  # noqa: SLF001 - it is of this module
    watch.daemon = True
    watch.start()
    hello = server._answer([])  # noqa: SLF001 - as above
    watch.cancel()
    if not isinstance(hello, bytes) or not hello.startswith(b"capabilities:"):
        server.kill()
        listener.join()
        if server.late.is_set():
            raise HgTimedOut(f"hg did not start for {path} in time", "raise plugins.hg.timeout, and retry")
        raise failure(path, "serve", b"".join(server.said))
    return server


class Servers:
    """The command servers that are kept: of the repositories that were busy last, `most` at the most.

    One that was not used for `idle` seconds is ended. They end with this process, too.
    """

    def __init__(self, idle: float, most: int = 8) -> None:
        self._idle = idle
        self._most = most
        self._kept: dict[str, CommandServer] = {}
        self._lock = Lock()
        self._sweeper: Timer | None = None

    def __len__(self) -> int:
        """Say how many are kept."""
        with self._lock:
            return len(self._kept)

    def run(self, path: str, arguments: Sequence[str], deadline: float) -> Iterator[bytes]:
        """Give what a command prints about the repository at a path, in pieces, as they come."""
        with self._lock:
            server = self._kept.pop(path, None)
        changelog = _changelog(path)
        if server is not None and (not server.lives or is_unnoticed(server.changelog, changelog)):
            server.kill()
            server = None
        server = server or start(path, deadline)
        server.changelog = changelog
        try:
            yield from server.run(arguments, deadline)
        finally:
            self._keep(server)

    def close(self) -> None:
        """End all that are kept."""
        with self._lock:
            servers, self._kept = list(self._kept.values()), {}
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None
        for server in servers:
            server.kill()

    def _keep(self, server: CommandServer) -> None:
        if server.late.is_set() or not server.lives:
            server.kill()
            return
        server.used = time.monotonic()
        with self._lock:
            surplus = [self._kept.pop(server.path)] if server.path in self._kept else []
            self._kept[server.path] = server
            surplus += [self._kept.pop(path) for path in list(self._kept)[: -self._most]]
            self._schedule()
        for old in surplus:
            old.kill()

    def _schedule(self) -> None:
        """See to it that somebody looks for idle servers; the lock is held."""
        if self._sweeper is None and self._kept:
            self._sweeper = Timer(self._idle, self._sweep)
            self._sweeper.daemon = True
            self._sweeper.start()

    def _sweep(self) -> None:
        before = time.monotonic() - self._idle
        with self._lock:
            self._sweeper = None
            idle = [self._kept.pop(path) for path in list(self._kept) if self._kept[path].used <= before]
            self._schedule()
        for server in idle:
            server.kill()


def program() -> str:
    """Give the `hg` of the environment that this runs in, else the one on PATH."""
    beside = Path(sys.executable).with_name("hg")
    found = str(beside) if beside.is_file() else which("hg")
    if found is None:
        raise HgFailed("hg needs Mercurial", "pip install 'pulseshim[hg]'")
    return found


def is_unnoticed(before: os.stat_result | None, now: os.stat_result | None) -> bool:
    """Say whether a changelog was rewritten so that Mercurial, which knows it, takes it for the same.

    It compares whole seconds and sizes: one that was stripped and grew again within a second may be as long.
    """
    if before is None or now is None:
        return False
    seems_same = (before[:7], before[8:10]) == (now[:7], now[8:10])  # all but the time it was read
    return seems_same and (before.st_mtime_ns, before.st_ctime_ns) != (now.st_mtime_ns, now.st_ctime_ns)


def _changelog(path: str) -> os.stat_result | None:
    try:
        return os.stat(os.path.join(path, ".hg", "store", "00changelog.i"))
    except OSError:
        return None


def _drain(process: "subprocess.Popen[bytes]", said: deque[bytes]) -> None:
    if process.stderr is not None:
        with process.stderr as stderr:
            while piece := stderr.read1(4096):  # type: ignore[attr-defined]  # IO[bytes] is buffered here
                said.append(piece)


def failure(path: str, command: str, said: bytes) -> HgFailed:
    """Give the error of a command by what Mercurial said of it."""
    text = said.decode(errors="backslashreplace").strip()[:_LONGEST_ERROR]
    if b"ermission denied" in said:
        return HgFailed(
            f"the repository {path} cannot be read ({text})",
            "let the account of the runtime read it, then retry what was parked",
        )
    if _GONE.search(said):
        return RevisionsGone(f"{path} lacks changesets: {text}", "nothing is to be done")
    return HgFailed(f"hg {command} in {path} failed: {text}", "correct that and retry")
