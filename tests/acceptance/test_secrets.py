"""Every secret that pulseshim is given, or meets on its way, is marked, and looked for where none may be."""

import json
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from tests.bugzilla_server import BugzillaServer, failure
from tests.buildbot_rows import ROWS, master_answer
from tests.ports import free_port
from tests.web import Web

if TYPE_CHECKING:
    from tests.acceptance.conftest import Site
    from tests.conftest import VirtualHost

pytestmark = pytest.mark.broker

EXCHANGES = ("exchange/gitpushes/v1", "exchange/hgpushes/v1", "exchange/build/")
MARK = "s3cr3t"
BROKER, KEY, MASTER, TOKEN, SESSION, REMOTE, PUSHER, HGRC, ENVIRONMENT, PROPERTY = (
    f"{MARK}-{name}"
    for name in (
        *("broker", "key", "master", "token", "session"),
        *("remote", "pusher", "hgrc", "environment", "property"),
    )
)
SIGNS = {MARK.encode(), b64encode(f"ci:{MASTER}".encode())}
FIRST_LOOK = 12
HG = str(Path(sys.executable).with_name("hg"))


@contextmanager
def failing_master() -> Iterator[str]:
    """Serve what is wrong, with the password and the headers of the one who asks in it, and give the URL.

    Each answer hands out a session that is no header as it stands.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Fail."""
            said = json.dumps({"error": f"no {MASTER} for {dict(self.headers)}", "password": MASTER}).encode()
            self.send_response(500, f"not with {MASTER}")
            self.send_header("Set-Cookie", f'session="{SESSION}\\012"')
            self.send_header("Content-Length", str(len(said)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def telling() -> Iterator[Web]:
    """Give a master with a build, some of whose properties hold what nobody must read."""
    names = ("deploy_password", "API_KEY", "github-token", "secretary", "aws_credentials")
    hidden = {name: [{"deep": [PROPERTY]}, PROPERTY] for name in names}
    builds = [{**build, "properties": {**hidden, "shown": ["seen", "test"]}} for build in ROWS["builds"]]
    web = Web()
    web.answer = lambda path, number: master_answer(
        path, filled=number > FIRST_LOOK, rows={**ROWS, "builds": builds}
    )
    yield web
    web.close()


@pytest.fixture
def bugzilla() -> Iterator[BugzillaServer]:
    """Give a Bugzilla that knows the marked key."""
    server = BugzillaServer()
    server.users = {KEY: "poller@bugzilla.test"}
    yield server
    server.close()


def configure(site: "Site", broker: str, bugzilla: str, masters: Sequence[str], port: int) -> None:
    """Write settings with all sources on, and each secret into a file of its own."""
    files = {"broker": BROKER, "key": KEY, "master": MASTER, "token": TOKEN, "lines": f"{TOKEN}\n{TOKEN}"}
    for name, text in files.items():
        (site.root / name).write_text(text + "\n")
    root = site.root
    site.configure(
        broker,
        f'user = "marked"\npassword_file = "{root / "broker"}"\n'
        f'[log]\nlevel = "debug"\n[metrics]\nport = {port}\n'
        f'[plugins.hg]\nrepositories = {{"{root / "hg"}" = "https://hg.example.org"}}\n'
        f'[plugins.bugzilla.servers.main]\nurl = "{bugzilla}"\n'
        f'api_key_file = "{root / "key"}"\nevery = "1s"\n'
        f'[plugins.buildbot.masters.telling]\nurl = "{masters[1]}"\nevents = "none"\nevery = "1s"\n'
        f'[plugins.buildbot.masters.ci]\nurl = "{masters[0]}"\n'
        f'user = "ci"\npassword_file = "{root / "master"}"\n'
        f'[plugins.buildbot.masters.token]\nurl = "{masters[0]}"\ntoken_file = "{root / "token"}"\n'
        f'[plugins.buildbot.masters.lines]\nurl = "{masters[0]}"\ntoken_file = "{root / "lines"}"\n',
    )


def push_hg(site: "Site") -> None:
    """Push over the hook that is shipped into a repository whose configuration holds a password."""
    repository, clone = site.root / "hg" / "project", site.root / "hg-clone"

    def hg(*arguments: str) -> None:
        environ = {**site.environ, "HGRCPATH": "", "HGUSER": "tester"}
        subprocess.run([HG, *arguments], env=environ, cwd=site.root, check=True, capture_output=True)

    hg("init", str(repository))
    assert site.pulseshim("hook", "install", "hg", str(repository)).returncode == 0
    with (repository / ".hg" / "hgrc").open("a") as file:
        file.write(f"[paths]\ndefault = https://ci:{HGRC}@hg.example.org/x\n")
    hg("clone", "-q", str(repository), str(clone))
    (clone / "file").write_text("text")
    hg("-R", str(clone), "commit", "-A", "-m", "One")
    hg("-R", str(clone), "push")


def start_debugging(site: "Site") -> subprocess.Popen[bytes]:
    """Start the service with tracebacks on; what it logs goes to `log` of the site."""
    command = [sys.executable, "-m", "pulseshim", "run", "--debug", "--config", str(site.config)]
    with (site.root / "log").open("w") as log:
        return subprocess.Popen(command, cwd=site.root, env=site.environ, stderr=log)


def command_lines(pid: int) -> bytes:
    """Give the command lines of a process and its children."""
    parts = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if pid in (int(entry.name), parent):
                parts.append((entry / "cmdline").read_bytes())
        except (OSError, ValueError):
            continue  # it has ended
    return b"\0".join(parts)


def test_no_secret_is_found_where_it_does_not_belong(
    make_site: Callable[..., "Site"], vhost: "VirtualHost", bugzilla: BugzillaServer, telling: Web
) -> None:
    """Logs at debug level, what verbs print, messages, metrics, command lines, every byte of the store."""
    vhost.node.add_user("marked", BROKER)
    vhost.node.permit(vhost.name, "marked", configure=".*", write=".*", read=".*")
    port = free_port()
    queues = [vhost.bind_queue(name) for name in EXCHANGES]
    built = vhost.bind_queue("exchange/build/", "build.#.log_uploaded")
    found: dict[str, bytes] = {}
    with failing_master() as master:
        site = make_site(vhost.url)
        configure(site, vhost.url, bugzilla.url, (master, telling.url), port)
        site.environ |= {"DEPLOY_TOKEN": ENVIRONMENT, "GIT_ASKPASS": f"/bin/echo {PUSHER}"}
        site.git("config", "remote.x.url", f"https://ci:{REMOTE}@example.org/x", directory=site.repository)
        process = start_debugging(site)
        try:
            site.push("One")
            push_hg(site)
            assert site.pulseshim("emit", "no-such-feed").returncode == 0
            asked = {f"feed=buildbot.{name}" for name in ("ci", "token", "lines")} | {"events not heard"}
            site.wait_until(lambda: all(each in site.log for each in asked), "masters asked")
            site.wait_until(lambda: len(bugzilla.requests) > 3, "Bugzilla asked")
            bugzilla.faults = lambda _: failure(100500, f"the key {KEY} of poller:{KEY}@x is odd", status=500)
            site.wait_until(lambda: "poll failed" in site.log, "a failure of Bugzilla")
            site.wait_until(lambda: vhost.take(built), "a build announced")
            site.wait_until(site.is_done, "published")
            found["command lines"] = command_lines(process.pid)
            with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                found["metrics"] = answer.read()
            for verb in (
                ["status"],
                ["status", "--json"],
                ["check"],
                ["parked", "show"],
                ["plugins"],
                ["declare"],
            ):
                done = site.pulseshim(*verb, "--debug")
                found[" ".join(verb)] = (done.stdout + done.stderr).encode()
        finally:
            process.terminate()
            process.wait(60)
        done = site.pulseshim("poll", "bugzilla", "buildbot", "--debug", "--timeout", "1")
        found["poll"] = (done.stdout + done.stderr).encode()
    (site.root / "broker").write_text(f"{MARK}-wrong")
    done = site.pulseshim("check", "--debug")
    found["a refusal"] = (done.stdout + done.stderr).encode()
    found["log"] = site.log.encode()
    found |= {str(path): path.read_bytes() for path in site.store.rglob("*") if path.is_file()}
    held = [vhost.take(queue) for queue in queues]
    found["messages"] = b"\n".join(
        bytes(message.body, "utf-8") if isinstance(message.body, str) else message.body
        for each in held
        for message in each
    )

    told = {name for name, text in found.items() if any(sign in text for sign in SIGNS)}

    assert told == set()
    assert [len(each) for each in held[:2]] == [1, 1]
    assert b'"shown"' in found["messages"]
    assert all(text in found["log"] for text in (b"broker connected", b"lines holds is no token"))
    assert b"no-such-feed" in found["parked show"]
    assert b"pulseshim" in found["command lines"]
    assert any(path.endswith("outbox.sqlite3") for path in found)


@pytest.mark.parametrize("kind", ["buildbot.masters", "bugzilla.servers"])
@pytest.mark.parametrize("url", ["https://ci:{}@ci.example.org/", "https://ci:{}@[::1", "https://ci:{}#@ci"])
def test_a_password_in_a_url_of_a_server_is_not_shown(
    make_site: Callable[..., "Site"], kind: str, url: str
) -> None:
    """It does not belong there, and what says so does not quote it."""
    site = make_site("memory://")
    site.configure("memory://", f'[plugins.{kind}.wrong]\nurl = "{url.format(MASTER)}"\n')

    done = site.pulseshim("check", "--debug")

    assert f"plugins.{kind}.wrong.url" in done.stdout + done.stderr
    assert MARK not in done.stdout + done.stderr
