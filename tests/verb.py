"""A verb run to its end, in a process of its own that does not import all of pulseshim anew.

Half of what a verb takes is imports, and the tests run hundreds. Each process here is forked from one that
has done them and nothing else; settings, environment, streams and exit code are its own. What users start, by
`python -m pulseshim`, is tested as well: services, the console sessions of the documentation, the faults.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

from pulseshim.commands import main

_IMPORTED = (
    "pulseshim.commands.check",
    "pulseshim.commands.parked",
    "pulseshim.commands.poll",
    "pulseshim.commands.replay",
    "pulseshim.commands.root",
    "pulseshim.commands.run",
    "pulseshim.scheduler",
    "pulseshim_plugins.bugzilla_client",
    "pulseshim_plugins.git_push",
)
_STREAMS = {"stdout": 1, "stderr": 2}


def run_verb(
    arguments: tuple[str, ...], *, cwd: Path, environ: Mapping[str, str] | None = None, timeout: float = 90
) -> "subprocess.CompletedProcess[str]":
    """Run `pulseshim` with arguments and give what it said. Raises `TimeoutExpired`, as `subprocess.run`."""
    with tempfile.TemporaryDirectory() as said:
        surroundings = dict(os.environ if environ is None else environ)
        process = _server().Process(target=_be, args=(arguments, str(cwd), surroundings, said))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["pulseshim", *arguments], timeout)
        code = process.exitcode
        process.close()
        stdout, stderr = ((Path(said) / name).read_text() for name in _STREAMS)
    assert code is not None
    return subprocess.CompletedProcess(["pulseshim", *arguments], code, stdout, stderr)


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    return context


def _be(arguments: tuple[str, ...], cwd: str, environ: dict[str, str], said: str) -> None:
    """Be `pulseshim`: what is written goes to files in `said`."""
    for name, number in _STREAMS.items():
        stream = os.open(Path(said) / name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["pulseshim", *arguments]
    main()
