"""A Mercurial server in a directory, and people who push to it: what is announced, consumers must accept."""

import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pulseshim import Message
from pulseshim.feed import Invocation
from pulseshim.spool import Spool
from pulseshim.testing import MemoryState, check_shim
from pulseshim_plugins.hg_options import HgOptions
from pulseshim_plugins.hg_server import Servers
from pulseshim_plugins.hg_transaction import read_transaction
from pulseshim_shims.hg import v1_messages, v2_messages
from pulseshim_shims.hg_code import code_messages
from pulseshim_shims.hg_event import HgChangeset, HgEvent, HgTransaction
from tests.hg_consumers import HOST, accept

HG = str(Path(sys.executable).with_name("hg"))
SYSTEM_HG = os.environ.get("PULSESHIM_TEST_SYSTEM_HG", "/usr/bin/hg")
HOOK = Path(__file__).parents[3] / "contrib" / "hooks" / "hg" / "pulseshim_hg.py"


@dataclass(frozen=True, slots=True)
class Announced:
    """What one invocation was announced as."""

    events: list[HgEvent]
    v1: list[dict[str, Any]]
    v2: list[dict[str, Any]]
    code: list[dict[str, Any]]

    @property
    def transaction(self) -> HgTransaction:
        """Give the transaction, which must be the only one."""
        (transaction,) = [event for event in self.events if isinstance(event, HgTransaction)]
        return transaction

    @property
    def changesets(self) -> list[HgChangeset]:
        """Give the changesets."""
        return [event for event in self.events if isinstance(event, HgChangeset)]

    @property
    def types(self) -> list[str]:
        """Give the types of the messages on v2."""
        return [payload["type"] for payload in self.v2]

    def data(self, kind: str) -> dict[str, Any]:
        """Give the data of the only message of a type on v2."""
        (payload,) = [payload for payload in self.v2 if payload["type"] == kind]
        data: dict[str, Any] = payload["data"]
        return data

    def commit(self, node: str) -> dict[str, Any]:
        """Give the message of a changeset."""
        (payload,) = [payload for payload in self.code if payload.get("id") == node]
        return payload


def announced(events: list[HgEvent], max_bytes: int = 1 << 20) -> Announced:
    """Give what events are announced as, every message checked against its consumers and for its size."""
    shims = {"v1": v1_messages, "v2": v2_messages, "code": code_messages}
    payloads: dict[str, list[dict[str, Any]]] = {}
    for name, shim in shims.items():

        def bounded(event: HgEvent, shim: Callable[..., Iterator[Message]] = shim) -> Iterator[Message]:
            return shim(event, max_bytes=max_bytes)

        encoded = [msgspec.json.encode(message.payload()) for message in check_shim(bounded, events)]
        assert all(len(body) < max_bytes for body in encoded)
        payloads[name] = [msgspec.json.decode(body) for body in encoded]
        for payload in payloads[name]:
            accept(name, payload)
    return Announced(events, payloads["v1"], payloads["v2"], payloads["code"])


class Client:
    """An `hg serve --cmdserver pipe` of a repository: as a person's `hg`, without its start each time."""

    def __init__(self, path: Path, environ: dict[str, str], program: str = HG) -> None:
        self.path = path
        pipe = subprocess.PIPE
        command = [program, "-R", str(path), "serve", "--cmdserver", "pipe"]
        self._process = subprocess.Popen(
            command, cwd=path, env=environ, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT
        )
        self._answer()

    def __call__(self, *arguments: str | bytes, status: int = 0) -> str:
        """Run a command and give what it says on either stream; it must end with the status."""
        assert self._process.stdin is not None
        words = b"\0".join(os.fsencode(argument) for argument in arguments)
        self._process.stdin.write(b"runcommand\n" + struct.pack(">I", len(words)) + words)
        self._process.stdin.flush()
        said = b""
        while True:
            channel, piece = self._answer()
            if channel == b"r":
                assert struct.unpack(">i", piece)[0] in {0, status}, os.fsdecode(said)
                return os.fsdecode(said)
            said += piece

    def _answer(self) -> tuple[bytes, bytes]:
        assert self._process.stdout is not None
        channel, length = struct.unpack(">cI", self._process.stdout.read(5))
        return channel, self._process.stdout.read(length)

    def commit(self, text: str, *options: str | bytes, **files: str | None) -> str:
        """Write files (None removes one), commit all, and give the node."""
        for name, content in files.items():
            if content is None:
                (self.path / name).unlink()
            else:
                (self.path / name).write_text(content)
        self("addremove", "-q", "-s", "0")
        self("commit", "-q", "-m", text, *options)
        return self.node(".")

    def node(self, revision: str) -> str:
        """Give the node of a revision."""
        return self("log", "--hidden", "-r", revision, "-T", "{node}")

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@dataclass(slots=True)
class HgServer:
    """Repositories below `root`, the spool they record into, and what has been read of it."""

    root: Path
    spool: Path
    environ: dict[str, str]
    template: Path
    servers: Servers
    state: MemoryState = field(default_factory=MemoryState)
    clients: list[Client] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def hg(
        self,
        *arguments: str | bytes | Path,
        cwd: Path | None = None,
        program: str = HG,
        status: int = 0,
        environ: Mapping[str, str] = {},
    ) -> str:
        """Run `hg` and give what it says on either stream; it must succeed, or end with the status."""
        done = subprocess.run(
            [program, *arguments], cwd=cwd or self.root, env={**self.environ, **environ},
            capture_output=True, timeout=100,
            check=False,
        )  # fmt: skip
        said = os.fsdecode(done.stdout + done.stderr)
        assert done.returncode == status, said
        return said

    def init(self, name: str = "project", *, hook: bool = True, publishing: bool = False) -> Path:
        """Make a repository, non-publishing and with obsolescence markers, with the hook."""
        path = self.root / name
        shutil.copytree(self.template, path)
        lines = f"[phases]\npublish = {publishing}\n[experimental]\nevolution = all\n"
        if hook:
            lines += f"[extensions]\npulseshim = {HOOK}\n"
            lines += f"[pulseshim]\nspool = {self.spool}\n"
        (path / ".hg" / "hgrc").write_text(lines)
        return path

    def clone(self, repository: Path, name: str = "clone") -> Client:
        """Give a clone of an empty repository, from which one may push anything."""
        path = self.root.parent / name
        shutil.copytree(self.template, path)
        lines = (
            f"[paths]\ndefault = {repository}\n[experimental]\nevolution = all\n[phases]\npublish = False\n"
        )
        lines += "[extensions]\nrebase =\nstrip =\nshare =\n"
        (path / ".hg" / "hgrc").write_text(lines)
        return self.client(path)

    def client(self, path: Path, program: str = HG) -> Client:
        """Give a client in a repository that is there."""
        self.clients.append(Client(path, self.environ, program))
        return self.clients[-1]

    @contextmanager
    def web(self, repository: Path, *, program: str = HG) -> Iterator[str]:
        """Give the URL of a repository that `hg serve` serves, to whoever pushes."""
        settings = ("web.push_ssl=no", "web.allow-push=*", "extensions.strip=")
        options = [word for setting in settings for word in ("--config", setting)]
        process = subprocess.Popen(
            [program, "serve", "-R", str(repository), "-a", "127.0.0.1", "-p", "0", "--print-url", *options],
            env=self.environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()

    def invocations(self) -> list[Invocation]:
        """Take what was recorded out of the spool, oldest first."""
        spool = Spool(self.spool, largest=1 << 30)
        names = spool.names()
        taken = [spool.read(name, time.time_ns())[0] for name in names]
        for name in names:
            spool.remove(name)
        return taken

    def read(self, invocation: Invocation) -> list[HgEvent]:
        """Give the events of an invocation."""
        options = HgOptions(**{"repositories": {str(self.root): HOST}, **self.options})
        return list(read_transaction(invocation, self.state, options, self.servers))

    def announced(self) -> list[Announced]:
        """Give what each invocation that was recorded since the last time is announced as."""
        return [announced(self.read(invocation)) for invocation in self.invocations()]

    def the_one(self) -> Announced:
        """Give what the only invocation that was recorded is announced as."""
        (only,) = self.announced()
        return only

    def forget(self) -> None:
        """Read and forget what was recorded so far: the repository is known then."""
        self.announced()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty repository, to be copied: `hg init` takes longer."""
    path = tmp_path_factory.mktemp("template") / "repository"
    subprocess.run([HG, "init", str(path)], check=True, env={**os.environ, "HGRCPATH": ""})
    return path


@pytest.fixture
def server(tmp_path: Path, template: Path) -> Iterator[HgServer]:
    """Give a Mercurial server without repositories, and with an empty spool that everyone may record into."""
    spool = tmp_path / "store" / "spool"
    Spool(spool, largest=1 << 30).prepare("everyone")
    root = tmp_path / "hg"
    root.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HG")}
    environ = {
        **kept,
        "HGRCPATH": "",
        "HGUSER": "Ada <ada@example.org>",
        "HGENCODING": "utf-8",
        "USER": "ada",
    }
    environ.pop("LOGNAME", None)
    made = HgServer(root, spool, environ, template, Servers(idle=30))
    yield made
    for client in made.clients:
        client.close()
    made.servers.close()


@pytest.fixture
def system_hg() -> str:
    """Give the system's hg, which the tests need: contrib/dev/mercurial installs it."""
    if not os.access(SYSTEM_HG, os.X_OK):
        pytest.fail(f"there is no {SYSTEM_HG}: run contrib/dev/mercurial")
    return SYSTEM_HG
