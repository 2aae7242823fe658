"""A Buildbot master that cannot be read: who is told of it, and in which words."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

PATIENCE = 60.0
NO_MASTER = "this is another server\n"


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give a way to run a verb for a master at an address, with the broker in memory."""

    def pulseshim(verb: str, *arguments: str, url: str) -> subprocess.CompletedProcess[str]:
        configure(tmp_path, url)
        return subprocess.run(
            command(tmp_path, verb, *arguments), capture_output=True, text=True, check=False
        )

    return pulseshim


def configure(root: Path, url: str) -> None:
    """Name the one master."""
    new = root / "pulseshim.toml.new"
    new.write_text(f'[store]\ndirectory = "{root / "store"}"\n[plugins.buildbot.masters.ci]\nurl = "{url}"\n')
    new.rename(root / "pulseshim.toml")


def command(root: Path, *verb: str) -> list[str]:
    """Give the command line of a verb."""
    return [sys.executable, "-m", "pulseshim", *verb, "--config", str(root / "pulseshim.toml")]


@contextmanager
def running(root: Path, url: str) -> Iterator[None]:
    """Have a service run."""
    configure(root, url)
    with (root / "log").open("w") as log:
        process = subprocess.Popen(command(root, "run"), stderr=log)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def stream_of(site: Callable[..., subprocess.CompletedProcess[str]], url: str) -> dict[str, Any]:
    """Give what `status` says of the stream, as soon as it says something."""
    until = time.monotonic() + PATIENCE
    while True:
        found = json.loads(site("status", "--json", url=url).stdout or "{}").get("conditions", [])
        for condition in found:
            if condition["subject"] == "stream buildbot.ci":
                return dict(condition)
        assert time.monotonic() < until, found
        time.sleep(0.1)


def wait_for(port: int) -> None:
    """Wait until somebody listens at a port."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.02)
        else:
            return


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[str]:
    """Give the address of a web server that is no Buildbot."""
    port = free_port()
    (tmp_path / "web" / "api" / "v2").mkdir(parents=True)
    (tmp_path / "web" / "api" / "v2" / "builds").write_text(NO_MASTER)
    process = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(tmp_path / "web")],
        stderr=subprocess.DEVNULL,
    )
    wait_for(port)
    yield f"http://127.0.0.1:{port}/"
    process.kill()
    process.wait()


def test_a_master_that_is_down_is_shown_by_status_and_check(
    site: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Since when it is not heard, and why, in one sentence; `poll` says the same and exits 1."""
    url = f"http://127.0.0.1:{free_port()}/"

    with running(tmp_path, url):
        condition = stream_of(site, url)
        shown = site("status", url=url)
        checked = site("check", "--json", url=url)
    alone = site("check", url=url)
    polled = site("poll", "buildbot", url=url)
    after = site("status", url=url)

    assert condition["condition"] == "failed"
    assert condition["detail"].startswith(f"{url} does not answer (")
    assert f"stream buildbot.ci: failed since {condition['since']} {url} does not" in shown.stdout
    texts = [problem["text"] for problem in json.loads(checked.stdout)]
    assert f"buildbot.ci is not heard since {condition['since']}: {condition['detail']}" in texts
    assert (alone.returncode, polled.returncode, after.stdout.count(f"{url} does not answer")) == (1, 1, 1)
    assert "poll buildbot.ci: failed" in after.stdout


def test_an_address_that_is_no_master_is_a_setting_to_correct(
    site: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, stranger: str
) -> None:
    """The stream is refused, not failed; `check`, also without the service, and `poll` exit 2."""
    with running(tmp_path, stranger):
        condition = stream_of(site, stranger)
        checked = site("check", url=stranger)
    alone = site("check", url=stranger)
    polled = site("poll", url=stranger)

    assert condition["condition"] == "refused"
    assert "is no Buildbot" in condition["detail"]
    assert (checked.returncode, alone.returncode, polled.returncode) == (2, 2, 2)
    assert "poll failed" in polled.stderr
