"""Invocations of several Unix users in one spool: who is believed, and what a person sees and does of the rest."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

GAMES, NAMELESS, SERVICE = 5, 54321, 54399
RECORD = """
import os, sys
sys.path.insert(0, sys.argv[1])
import recorder, time
spool, cwd, line = (os.fsencode(word) for word in sys.argv[2:5])
recorder.record(spool, b"git", (), ((b"REMOTE_USER", b"root"),), line + b"\\n", cwd, time.time_ns(), os.urandom(16))
"""


class Server:
    """A server whose service runs as a user without privileges, and whose other users may record."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = root / "srv" / "project.git"
        self.config = root / "pulseshim.toml"
        self.store = root / "store"
        self.store.mkdir()
        os.chown(self.store, SERVICE, SERVICE)
        self.config.write_text(
            f'[store]\ndirectory = "{self.store}"\n[broker]\nurl = "memory://"\n'
            f'[plugins.git]\nrepositories = {{"{root / "srv"}" = "https://git.example.org"}}\n'
        )
        (root / "srv").mkdir()
        self.git("init", "-q", "--bare", str(self.repository))
        tree = self.git("hash-object", "-t", "tree", "-w", "--stdin", stdin=b"")
        self.commit = self.git("commit-tree", "-m", "One", tree)
        self.git("update-ref", "refs/heads/main", self.commit)
        self.pulseshim("drain")

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git in the repository, as root."""
        person = {
            f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        environ = {**person, "PATH": os.environ["PATH"], "HOME": str(self.root)}
        if arguments[0] != "init":
            environ["GIT_DIR"] = str(self.repository)
        done = subprocess.run(["git", *arguments], input=stdin, env=environ, check=True, capture_output=True)
        return done.stdout.decode().strip()

    def pulseshim(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb as the service's user."""
        command = [sys.executable, "-m", "pulseshim", "--config", str(self.config), *arguments]
        environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            command,
            cwd="/",
            env=environ,
            user=SERVICE,
            group=SERVICE,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def record(self, uid: int, ref: str, repository: Path | None = None) -> None:
        """Record, as a user, that a ref was pushed."""
        recorder = Path(__file__).parents[2] / "pulseshim"
        code = RECORD.replace("sys.path.insert(0, sys.argv[1])", f"sys.path.insert(0, {str(recorder)!r})")
        line = f"{'0' * 40} {self.commit} refs/heads/{ref}"
        arguments = ["-", str(self.store / "spool"), str(repository or self.repository), line]
        subprocess.run(
            [sys.executable, "-Sc", code, *arguments],
            user=uid,
            group=uid,
            extra_groups=[],
            cwd="/",
            check=True,
            capture_output=True,
            env={"PYTHONDONTWRITEBYTECODE": "1"},
        )

    def status(self) -> dict[str, object]:
        """Give what `status --json` says."""
        status: dict[str, object] = json.loads(self.pulseshim("status", "--json").stdout)
        return status


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server in a directory that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="server-") as directory:
        Path(directory).chmod(0o755)
        yield Server(Path(directory))


def test_a_forged_push_is_set_aside_with_its_owner_and_a_real_one_is_not(server: Server) -> None:
    """The service has no privileges: it reads and removes what others wrote, and nothing is published of it."""
    server.git("update-ref", "refs/heads/topic", server.commit)
    server.record(0, "topic")
    server.record(GAMES, "main")
    server.record(NAMELESS, "main")
    server.record(NAMELESS, "main")

    drained = server.pulseshim("drain")

    status = server.status()
    assert drained.returncode == 4, drained.stderr
    assert os.listdir(server.store / "spool" / "new") == []
    assert status["suspicious"] == [
        {"owner": GAMES, "name": "games", "count": 1},
        {"owner": NAMELESS, "name": str(NAMELESS), "count": 2},
    ]
    (exchange,) = status["exchanges"]  # type: ignore[misc] # JSON
    assert exchange["confirmed"] == 1
    said = "suspicious invocations, not published: 1 by user 5 (games), 2 by user 54321"
    assert said in server.pulseshim("status").stdout
    assert "set aside as suspicious, 1 by user 5 (games), 2 by user 54321" in server.pulseshim("check").stdout
    shown = server.pulseshim("parked", "show", "1").stdout
    assert f"owner: {GAMES}\n" in shown
    assert "owner_name: games\n" in shown
    assert "suspicious: True\n" in shown
    assert "user 5 (games) recorded this and may not write to" in shown


def test_a_person_can_vouch_for_what_is_suspicious(server: Server) -> None:
    """A plain retry asks again, and is as suspicious as before; with --trust it is published."""
    server.record(GAMES, "main")
    server.pulseshim("drain")

    server.pulseshim("parked", "retry", "1")
    again = server.pulseshim("drain")
    suspicious = server.status()["suspicious"]
    server.pulseshim("parked", "retry", "1", "--trust")
    trusted = server.pulseshim("drain")

    assert (again.returncode, trusted.returncode) == (4, 0)
    assert suspicious == [{"owner": GAMES, "name": "games", "count": 1}]
    status = server.status()
    assert status["suspicious"] == []
    assert status["exchanges"][0]["confirmed"] == 1  # type: ignore[index] # JSON


def test_a_permission_that_was_given_later_is_enough_for_a_retry(server: Server) -> None:
    """The owner that was parked with an invocation is the one who is asked about again."""
    server.record(GAMES, "main")
    server.pulseshim("drain")
    os.chown(server.repository / "refs" / "heads", GAMES, -1)

    server.pulseshim("parked", "retry", "--all")
    done = server.pulseshim("drain")

    assert done.returncode == 0, done.stderr
    assert server.status()["suspicious"] == []


def test_what_hostile_users_put_into_the_spool_stops_nobody(server: Server) -> None:
    """Links, pipes, directories, files that are closed or have odd names: a push comes through all the same."""
    secret = server.root / "secret"
    secret.write_text("for the service alone")
    secret.chmod(0o600)
    os.chown(secret, SERVICE, SERVICE)
    hostile = f"""
import os, socket
os.chdir({str(server.store / "spool" / "new")!r})
name = "%020d-00000000-0000-4000-8000-%012d"
os.symlink({str(secret)!r}, name % (1, 1))
os.mkfifo(name % (2, 2))
os.mkdir(name % (3, 3)); open(name % (3, 3) + "/file", "w").close()
os.open(name % (4, 4), os.O_CREAT, 0o000)
socket.socket(socket.AF_UNIX).bind(name % (5, 5))
open(name % (6, 6), "w").close()
os.truncate(os.open(name % (7, 7), os.O_CREAT | os.O_WRONLY, 0o644), 1 << 40)
open("\\x1b]0;owned\\x07\\x1b[2J\\n", "w").close()
open(b"caf\\xe9", "w").close()
for number in range(200):
    open("flood-%d" % number, "w").close()
"""
    subprocess.run(
        [sys.executable, "-ISc", hostile], user=GAMES, group=GAMES, extra_groups=[], check=True, umask=0o022
    )
    server.record(0, "main")

    done = server.pulseshim("drain")

    assert done.returncode == 4
    status = server.status()
    assert status["exchanges"][0]["confirmed"] == 1  # type: ignore[index] # JSON
    assert status["parked"]["kinds"] == {"file": 209}  # type: ignore[index] # JSON
    printed = [
        done.stderr,
        *(server.pulseshim(*verb).stdout for verb in (("parked", "list"), ("parked", "show"))),
    ]
    assert not any("\x1b" in text or "\x07" in text or "for the service alone" in text for text in printed)
    items = [json.loads(line) for line in server.pulseshim("parked", "list", "--json").stdout.splitlines()]
    assert {item["owner"] for item in items} == {GAMES}
    assert secret.read_text() == "for the service alone"
    stuck = [item["subject"] for item in items if "/new/" in item["subject"]]
    assert [Path(path).name[:20] for path in stuck] == [f"{3:020}"]
