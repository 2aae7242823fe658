"""Each kind of bad input: one sentence that names the thing, a remedy, its exit code, no loss."""

import json
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pulseshim.database import Database
from tests.verb import run_verb

if TYPE_CHECKING:
    from tests.acceptance.conftest import Site
    from tests.conftest import VirtualHost

pytestmark = pytest.mark.broker

EXCHANGE = "exchange/gitpushes/v1"

SETTINGS = {
    "an unknown key": ('[broker]\nulr = "memory://"', ["broker.ulr", "did you mean url"]),
    "an unknown table": ("[borker]", ["borker", "did you mean broker"]),
    "a wrong type": ("[broker]\nwindow = true", ["broker.window", "expected int"]),
    "a wrong time": ('[store]\nkeep = "soon"', ["store.keep", "7d"]),
    "no TOML": ("[broker", ["not valid TOML"]),
    "a plugin that is not installed": ("[plugins.gitt]", ["plugins.gitt", "installed"]),
    "an unknown option of a plugin": (
        "[plugins.git]\nrepos = {}",
        ["plugins.git.repos", "did you mean repositories"],
    ),
    "a template with an unknown field": (
        '[plugins.git]\npush_json_url = "x{y}"',
        ["plugins.git.push_json_url"],
    ),
    "an unknown account": ('[plugins.git]\naccount = "ghost"', ["plugins.git.account", "ghost"]),
    "a missing password file": (
        '[broker]\nurl = "amqp://127.0.0.1"\nuser = "me"\npassword_file = "/nonexistent"',
        ["broker.password_file", "/nonexistent"],
    ),
    "a password in a URL": ('[broker]\nurl = "amqp://me:hunter2@127.0.0.1"', ["broker.url", "password_file"]),
    "a foreign host in the clear": (
        '[broker]\nurl = "amqp://broker.example.org"',
        ["amqp://", "allow_plaintext"],
    ),
}


def check_said(done: "subprocess.CompletedProcess[str]", code: int, *words: str) -> None:
    """Assert that a command failed with this code and said these words, without a traceback or a secret."""
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    assert "defect of pulseshim" not in said
    assert "hunter2" not in said
    for word in words:
        assert word in said


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_wrong_setting_is_named(tmp_path: Path, kind: str) -> None:
    """`run`, `drain` and `check` exit 2 before they touch anything."""
    text, words = SETTINGS[kind]
    config = tmp_path / "pulseshim.toml"
    store = "" if "[store]" in text else f'[store]\ndirectory = "{tmp_path / "store"}"\n'
    config.write_text(f"{store}{text}\n")

    for verb in ("run", "drain", "check"):
        done = run_verb((verb, "--config", str(config)), cwd=tmp_path)
        check_said(done, 2, *words)


@pytest.mark.parametrize(("path", "word"), [("nonexistent.toml", "No such file"), (".", "Is a directory")])
def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path, path: str, word: str) -> None:
    """It says which file, and why."""
    done = run_verb(("status", "--config", path), cwd=tmp_path)

    check_said(done, 2, path, word)


def test_usage_is_explained(tmp_path: Path) -> None:
    """An unknown verb or option exits 2 and says so."""
    for arguments in (("pussh",), ("drain", "--tiemout", "3"), ("parked", "retry", "one")):
        done = run_verb(arguments, cwd=tmp_path)

        check_said(done, 2, arguments[-1] if arguments[0] != "drain" else "--timeout")


@pytest.mark.parametrize(
    ("break_url", "extra", "words"),
    [
        (lambda _vhost: "amqp://127.0.0.1:1/", "", ["127.0.0.1:1", "refused"]),
        (lambda vhost: vhost.url + "-gone", "", ["virtual host", "-gone"]),
        (lambda vhost: vhost.url, 'user = "guest"\npassword_file = "{password}"', ["guest", "password"]),
        (lambda vhost: vhost.node.url(vhost.name, tls=True), "", ["certificate", "broker.ca_file"]),
    ],
    ids=["no broker", "no such virtual host", "a wrong password", "a certificate that nobody vouches for"],
)
def test_a_broker_that_refuses_is_named(
    make_site: Callable[..., "Site"],
    vhost: "VirtualHost",
    tmp_path: Path,
    break_url: Callable[["VirtualHost"], str],
    extra: str,
    words: list[str],
) -> None:
    """`drain`, `declare` and `check` exit 3; the push waits and goes out once the broker can be used."""
    (tmp_path / "password").write_text("hunter2\n")
    site = make_site(break_url(vhost), extra=extra.format(password=tmp_path / "password"))
    queue = vhost.bind_queue(EXCHANGE)
    site.push("patient")

    check_said(site.pulseshim("drain", "--timeout", "5"), 3, *words)
    check_said(site.pulseshim("declare"), 3, *words)
    check_said(site.pulseshim("check"), 3, *words)

    site.configure(vhost.url)
    assert site.pulseshim("drain").returncode == 0
    assert len(vhost.take(queue)) == 1


def test_an_exchange_of_another_type_is_named(make_site: Callable[..., "Site"], vhost: "VirtualHost") -> None:
    """The push is parked with the cause; once the exchange is right, `parked retry` publishes it."""
    site = make_site(vhost.url)
    with vhost.node.connect(vhost.name) as connection:
        connection.channel().exchange_declare(EXCHANGE, "direct", durable=True, auto_delete=False)
    site.push("patient")

    drained = site.pulseshim("drain")
    declared, checked = site.pulseshim("declare"), site.pulseshim("check")
    listed = site.pulseshim("parked", "list", "--json")

    assert drained.returncode == 4
    check_said(declared, 1, EXCHANGE, "direct")
    check_said(checked, 1, EXCHANGE, "direct")
    assert EXCHANGE in json.loads(listed.stdout)["cause"]
    with vhost.node.connect(vhost.name) as connection:
        connection.channel().exchange_delete(EXCHANGE)
    queue = vhost.bind_queue(EXCHANGE)
    assert site.pulseshim("parked", "retry", "--all").returncode == 0
    assert site.pulseshim("drain").returncode == 0
    assert len(vhost.take(queue)) == 1


def test_a_missing_permission_is_named(
    make_site: Callable[..., "Site"], vhost: "VirtualHost", tmp_path: Path
) -> None:
    """Without the right to write, the push is parked; given it, `parked retry` publishes it."""
    vhost.node.add_user("reader", "hunter2")
    vhost.node.permit(vhost.name, "reader", configure=".*", write="", read=".*")
    (tmp_path / "password").write_text("hunter2")
    site = make_site(vhost.url, extra=f'user = "reader"\npassword_file = "{tmp_path / "password"}"')
    queue = vhost.bind_queue(EXCHANGE)
    site.push("patient")

    drained = site.pulseshim("drain")
    checked = site.pulseshim("check")
    (item,) = map(json.loads, site.pulseshim("parked", "list", "--json").stdout.splitlines())
    vhost.node.permit(vhost.name, "reader", configure=".*", write=".*", read=".*")
    site.pulseshim("parked", "retry", str(item["id"]))

    assert drained.returncode == 4
    check_said(checked, 1, EXCHANGE, "reader", "write")
    assert "write" in item["cause"]
    assert site.pulseshim("drain").returncode == 0
    assert len(vhost.take(queue)) == 1


def _corrupt(outbox: Path) -> None:
    outbox.write_bytes(b"SQLite format 3\0" + b"garbage" * 1000)


def _no_database(outbox: Path) -> None:
    outbox.write_text("these are not the bytes of a database, whatever they are\n" * 100)


def _from_the_future(outbox: Path) -> None:
    Database(outbox).close()
    with sqlite3.connect(outbox) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def _of_something_else(outbox: Path) -> None:
    with sqlite3.connect(outbox) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_corrupt, "outbox.sqlite3"),
        (_no_database, "damaged"),
        (_from_the_future, "version 99"),
        (_of_something_else, "something else"),
    ],
)
def test_an_outbox_that_cannot_be_used_is_named(
    make_site: Callable[..., "Site"], vhost: "VirtualHost", spoil: Callable[[Path], None], word: str
) -> None:
    """`run`, `drain` and `status` exit 1 and change nothing; without the file the push goes out."""
    site = make_site(vhost.url)
    queue = vhost.bind_queue(EXCHANGE)
    site.push("patient")
    outbox = site.store / "outbox.sqlite3"
    spoil(outbox)
    before = outbox.read_bytes()

    for verb in ("run", "drain", "status", "check"):
        check_said(site.pulseshim(verb), 1, word)

    assert outbox.read_bytes() == before
    for path in site.store.glob("outbox.sqlite3*"):
        path.unlink()
    assert site.pulseshim("drain").returncode == 0
    assert len(vhost.take(queue)) == 1


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """It says which directory, and exits 1."""
    (tmp_path / "file").write_text("in the way")
    config = tmp_path / "pulseshim.toml"
    config.write_text(f'[store]\ndirectory = "{tmp_path / "file" / "store"}"\n')

    for verb in ("run", "drain"):
        done = run_verb((verb, "--config", str(config)), cwd=tmp_path)
        check_said(done, 1, str(tmp_path / "file" / "store"))


def on_a_full_disk(site: "Site", size: int, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a verb that can write no file beyond its first bytes."""
    return subprocess.run(
        [sys.executable, "-m", "pulseshim", *words, "--config", str(site.config)],
        cwd=site.root,
        env=site.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


def test_a_full_store_loses_nothing(make_site: Callable[..., "Site"], vhost: "VirtualHost") -> None:
    """Where no more can be written, `drain` says so and exits 1; with room the pushes go out in order.

    A service that starts says so as well, and exits 1: whoever keeps it running starts it again.
    """
    site = make_site(vhost.url)
    queue = vhost.bind_queue(EXCHANGE)
    site.pulseshim("drain")
    for number in range(3):
        site.push(f"{number} " + "x" * 20_000)
    size = (site.store / "outbox.sqlite3").stat().st_size

    check_said(on_a_full_disk(site, size, "drain", "--timeout", "2"), 1, str(site.store), "free space")
    check_said(on_a_full_disk(site, 0, "run"), 1, str(site.store), "free space")

    assert site.pulseshim("drain").returncode == 0
    assert [json.loads(m.body)["payload"]["push_id"] for m in vhost.take(queue)] == [1, 2, 3]
