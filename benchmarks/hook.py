"""The installed post-receive hook, whole process, against an interpreter that does nothing."""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row, git_environ, in_turn, ratio_row, run, seconds_of

_ROUNDS = 60
_PUSH = f"{'0' * 40} {'1' * 40} refs/heads/main\n".encode()


def measure() -> list[Row]:
    """Give the row of the hook."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        repository, environ = root / "srv" / "project.git", git_environ()
        environ["PULSESHIM_STORE__DIRECTORY"] = str(root / "store")
        run(["git", "init", "-q", "--bare", str(repository)], root, environ=environ)
        run(
            [sys.executable, "-m", "pulseshim", "hook", "install", "git", str(repository)],
            root,
            environ=environ,
        )
        hook = repository / "hooks" / "post-receive"
        interpreter = hook.read_text().splitlines()[0].removeprefix("#!").split()[0]
        ours, theirs = in_turn(
            _ROUNDS,
            lambda: seconds_of(lambda: run([str(hook)], repository, _PUSH, {**environ, "GIT_DIR": "."})),
            lambda: seconds_of(lambda: run([interpreter, "-c", "pass"], repository, _PUSH, environ)),
        )
        if len(list((root / "store" / "spool" / "new").iterdir())) < _ROUNDS:
            raise RuntimeError("the hook recorded nothing")
    return [ratio_row("hook: post-receive / python3 -c pass", ours, theirs, "at most", 1.25)]
