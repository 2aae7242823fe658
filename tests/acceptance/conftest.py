"""Environments of their own, with the packages that users get installed in them."""

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pulseshim.backlog import figures
from pulseshim.commands.status import as_object
from pulseshim.settings import Settings, StoreSettings
from pulseshim.store import milliseconds, open_store
from tests.acceptance.administration import Administration
from tests.verb import run_verb

if TYPE_CHECKING:
    from tests.conftest import RabbitMQ

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def build_wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Build the wheel of a project, without a network."""

    def build(project: Path) -> Path:
        directory = tmp_path_factory.mktemp("wheel")
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
        (wheel,) = directory.glob("*.whl")
        return wheel

    return build


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make an environment, install wheels into it, and give its directory.

    What the wheels depend on comes from the environment of the tests, by a path file: it is looked at after
    the new environment's own packages, and the editable pulseshim in it is not found that way.
    """

    def into_new_environment(*wheels: Path) -> Path:
        environment = tmp_path_factory.mktemp("environment")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
        python = environment / "bin" / "python"
        (packages,) = environment.glob("lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
        ]
        subprocess.run([*pip, "--ignore-installed", *map(str, wheels)], check=True)
        return environment

    return into_new_environment


@pytest.fixture(scope="session")
def wheel(build_wheel: Callable[[Path], Path]) -> Path:
    """Build pulseshim's wheel."""
    return build_wheel(ROOT)


class Site:
    """A server's worth of pulseshim: settings, a bare repository with the hook, a clone that pushes to it."""

    def __init__(self, root: Path, url: str, *, extra: str = "", drain: bool = False) -> None:
        self.root = root
        self.config = root / "pulseshim.toml"
        self.repository = root / "srv" / "group" / "project.git"
        self.clone = root / "clone"
        self.store = root / "store"
        self.environ = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("GIT_", "PULSESHIM_"))
            },
            **{f"GIT_{role}_{what}": "tester@example.org" for role in _ROLES for what in ("NAME", "EMAIL")},
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        self._processes: list[subprocess.Popen[str]] = []
        self.configure(url, extra)
        self.git("init", "-q", "--bare", "-b", "main", str(self.repository), directory=root)
        options = ["--drain"] if drain else []
        assert self.pulseshim("hook", "install", "git", str(self.repository), *options).returncode == 0
        self.git("clone", "-q", str(self.repository), str(self.clone), directory=root)

    def configure(self, url: str, extra: str = "") -> None:
        """Write the settings: `extra` is appended to `[broker]` and may open further tables."""
        self.config.write_text(
            f'[store]\ndirectory = "{self.store}"\n'
            f'[plugins.git]\nrepositories = {{"{self.root / "srv"}" = "https://git.example.org"}}\n'
            f'[broker]\nurl = "{url}"\n{extra}\n'
        )

    def git(self, *arguments: str, directory: Path | None = None) -> str:
        """Run git, in the clone unless told otherwise, and give what it says on either stream."""
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=directory or self.clone, env=self.environ, check=True, capture_output=True, text=True
        )
        return done.stdout + done.stderr

    def push(self, text: str) -> str:
        """Commit a file with a text and push it; give the commit's id."""
        (self.clone / "file").write_text(text)
        self.git("add", "file")
        self.git("commit", "-q", "-m", text)
        self.git("push", "-q", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD").strip()

    def pulseshim(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end with the site's settings."""
        words = (*arguments, "--config", str(self.config))
        return run_verb(words, cwd=self.root, environ=self.environ, timeout=timeout)

    def start(self, verb: str = "run") -> subprocess.Popen[str]:
        """Start a verb and go on. What it logs goes to `log` of the site."""
        command = [sys.executable, "-m", "pulseshim", verb, "--config", str(self.config)]
        with (self.root / "log").open("a") as log:
            process = subprocess.Popen(command, cwd=self.root, env=self.environ, stderr=log, text=True)
        self._processes.append(process)
        return process

    @property
    def log(self) -> str:
        """Give what was logged."""
        return (self.root / "log").read_text()

    def status(self) -> dict[str, Any]:
        """Give what `status --json` says."""
        done = self.pulseshim("status", "--json")
        assert done.returncode == 0, done.stderr
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def seen(self) -> dict[str, Any]:
        """Give the same without starting a process, for who asks again and again."""
        settings = Settings(store=StoreSettings(directory=str(self.store)))
        with closing(open_store(settings, readonly=True)) as store:
            return as_object(figures(store), milliseconds())

    def wait_until(self, condition: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Wait until a condition holds, or fail with what was waited for and the log."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not {what} within {seconds} s\n{self.log}"
            time.sleep(0.05)

    def is_done(self) -> bool:
        """Say whether spool and outbox are empty."""
        now = self.seen()
        return bool(now["spool"]["count"] == now["outbox"]["count"] == 0)

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._processes:
            process.kill()
            process.wait()


_ROLES = ("AUTHOR", "COMMITTER")


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Give a maker of sites: `make_site(url, extra="", drain=False)`; what they start is killed then."""
    sites: list[Site] = []

    def make(url: str, *, extra: str = "", drain: bool = False) -> Site:
        root = tmp_path / f"site{len(sites)}"
        root.mkdir()
        sites.append(Site(root, url, extra=extra, drain=drain))
        return sites[-1]

    yield make
    for site in sites:
        site.end()


@pytest.fixture
def admin(
    tmp_path: Path,
    bare_rabbitmq: "RabbitMQ",
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Administration]:
    """Give an administration of a broker on which nothing is provisioned yet."""
    administration = Administration(tmp_path, bare_rabbitmq, capsys, monkeypatch)
    yield administration
    administration.clean()
