"""Invocations of several Unix users in one spool: who is believed, and what a person makes of the rest."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

GAMES, NAMELESS, SERVICE = 5, 54321, 54399
RECORD = """
import os, time
from pulseshim.recorder import record
import sys; become(int(sys.argv[1]))
spool, cwd, line = map(os.fsencode, sys.argv[2:5])
record(spool, b"git", (), ((b"REMOTE_USER", b"root"),), line, cwd, time.time_ns(), os.urandom(16))
"""
BECOME = """
def become(uid):
    import os
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    os.umask(0o022)
"""
# Where the tests' Python is, other users may not look: whatever is imported on the way is there before.
RUN = (
    BECOME
    + """
import contextlib, importlib, io, json, pkgutil, sys
import pulseshim, pulseshim_plugins, pulseshim_shims
from pulseshim.commands.root import run
warm, config, uid, verbs = json.loads(sys.argv[1])
for package in (pulseshim, pulseshim_plugins, pulseshim_shims):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
def done(config, verb):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["--config", config, *verb])
    return code, out.getvalue(), err.getvalue()
for verb in [["emit", "warm"], ["drain"], ["check"], ["status"], *verbs]:
    done(warm, verb)
become(uid)
print(json.dumps([done(config, verb) for verb in verbs]))
"""
)


class Done(NamedTuple):
    """What came of a verb."""

    code: int
    out: str
    err: str


def as_user(uid: int, code: str, *arguments: str) -> None:
    """Run code as a user, once what it imports is there."""
    command = [sys.executable, "-c", BECOME + code, str(uid), *arguments]
    subprocess.run(command, cwd="/", check=True, capture_output=True, timeout=60)


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
        self.pulseshim(["drain"])

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

    def pulseshim(self, *verbs: Sequence[str]) -> list[Done]:
        """Run verbs as the service's user, one after the other."""
        warm = self.config.with_name("warm.toml")
        with tempfile.TemporaryDirectory() as directory:
            warm.write_text(self.config.read_text().replace(str(self.store), directory))
            given = json.dumps([str(warm), str(self.config), SERVICE, verbs])
            done = subprocess.run(
                [sys.executable, "-c", RUN, given],
                cwd="/",
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        return [Done(*each) for each in json.loads(done.stdout)]

    def record(self, uid: int, ref: str) -> None:
        """Record, as a user, that a ref was pushed."""
        line = f"{'0' * 40} {self.commit} refs/heads/{ref}\n"
        as_user(uid, RECORD, str(self.store / "spool"), str(self.repository), line)


HOSTILE = """
import os, socket, sys
become(int(sys.argv[1]))
os.chdir(sys.argv[2])
name = "%020d-00000000-0000-4000-8000-%012d"
os.symlink(sys.argv[3], name % (1, 1))
os.mkfifo(name % (2, 2))
os.mkdir(name % (3, 3))
open(name % (3, 3) + "/file", "w").close()
os.open(name % (4, 4), os.O_CREAT, 0o000)
socket.socket(socket.AF_UNIX).bind(name % (5, 5))
open(name % (6, 6), "w").close()
os.truncate(os.open(name % (7, 7), os.O_CREAT | os.O_WRONLY, 0o644), 1 << 40)
open("\\x1b]0;owned\\x07\\x1b[2J\\n", "w").close()
open(b"caf\\xe9", "w").close()
for number in range(100):
    open("flood-%d" % number, "w").close()
"""


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server in a directory that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="server-") as directory:
        Path(directory).chmod(0o755)
        yield Server(Path(directory))


def test_a_forged_push_is_set_aside_with_its_owner_and_a_real_one_is_not(server: Server) -> None:
    """The service has no privileges, and reads and removes what others wrote; nothing of it is published."""
    server.git("update-ref", "refs/heads/topic", server.commit)
    server.record(0, "topic")
    for uid in (GAMES, NAMELESS, NAMELESS):
        server.record(uid, "main")

    verbs = [["drain"], ["status", "--json"], ["status"], ["check"], ["parked", "show", "1"]]
    drained, figures, status, check, shown = server.pulseshim(*verbs)

    told = json.loads(figures.out)
    assert drained.code == 4, drained.err
    assert os.listdir(server.store / "spool" / "new") == []
    assert told["suspicious"] == [
        {"owner": GAMES, "name": "games", "count": 1},
        {"owner": NAMELESS, "name": str(NAMELESS), "count": 2},
    ]
    assert [exchange["confirmed"] for exchange in told["exchanges"]] == [1]
    whose = "1 by user 5 (games), 2 by user 54321"
    assert f"suspicious invocations, not published: {whose}" in status.out
    assert f"invocations are set aside as suspicious, {whose}" in check.out
    assert f"owner: {GAMES}\n" in shown.out
    assert "owner_name: games\n" in shown.out
    assert "user 5 (games) recorded this and may not write to" in shown.out


def test_a_person_can_vouch_for_what_is_suspicious(server: Server) -> None:
    """A plain retry asks again, and is as suspicious as before; with --trust it is published."""
    server.record(GAMES, "main")

    retry, trust, status = ["parked", "retry", "1"], ["parked", "retry", "1", "--trust"], ["status", "--json"]
    done = server.pulseshim(["drain"], retry, ["drain"], status, trust, ["drain"], status)

    assert [each.code for each in done] == [4, 0, 4, 0, 0, 0, 0]
    before, after = json.loads(done[3].out), json.loads(done[6].out)
    assert before["suspicious"] == [{"owner": GAMES, "name": "games", "count": 1}]
    assert after["suspicious"] == []
    assert after["exchanges"][0]["confirmed"] == 1


def test_a_permission_that_was_given_later_is_enough_for_a_retry(server: Server) -> None:
    """The owner that was parked with an invocation is the one who is asked about again."""
    server.record(GAMES, "main")
    (first,) = server.pulseshim(["drain"])
    os.chown(server.repository / "refs" / "heads", GAMES, -1)

    _, again = server.pulseshim(["parked", "retry", "--all"], ["drain"])

    assert (first.code, again.code) == (4, 0)


def test_what_hostile_users_put_into_the_spool_stops_nobody(server: Server) -> None:
    """Links, pipes, directories, files that are closed or oddly named: a push comes through all the same."""
    secret = server.root / "secret"
    secret.write_text("for the service alone")
    secret.chmod(0o600)
    os.chown(secret, SERVICE, SERVICE)
    as_user(GAMES, HOSTILE, str(server.store / "spool" / "new"), str(secret))
    server.record(0, "main")

    verbs = [
        ["drain"],
        ["status", "--json"],
        ["parked", "list", "--json"],
        ["parked", "list"],
        ["parked", "show"],
    ]
    drained, figures, listed, *printed = server.pulseshim(
        *verbs, *([["parked", "show", str(n)] for n in range(1, 10)])
    )

    told = json.loads(figures.out)
    items = [json.loads(line) for line in listed.out.splitlines()]
    assert drained.code == 4
    assert [exchange["confirmed"] for exchange in told["exchanges"]] == [1]
    assert told["parked"]["kinds"] == {"file": 109}
    assert {item["owner"] for item in items} == {GAMES}
    texts = [text for done in (drained, *printed) for text in (done.out, done.err)]
    assert not any(sign in text for text in texts for sign in ("\x1b", "\x07", "for the service alone"))
    assert secret.read_text() == "for the service alone"
    # The directory of another user stays where it is, and is met no more.
    assert [Path(item["subject"]).name[:20] for item in items if "/new/" in item["subject"]] == [f"{3:020}"]
