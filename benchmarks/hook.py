"""The installed post-receive hook, whole process: against a bare interpreter and one that publishes."""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row, git_environ, in_turn, ratio_row, run, seconds_of
from benchmarks.node import node

_ROUNDS = 60
_PUSH = f"{'0' * 40} {'1' * 40} refs/heads/main\n".encode()
_PUBLISHING = """\
#!{interpreter}
import json, os, sys
from kombu import Connection, Exchange
exchange = Exchange("exchange/bench/", "topic")
with Connection("{url}", transport_options={{"confirm_publish": True}}) as connection:
    connection.Producer(exchange=exchange, serializer="json").publish(
        {{"repository": os.getcwd(), "updates": [line.split() for line in sys.stdin]}},
        routing_key="project", declare=[exchange],
    )
"""


def measure() -> list[Row]:
    """Give the rows of the hook."""
    with tempfile.TemporaryDirectory() as directory, node() as broker:
        root = Path(directory)
        repository, environ = root / "srv" / "project.git", git_environ()
        environ["PULSESHIM_STORE__DIRECTORY"] = str(root / "store")
        run(["git", "init", "-q", "--bare", str(repository)], root, environ=environ)
        run(
            [sys.executable, "-m", "pulseshim", "hook", "install", "git", str(repository)],
            root,
            environ=environ,
        )
        hook, publishing = repository / "hooks" / "post-receive", root / "publishing"
        interpreter = hook.read_text().splitlines()[0].removeprefix("#!").split()[0]
        url = f"amqp://guest:guest@127.0.0.1:{broker.port}//"
        publishing.write_text(_PUBLISHING.format(interpreter=sys.executable, url=url))
        publishing.chmod(0o755)
        environ["GIT_DIR"] = "."

        def seconds(*command: str) -> float:
            return seconds_of(lambda: run(command, repository, _PUSH, environ))

        ours, bare, theirs = in_turn(
            _ROUNDS,
            lambda: seconds(str(hook)),
            lambda: seconds(interpreter, "-c", "pass"),
            lambda: seconds(str(publishing)),
        )
        if len(list((root / "store" / "spool" / "new").iterdir())) < _ROUNDS:
            raise RuntimeError("the hook recorded nothing")
    return [
        ratio_row("hook: post-receive / python3 -c pass", ours, bare, "at most", 1.25),
        ratio_row("hook: post-receive / one that publishes with Kombu", ours, theirs, "at most", 1),
    ]
