"""A shell into which the lines of a document are typed, and what it shows."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE = 60
# Commands that never end by themselves, and what they say when they are ready.
ENDLESS = {"pulseshim run": "broker connected", "pulseshim tail": "waiting for messages of"}


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
            **{name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
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
        self._process.stdin.write(f"{{ {command}\n}} </dev/null\ncode=$?; echo; echo {self._mark} $code\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.startswith(self._mark):
                return int(line.split()[1]), "".join(lines)
            lines.append(line)
        raise AssertionError(f"the shell ended: {command}\n{''.join(lines)}")

    def _moved(self, text: str) -> str:
        text = re.sub(
            r"(?<![\w.*/])/(srv/git|srv/hg|etc/pulseshim|var/lib/pulseshim)\b", rf"{self._root}/\1", text
        )
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
