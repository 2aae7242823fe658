"""The sessions that the documents show: each line is typed into a shell, page by page, as it stands there."""

import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.bugzilla_server import KEY, BugzillaServer

if TYPE_CHECKING:
    from tests.conftest import RabbitMQ, VirtualHost

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [
    str(page.relative_to(ROOT))
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "```console" in page.read_text()
]
GERRIT = ROOT / "examples" / "pulseshim-gerrit"
PATIENCE = 30

# Lines that are shown and not run, each with its reason.
NOT_RUN = {
    "make demo": "it makes an environment from a package index; the demo itself is run by test_docs.py",
    "make test": "it is what runs this",
    "sudo apt-get install rabbitmq-server": "it changes the machine; the node of the tests stands for it",
    'export PATH="$PWD/.venv/bin:$PATH"': "there is no .venv here, and PATH is set already",
    "useradd --system --home-dir /var/lib/pulseshim pulseshim": "it changes the machine",
    "python3 -m venv /opt/pulseshim": "what is installed there would come from a package index",
    "/opt/pulseshim/bin/pip install '.[git]'": "as above",
    "/opt/pulseshim/bin/pip install '.[bugzilla]'": "as above",
    "/opt/pulseshim/bin/pip install ./pulseshim-gerrit": "as above; the plugin is on PYTHONPATH instead",
    "ln -s /opt/pulseshim/bin/pulseshim /usr/local/bin/pulseshim": "it changes the machine",
    "install -d -o pulseshim -g pulseshim /var/lib/pulseshim": "the account is not there",
    "cp /opt/pulseshim/share/pulseshim/hooks/systemd/pulseshim.service /etc/systemd/system/": "as above",
    "systemctl enable --now pulseshim": "it changes the machine",
    "chgrp git /var/lib/pulseshim/spool/new /var/lib/pulseshim/spool/tmp": "the group is not there",
    "usermod --append --groups git pulseshim": "it changes the machine",
    "sudo rabbitmq-plugins enable rabbitmq_management": "the node of the tests has it",
    "sudo rabbitmqctl add_user admin": "guest stands for the administrator",
    "sudo rabbitmqctl set_user_tags admin administrator": "as above",
    "export PULSESHIM_PROVISION__USER=admin": "as above",
    "read -rs PULSESHIM_PROVISION_PASSWORD && export PULSESHIM_PROVISION_PASSWORD": "as above",
    "pulseshim provision --delete-guest": "as above",
}
# Commands that never end by themselves, and what they say when they are ready.
ENDLESS = {"pulseshim run": "broker connected", "pulseshim tail": "waiting for messages of"}


def test_what_is_not_run_is_still_shown() -> None:
    """A line that no page shows any more is taken off the list."""
    shown = {command for page in PAGES for command, _ in sessions((ROOT / page).read_text())}

    assert NOT_RUN.keys() - shown == set()


@pytest.mark.broker
@pytest.mark.parametrize("page", PAGES)
def test_a_session_goes_as_it_is_shown(
    page: str, tmp_path: Path, vhost: "VirtualHost", bugzilla: BugzillaServer
) -> None:
    """Each command succeeds and prints what the page says, in the order of the page."""
    text = (ROOT / page).read_text()
    make_server(tmp_path, vhost)

    own = "# pulseshim.toml" in text
    with Shell(tmp_path, vhost.url, bugzilla.url, has_own_settings=own).opened() as shell:
        shell.type(f"export PULSESHIM_PROVISION__URL=http://127.0.0.1:{vhost.node.management_port}", [])
        for command in PREPARED.get(page, ()):
            shell.type(command, [])
        for match in FENCE.finditer(text):
            if (
                match["kind"] == "toml"
                and match["text"].startswith("# ")
                and "pyproject" not in match["text"]
            ):
                shell.write(match["text"])
            elif match["kind"] == "json" and shell.tail:
                bugzilla.pass_time()
                bugzilla.change(1)
                assert plain(shell.next_message()) == plain(json.loads(match["text"]))
            elif match["kind"] == "console":
                for command, expected in sessions(match[0]):
                    if command.startswith("rabbitmqctl "):
                        _, verb, *words = shlex.split(command)
                        vhost.node.ctl(verb, "-p", vhost.name, *words)
                    elif command not in NOT_RUN:
                        shell.type(command, expected)


def sessions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Give each command that is typed, and the lines that are shown below it."""
    for match in FENCE.finditer(text):
        if match["kind"] != "console":
            continue
        for part in re.split(r"^\$ ", match["text"], flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            yield command, shown


# What a page takes for granted: a server that has been at work.
PREPARED = {
    "docs/how-to/operate.md": (
        "pulseshim hook install git /srv/git/group/project.git",
        "git clone -q /srv/git/group/project.git work",
        "git -C work -c user.name=Ada -c user.email=ada@example.org commit -q --allow-empty -m 'A change'",
        "git -C work push -q origin HEAD:main",
        "pulseshim drain",
    )
}


@pytest.fixture(autouse=True)
def _own_users(rabbitmq: "RabbitMQ") -> Iterator[None]:
    """Leave no user behind: they are those of the whole node, whatever the virtual host."""
    yield
    for user in rabbitmq.api("GET", "users"):
        if user["name"] != "guest":
            rabbitmq.api("DELETE", f"users/{user['name']}")


@pytest.fixture
def bugzilla() -> Iterator[BugzillaServer]:
    """Give a Bugzilla with a bug, an hour old, which changes before each message that is shown."""
    server = BugzillaServer()
    server.users[KEY] = "pulse@example.org"
    server.now = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    server.file()
    server.now += timedelta(hours=1)
    yield server
    server.close()


def make_server(root: Path, vhost: "VirtualHost") -> None:
    """Make the places of a server below a directory, and the account at the broker."""
    for name in ("group/project.git", "group/secret.git", "gitlab-project.git", "with-a-hook.git"):
        place = root / "srv" / "git" / name
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(place)], check=True)
    hook = root / "srv" / "git" / "with-a-hook.git" / "hooks" / "post-receive"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    (root / "etc" / "pulseshim").mkdir(parents=True)
    (root / "etc" / "pulseshim" / "password").write_text("secret\n")
    (root / "etc" / "pulseshim" / "bugzilla-key").write_text(f"{KEY}\n")
    shutil.copytree(GERRIT, root / "pulseshim-gerrit")
    package = root / "packages" / "pulseshim_gerrit-0.1.0.dist-info"
    package.mkdir(parents=True)
    shutil.copy(GERRIT / "pulseshim_gerrit.py", root / "packages")
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: pulseshim-gerrit\nVersion: 0.1.0\n")
    (package / "entry_points.txt").write_text("[pulseshim]\ngerrit = pulseshim_gerrit\n")
    for user in ("gitpushes", "bugzilla"):
        vhost.node.add_user(user, "secret")
        own = f"^(exchange|queue)/{user}/.*"
        vhost.node.permit(vhost.name, user, configure=own, write=own, read=own)


class Shell:
    """A shell in a directory that holds the places of a server; `/srv` and the like are those below it."""

    def __init__(self, root: Path, url: str, bugzilla: str, *, has_own_settings: bool) -> None:
        self.tail: Path | None = None
        self._root = root
        self._url = url
        self._bugzilla = bugzilla
        self._read = 0
        self._mark = f"--{secrets.token_hex(8)}--"
        self._environ = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(root / "packages"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "USER": "ada",
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "200",
        }
        if not has_own_settings:
            self._environ["PULSESHIM_CONFIG"] = str(root / "etc" / "pulseshim" / "pulseshim.toml")
            self.write(
                next(
                    m["text"] for m in FENCE.finditer((ROOT / "README.md").read_text()) if m["kind"] == "toml"
                )
            )

    @contextmanager
    def opened(self) -> Iterator["Shell"]:
        """Start the shell; afterwards, end it and whatever it started."""
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self._root,
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield self
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()

    def write(self, text: str) -> None:
        """Write a file that names itself in its first line, where the shell is or in the server's places."""
        name = text.partition("\n")[0].removeprefix("# ")
        path = Path(self._moved(name))
        if not path.is_absolute():
            path = Path(self._run("pwd")[1].strip()) / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._moved(text))

    def type(self, command: str, expected: list[str]) -> None:
        """Run a command: it must succeed and print the lines that are expected, in order."""
        endless = next((name for name in ENDLESS if command.startswith(name)), None)
        if endless:
            printed = self._begin(command, ENDLESS[endless], expected)
        else:
            code, printed = self._run(self._moved(command))
            assert code == 0, f"{command}: exit code {code}\n{printed}"
        missing = not_shown(printed, expected)
        assert missing is None, f"{command} does not print {missing!r} but\n{printed}"

    def next_message(self) -> Any:
        """Give what `tail` prints next, decoded."""
        assert self.tail is not None
        tail = self.tail

        def messages() -> list[str]:
            return [line for line in tail.read_text().splitlines() if line.startswith("{")]

        wait_until(lambda: len(messages()) > self._read, tail)
        self._read += 1
        return json.loads(messages()[self._read - 1])

    def _begin(self, command: str, ready: str, expected: list[str]) -> str:
        output = self._root / f"output-{secrets.token_hex(4)}"
        self._run(f"{self._moved(command)} >{output} 2>&1 &")
        wait_until(lambda: output.exists() and ready in output.read_text(), output)
        if command.startswith("pulseshim tail"):
            self.tail = output
        wait_until(lambda: not_shown(output.read_text(), expected) is None, output)
        return output.read_text()

    def _run(self, command: str) -> tuple[int, str]:
        """Run a command in the shell itself, so that `cd` lasts; give its exit code and output."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{{ {command}\n}} </dev/null\necho; echo {self._mark} $?\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.startswith(self._mark):
                return int(line.split()[1]), "".join(lines)
            lines.append(line)
        raise AssertionError(f"the shell ended: {command}\n{''.join(lines)}")

    def _moved(self, text: str) -> str:
        text = re.sub(r"(?<![\w.*/])/(srv/git|etc/pulseshim|var/lib/pulseshim)\b", rf"{self._root}/\1", text)
        text = text.replace('"https://bugzilla.example.org"', f'"{self._bugzilla}"')
        return re.sub(r'"amqps?://(pulse\.example\.org|localhost)/"', f'"{self._url}"', text)


def not_shown(printed: str, expected: list[str]) -> str | None:
    """Give the first expected line that is not among those printed, in order; `…` stands for anything."""
    lines = iter(printed.splitlines())
    for line in expected:
        pattern = ".*".join(map(re.escape, line.rstrip().split("…")))
        if not any(re.fullmatch(pattern, each.rstrip()) for each in lines):
            return line
    return None


def plain(value: Any) -> Any:
    """Give a message with ids, times and paths of its own replaced by what they are."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, int) and value > 10**9:
        return "time"
    if isinstance(value, str):
        return re.sub(r"\b[0-9a-f-]{36,40}\b|\b\d{10}\b|\d{4}-\d\d-\d\dT[0-9:.]+Z?", "own", value)
    return value


def wait_until(condition: Callable[[], bool], log: Path) -> None:
    """Wait for a condition; fail with what was logged where it does not come true in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, log.read_text() if log.exists() else "nothing was printed"
        time.sleep(0.02)
