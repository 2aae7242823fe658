"""`pulseshim emit`, whole process, against an interpreter that does nothing."""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row, git_environ, in_turn, ratio_row, run, seconds_of

_ROUNDS = 60


def measure() -> list[Row]:
    """Give the rows of emit."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        command = str(Path(sys.executable).with_name("pulseshim"))
        config = root / "pulseshim.toml"
        config.write_text(f'[store]\ndirectory = "{root / "store"}"\n')
        emit = [command, "emit", "gerrit", "change=42", "--config", str(config), "--strict"]
        named = {**git_environ(), "PULSESHIM_STORE__DIRECTORY": str(root / "store")}
        ours, without_file, theirs = in_turn(
            _ROUNDS,
            lambda: seconds_of(lambda: run(emit, root, environ=git_environ())),
            lambda: seconds_of(lambda: run(emit, root, environ=named)),
            lambda: seconds_of(lambda: run([sys.executable, "-c", "pass"], root, environ=git_environ())),
        )
    return [
        ratio_row("pulseshim emit / python3 -c pass", ours, theirs, "at most", 4),
        ratio_row("the store named in the environment / python3 -c pass", without_file, theirs, "at most", 4),
    ]
