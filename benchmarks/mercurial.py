"""Mercurial: what the hook costs a push, how fast a push is read, and how soon a consumer has it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median, quantiles

import msgspec

from benchmarks.measure import Row, in_turn, ratio_row, run, seconds_of
from benchmarks.node import node
from pulseshim.account import Account
from pulseshim.consumer import Consumer
from pulseshim.feed import Invocation
from pulseshim.spool import Spool
from pulseshim.testing import MemoryState
from pulseshim_plugins.hg_changesets import TEMPLATE
from pulseshim_plugins.hg_hook import install
from pulseshim_plugins.hg_options import HgOptions
from pulseshim_plugins.hg_server import Servers, program
from pulseshim_plugins.hg_transaction import read_transaction
from pulseshim_shims.hg import v1_messages, v2_messages
from pulseshim_shims.hg_code import code_messages
from tests.hg_fill import fill

_PUSHED = 60
_PUSH_ROUNDS = 80
_ADDED = 5
_READ = 10_000
_READ_ROUNDS = 3
_FIRST = 100_000
_LIMIT = 1 << 20
_LATENCIES = 20
_LATENCY = 0.2
# PYTHONDONTWRITEBYTECODE is one of them: with it, each push would compile the hook anew.
_FOREIGN = ("HG", "PULSESHIM_", "PYTHON")


def measure() -> list[Row]:
    """Give the rows of Mercurial."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory).resolve()
        return [*_hook(root), _reading(root), _first_push(root), _latency(root)]


def _environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, "HGRCPATH": "", "HGUSER": "Benchmark <bench@example.org>", "HGENCODING": "utf-8"}


def _hg(*arguments: str, directory: Path) -> None:
    run([program(), *arguments], directory, environ=_environ())


def _history(repository: Path, changesets: int) -> None:
    """Make a repository of so many changesets, each of which changes two files."""
    _hg("init", str(repository), directory=repository.parent)
    script = repository / "fill.py"
    script.write_text(_FILL)
    _hg("--config", f"extensions.fill={script}", "fill", str(changesets), directory=repository)


_FILL = """\
from mercurial import context, registrar
cmdtable = {}
command = registrar.command(cmdtable)

@command(b"fill", [], b"COUNT")
def fill(ui, repo, count):
    parent = repo[b"tip"].node()
    with repo.lock(), repo.transaction(b"fill"):
        for n in range(int(count)):
            paths = [b"src/module_%d.py" % (n % 500), b"docs/page_%d.md" % (n % 100)]
            def content(repo, memctx, path, n=n):
                return context.memfilectx(repo, memctx, path, b"%d\\n" % n)
            text = b"Change number %d\\n\\nIt says why in a line of usual length, and in one more." % n
            parent = context.memctx(
                repo, (parent, repo.nullid), text, paths, content, b"Benchmark", b"%d 0" % (1700000000 + n)
            ).commit()
"""


def _hook(root: Path) -> list[Row]:
    """Give the rows of a push of 60 changesets into a repository with the hook and into one without.

    Both took a push before, as any repository did but once: the server's Python has the hook compiled then,
    beside it in `.hg/__pycache__`. They are put back after each round.
    """
    source, spool = root / "source", root / "spool"
    _history(source, _PUSHED + 1)
    for name in ("tmp", "new"):
        (spool / name).mkdir(parents=True)
    for target in (root / "with", root / "without"):
        _hg("init", str(target), directory=root)
        if target.name == "with":
            install(target, spool=spool)
        _hg("push", "-q", "-r", "0", str(target), directory=source)
        shutil.copytree(target, root / f"{target.name}-before")

    def push(name: str) -> float:
        shutil.rmtree(root / name)
        shutil.copytree(root / f"{name}-before", root / name)
        return seconds_of(lambda: _hg("push", "-q", str(root / name), directory=source))

    ours, theirs = in_turn(_PUSH_ROUNDS, lambda: push("with"), lambda: push("without"))
    if len(list((spool / "new").iterdir())) != _PUSH_ROUNDS + 2:
        raise RuntimeError("the hook did not record each push")
    added = [(mine - other) * 1000 for mine, other in zip(ours, theirs, strict=True)]
    low, middle, high = quantiles(added, n=4)
    what = f"hg push of {_PUSHED} changesets: with the hook / without"
    spread = f"{low:.1f} to {high:.1f} ms"
    return [
        ratio_row(what, ours, theirs, "at most", 1.03),
        Row("added to it by the hook", "under 5 ms", f"{middle:.1f} ms", spread, middle < _ADDED),
    ]


def _reading(root: Path) -> Row:
    """Give the row of reading 10,000 changesets, from the invocation to the messages, against `hg log`."""
    repository = root / "read"
    _history(repository, _READ)
    first, last = (
        subprocess.run(
            [program(), "log", "-r", rev, "-T", "{node}"],
            cwd=repository, env=_environ(), check=True, capture_output=True, text=True,
        ).stdout
        for rev in ("0", "tip")
    )  # fmt: skip
    stdin = "\0".join(("added", "0", first, last, str(_READ), "head", last, "")).encode()
    invocation = Invocation(
        id="0", feed="hg", environ={}, cwd=str(repository), recorded_at=datetime.now(UTC), stdin=stdin
    )
    options = HgOptions(repositories={str(repository): "https://hg.example.org/read"})
    servers = Servers(idle=60)

    def read() -> None:
        events = read_transaction(invocation, MemoryState(), options, servers)
        if sum(1 for event in events for _ in code_messages(event, max_bytes=1 << 20)) != _READ + 1:
            raise RuntimeError("not every changeset was read")

    try:
        ours, theirs = in_turn(
            _READ_ROUNDS,
            lambda: 1 / seconds_of(read),
            lambda: 1 / seconds_of(lambda: _hg("log", "-T", TEMPLATE, directory=repository)),
        )
    finally:
        servers.close()
    what = f"reading a push of {_READ:,} changesets / hg log with the same template"
    return ratio_row(what, ours, theirs, "at least", 0.5)


def _first_push(root: Path) -> Row:
    """Give the row of a first push of 100,000 changesets: the largest of its messages on every exchange."""
    repository, spool = root / "first", root / "first-spool"
    for name in ("tmp", "new"):
        (spool / name).mkdir(parents=True)
    _hg("init", str(repository), directory=root)
    install(repository, spool=spool)
    fill(partial(_hg, directory=repository), repository / "fill.py", _FIRST)
    recorded, servers = Spool(spool, largest=_LIMIT), Servers(idle=60)
    invocation, _ = recorded.read(recorded.names()[0], time.time_ns())
    options = HgOptions(repositories={str(root): "https://hg.example.org"})
    sizes: dict[str, list[int]] = {}
    resident = getrusage(RUSAGE_SELF).ru_maxrss
    try:
        for event in read_transaction(invocation, MemoryState(), options, servers):
            for shim in (v1_messages, v2_messages, code_messages):
                for message in shim(event, max_bytes=_LIMIT):
                    sizes.setdefault(message.type, []).append(len(msgspec.json.encode(message.payload())))
    finally:
        servers.close()
    if len(sizes["hg.commit"]) != _FIRST:
        raise RuntimeError("not every changeset was announced")
    largest = max(size for some in sizes.values() for size in some)
    grown = (getrusage(RUSAGE_SELF).ru_maxrss - resident) / 1024
    what = f"a first push of {_FIRST:,} changesets: its largest message"
    measured = f"{largest / 1024:.0f} KiB"
    return Row(what, "under 1 MiB", measured, f"memory grew by {grown:.0f} MiB", largest < _LIMIT)


@contextmanager
def _service(root: Path, port: int) -> Iterator[None]:
    """Run the service, connected to the broker on a port of this machine."""
    config, log = root / "pulseshim.toml", root / "log"
    config.write_text(
        f'[store]\ndirectory = "{root}/store"\n[broker]\nurl = "amqp://127.0.0.1:{port}/"\nuser = "guest"\n'
        f'[plugins.hg]\nrepositories = {{"{root}/srv" = "https://hg.example.org"}}\n'
    )
    environ = {**_environ(), "PULSESHIM_BROKER_PASSWORD": "guest"}
    command = [sys.executable, "-m", "pulseshim", "run", "--config", str(config)]
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=root, env=environ, stderr=stream)
    try:
        while "broker connected" not in log.read_text():
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _latency(root: Path) -> Row:
    """Give the row of the time from the end of `hg push` to the message at a consumer."""
    repository, clone = root / "srv" / "project", root / "clone"
    repository.parent.mkdir()
    _hg("init", str(repository), directory=root)
    _hg("clone", "-q", str(repository), str(clone), directory=root)
    waits = []
    with node() as broker, _service(root, broker.port):
        install(repository, spool=root / "store" / "spool")
        account = Account(name="", urls=(f"amqp://127.0.0.1:{broker.port}/",), user="guest", password="guest")
        with Consumer(account, "exchange/hgpushes/v1") as consumer:
            for number in range(_LATENCIES + 1):
                (clone / "file").write_text(str(number))
                _hg("commit", "-q", "-A", "-m", str(number), directory=clone)
                _hg("push", "-q", directory=clone)
                begin = time.perf_counter()
                if consumer.receive(10) is None:
                    raise RuntimeError("no message came")
                waits.append(time.perf_counter() - begin)
    low, _, high = quantiles(waits[1:], n=4)
    middle = median(waits[1:])
    spread = f"{low * 1000:.0f} to {high * 1000:.0f} ms"
    what = "hg push returned to message consumed"
    return Row(what, "under 200 ms", f"{middle * 1000:.0f} ms", spread, middle < _LATENCY)
