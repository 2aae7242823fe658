"""A `pulseshim run` of its own, with a repository whose pushes it announces."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import git_environ, run

_SETTINGS = """\
[store]
directory = "{root}/store"
[broker]
url = "{url}"
user = "guest"
[plugins.git]
repositories = {{"{root}/srv" = "https://git.example.org"}}
"""
_START_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Service:
    """The process, and a clone that pushes to the repository."""

    process: int
    clone: Path
    environ: dict[str, str]


@contextmanager
def service(root: Path, port: int) -> Iterator[Service]:
    """Give a service that is connected to the broker on a port of this machine."""
    environ = {**git_environ(), "PULSESHIM_BROKER_PASSWORD": "guest"}
    config, repository, clone = root / "pulseshim.toml", root / "srv" / "project.git", root / "clone"
    config.write_text(_SETTINGS.format(root=root, url=f"amqp://127.0.0.1:{port}/"))
    pulseshim = [sys.executable, "-m", "pulseshim"]
    run(["git", "init", "-q", "--bare", "-b", "main", str(repository)], root, environ=environ)
    run(
        [*pulseshim, "hook", "install", "git", str(repository), "--config", str(config)],
        root,
        environ=environ,
    )
    run(["git", "clone", "-q", str(repository), str(clone)], root, environ=environ)
    with (root / "log").open("w") as log:
        process = subprocess.Popen(
            [*pulseshim, "run", "--config", str(config)], cwd=root, env=environ, stderr=log
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while "broker connected" not in (root / "log").read_text():
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError((root / "log").read_text())
            time.sleep(0.05)
        yield Service(process.pid, clone, environ)
    finally:
        process.terminate()
        process.wait()
