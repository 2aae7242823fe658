"""A git repository that is read and never trusted: its owner may wish the runtime harm.

git runs through GitPython in an environment of its own, and whatever the repository's configuration could
make it run, fetch, wait for or print otherwise is overridden. Object names go in by standard input, never as
arguments.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread, Timer
from typing import IO, Any, cast

from git import Git
from git.exc import GitCommandNotFound

from pulseshim.errors import PulseshimError

_CHUNK = 1 << 18
_LONGEST_SETTING = 1 << 16
_UNSET = "-"
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",  # a repository's own protocol.*.allow would win over protocol.allow
    "GIT_ASKPASS": "false",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_GRAFT_FILE": os.devnull + "/none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
}
_SETTINGS = (
    "core.alternateRefsCommand=",
    "core.attributesFile=/dev/null",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.sshCommand=false",
    "core.warnAmbiguousRefs=false",
    "credential.helper=",
    "diff.external=",
    "gc.auto=0",
    "gpg.program=false",
    "log.diffMerges=combined",
    "log.mailmap=false",
    "log.showRoot=true",
    "log.showSignature=false",
    "maintenance.auto=false",
    "protocol.allow=never",
)
_GONE = (
    b"bad object",
    b"bad tree object",
    b"corrupt",
    b"could not parse",
    b"could not read",
    b"failed to traverse",
    b"missing",
    b"not a git repository",
    b"unable to find",
    b"unable to parse",
    b"unable to read",
)
_DIED = 128


class GitFailed(PulseshimError):
    """git could not read a repository: correct what it says, then retry what was parked."""


class GitTimedOut(GitFailed):
    """git took longer than the plugin's `timeout` for one push, and was killed."""


class OutOfMemory(GitFailed):
    """git needed more memory than it is given: look for what is so large, then retry what was parked."""


class ObjectsGone(GitFailed):
    """What was asked for is not in the repository any more: go on with what is known."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A git directory, read until `deadline` (a time of `time.monotonic`, in seconds)."""

    path: str
    deadline: float

    @property
    def exists(self) -> bool:
        """Say whether it is still there. Raises `GitFailed` where it is but cannot be read."""
        objects = os.path.join(self.path, "objects")
        try:
            os.stat(objects)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _unreadable(self.path, error.strerror or str(error)) from error
        if not os.access(objects, os.R_OK | os.X_OK):
            raise _unreadable(self.path, "Permission denied")
        return True

    def setting(self, name: str) -> str | None:
        """Give a setting of the repository's own configuration, None where it has none.

        Files that it includes are not read.
        """
        arguments = ("config", "--file", os.path.join(self.path, "config"), "--null", "--default", _UNSET)
        with self.running((*arguments, "--get", name)) as output:
            value = output.read(_LONGEST_SETTING)
        text = value.removesuffix(b"\0").decode("utf-8", "surrogateescape")
        return None if text == _UNSET else text

    def lines(self, arguments: Sequence[str], given: Iterable[str] = ()) -> Iterator[bytes]:
        """Give the lines that a git command prints, without their ends, as they come."""
        with self.running(arguments, given) as output:
            yield from (line.rstrip(b"\n") for line in output)

    @contextmanager
    def running(
        self, arguments: Sequence[str], given: Iterable[str] = (), *, memory: int = 0
    ) -> Iterator[IO[bytes]]:
        """Run a git command with lines of standard input, and give what it prints as a stream.

        `memory` is the most that it may take, in KiB; 0: any. Leaving early ends it. Raises `ObjectsGone`
        where objects are missing, `GitTimedOut` at the deadline, `OutOfMemory` where `memory` is too little.
        """
        with tempfile.TemporaryFile() as stdin:
            stdin.writelines(line.encode() + b"\n" for line in given)
            stdin.seek(0)
            process = self._start(arguments, stdin, memory)
        late = Event()
        said: deque[bytes] = deque(maxlen=20)
        watch = Timer(max(self.deadline - time.monotonic(), 0.0), _stop, (process, late))
        watch.daemon = True
        listener = Thread(target=_drain, args=(process, said), daemon=True)
        watch.start()
        listener.start()
        finished = False
        try:
            yield cast(IO[bytes], process.stdout)
            finished = process.stdout is not None and not process.stdout.read(1)
        finally:
            if not finished:
                _kill(process)
            # Not yet reaped, its number is still its own: the rest of its session can be ended by it.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            watch.cancel()
            _kill(process)
            status = process.wait()
            listener.join()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            # Who leaves before the end has all that was wanted, in time or not.
            if late.is_set() and sys.exc_info()[0] is not GeneratorExit:
                raise GitTimedOut(
                    f"git {arguments[0]} in {self.path} took too long and was stopped",
                    "raise plugins.git.timeout, or look for what slows the repository down, and retry",
                )
        if finished and status != 0:
            raise _failure(self.path, arguments[0], status, b"".join(said))

    def _start(self, arguments: Sequence[str], stdin: IO[bytes], memory: int) -> "subprocess.Popen[bytes]":
        """Start git. GitPython lends a command the whole environment of this process: `env -i` drops it."""
        environment = {**_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath), "GIT_DIR": self.path}
        # Each directory is the repository's own, so that no configuration leads elsewhere.
        environment |= {"GIT_COMMON_DIR": self.path, "GIT_WORK_TREE": self.path}
        settings = [word for setting in (*_SETTINGS, "safe.directory=*") for word in ("-c", setting)]
        command = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        command += ["sh", "-c", f'ulimit -d {memory} && exec "$@"', "sh"] if memory else []
        command += [Git.GIT_PYTHON_GIT_EXECUTABLE or "git", "--no-pager", *settings, *arguments]
        try:
            wrapper: Any = Git("/").execute(
                command, istream=cast(Any, stdin), as_process=True, start_new_session=True
            )
        except (GitCommandNotFound, OSError) as error:
            raise GitFailed(f"git could not be started ({error})", "install git") from error
        process: subprocess.Popen[bytes] = wrapper.proc
        # What ends it is the end of `running`, not that of GitPython's wrapper.
        wrapper.proc = None
        return process


def chunks(output: IO[bytes]) -> Iterator[bytes]:
    """Give what a stream has, as it comes, in pieces of at most 256 KiB."""
    while piece := cast(Any, output).read1(_CHUNK):
        yield piece


def _drain(process: "subprocess.Popen[bytes]", said: deque[bytes]) -> None:
    if process.stderr is not None:
        # A repository can make git say megabytes without a line's end.
        while piece := process.stderr.read(4096):
            said.append(piece)


def _stop(process: "subprocess.Popen[bytes]", late: Event) -> None:
    late.set()
    _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End git and whatever it started: all are of the session that was made for it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _failure(path: str, command: str, status: int, said: bytes) -> GitFailed:
    text = said.decode(errors="backslashreplace").strip()
    if b"ermission denied" in said:
        return _unreadable(path, text)
    if b"ut of memory" in said or b"annot allocate memory" in said:
        return OutOfMemory(f"git {command} in {path} needs too much memory: {text}", "look what is so large")
    if status == _DIED and any(sign in said.lower() for sign in _GONE):
        return ObjectsGone(f"{path} lacks objects: {text}")
    return GitFailed(f"git {command} in {path} failed ({status}): {text}", "correct that and retry")


def _unreadable(path: str, text: str) -> GitFailed:
    return GitFailed(
        f"the repository {path} cannot be read ({text})",
        "let the account of the runtime read it, then retry what was parked",
    )
