"""Three accounts in one service, as `provision` makes them: each its own, none in another's way."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import amqp
import pytest

from tests.bugzilla_server import BugzillaServer

if TYPE_CHECKING:
    from tests.acceptance.conftest import Site
    from tests.conftest import RabbitMQ, TcpProxy, VirtualHost

pytestmark = pytest.mark.broker

EXCHANGES = {
    "gitpushes": "exchange/gitpushes/v1",
    "hgpushes": "exchange/hgpushes/v1",
    "bugzilla": "exchange/bugzilla/simple",
}
OF_MERCURIAL = {"exchange/hgpushes/v1", "exchange/hgpushes/v2", "exchange/code/"}
HG = str(Path(sys.executable).with_name("hg"))


class Sources:
    """A git repository, a Mercurial repository and a Bugzilla, watched by one service as three accounts."""

    def __init__(self, site: "Site", vhost: "VirtualHost", bugs: BugzillaServer) -> None:
        self.site = site
        self.vhost = vhost
        self.bugs = bugs
        self.queues = {user: vhost.bind_queue(exchange) for user, exchange in EXCHANGES.items()}
        self.hg_clone = site.root / "hg-clone"
        repository = site.root / "hg" / "project"
        repository.parent.mkdir()
        self.hg("init", str(repository), cwd=site.root)
        self.hg("clone", "-q", str(repository), str(self.hg_clone), cwd=site.root)
        installed = site.pulseshim("hook", "install", "hg", str(repository))
        assert installed.returncode == 0, installed.stderr
        self.events = 0

    def hg(self, *words: str, cwd: Path | None = None) -> None:
        """Run Mercurial, in the clone unless told otherwise."""
        environ = {**os.environ, "HGRCPATH": "", "HGUSER": "Ada <ada@example.org>"}
        subprocess.run([HG, *words], cwd=cwd or self.hg_clone, env=environ, check=True, capture_output=True)

    def happen(self) -> None:
        """Push to either repository, and change a bug."""
        self.events += 1
        self.site.push(f"change {self.events}")
        (self.hg_clone / "file").write_text(f"{self.events}")
        self.hg("commit", "-q", "-A", "-m", f"change {self.events}")
        self.hg("push", "-q")
        self.bugs.pass_time(60)
        self.bugs.change(1)

    def confirmed(self) -> dict[str, int]:
        """Give how many messages of each account's exchange were confirmed."""
        rows = {row["exchange"]: row["confirmed"] for row in self.site.seen()["exchanges"]}
        return {user: rows.get(exchange, 0) for user, exchange in EXCHANGES.items()}

    def held(self) -> set[str]:
        """Give the exchanges for which something waits."""
        return {row["exchange"] for row in self.site.seen()["exchanges"] if row["pending"]}

    def condition(self, account: str) -> str:
        """Give how the relay of an account is."""
        found = {row["subject"]: row["condition"] for row in self.site.seen()["conditions"]}
        return str(found.get(f"relay {account}".rstrip(), ""))

    def arrived(self) -> dict[str, int]:
        """Give how many events of each account came to a consumer, by ids, and forget them."""
        return {
            user: len({message.properties["message_id"] for message in self.vhost.take(queue)})
            for user, queue in self.queues.items()
        }


def tables(root: Path, vhost: "VirtualHost", bugs: str) -> str:
    """Give the settings of three accounts, from the rest of `[broker]` on."""
    return (
        f'user = "gitpushes"\npassword_file = "{root / "git-password"}"\n'
        f'[broker.accounts.hg]\nuser = "hgpushes"\npassword_file = "{root / "hg-password"}"\n'
        f'[broker.accounts.bugs]\nuser = "bugzilla"\npassword_file = "{root / "bugs-password"}"\n'
        f'[provision]\nurl = "http://127.0.0.1:{vhost.node.management_port}"\n'
        f'[plugins.hg]\naccount = "hg"\nrepositories = {{"{root / "hg"}" = "https://hg.example.org"}}\n'
        f'[plugins.bugzilla]\naccount = "bugs"\nevery = "1s"\n'
        f'[plugins.bugzilla.servers.main]\nurl = "{bugs}"\n'
    )


@pytest.fixture
def bugs() -> Iterator[BugzillaServer]:
    """Give a Bugzilla with one bug."""
    server = BugzillaServer()
    server.file()
    server.pass_time(3600)
    yield server
    server.close()


@pytest.fixture(autouse=True)
def own_users(rabbitmq: "RabbitMQ") -> Iterator[None]:
    """Leave no user behind: they are those of the whole node, whatever the virtual host."""
    yield
    for user in rabbitmq.api("GET", "users"):
        if user["name"] in EXCHANGES:
            rabbitmq.api("DELETE", f"users/{user['name']}")


@pytest.fixture
def sources(
    make_site: Callable[..., "Site"], tmp_path: Path, vhost: "VirtualHost", bugs: BugzillaServer
) -> Sources:
    """Give the three sources, their accounts provisioned, the service at work."""
    site = make_site(vhost.url, extra=tables(tmp_path / "site0", vhost, bugs.url))
    provisioned = site.pulseshim("provision")
    assert provisioned.returncode == 0, provisioned.stderr
    made = Sources(site, vhost, bugs)
    site.start()
    site.wait_until(lambda: "/rest/bug" in bugs.paths(), "polled")
    return made


def test_three_accounts_publish_and_each_is_refused_the_others_exchanges(sources: Sources) -> None:
    """A push of git, one of Mercurial and a change of a bug arrive; no password opens another's exchange."""
    sources.happen()
    sources.site.wait_until(lambda: all(sources.confirmed().values()), "published")

    arrived = sources.arrived()
    passwords = {"gitpushes": "git", "hgpushes": "hg", "bugzilla": "bugs"}
    allowed: list[tuple[str, str]] = []
    for user, short in passwords.items():
        password = (sources.site.root / f"{short}-password").read_text().strip()
        with sources.vhost.node.connect(sources.vhost.name, user, password) as connection:
            exchanges = (*EXCHANGES.values(), "exchange/hgpushes/v2", "exchange/code/")
            allowed += [(user, exchange) for exchange in exchanges if may_publish(connection, exchange)]

    assert arrived == dict.fromkeys(EXCHANGES, 1)
    assert allowed == [
        ("gitpushes", "exchange/gitpushes/v1"),
        ("hgpushes", "exchange/hgpushes/v1"),
        ("hgpushes", "exchange/hgpushes/v2"),
        ("hgpushes", "exchange/code/"),
        ("bugzilla", "exchange/bugzilla/simple"),
    ]


def may_publish(connection: amqp.Connection, exchange: str) -> bool:
    """Say whether an exchange takes a message from a user."""
    channel = connection.channel()
    try:
        channel.basic_publish(amqp.Message(b"{}", message_id="forged"), exchange, "to.nobody")
        channel.exchange_declare(exchange, "topic", passive=True)
    except amqp.AccessRefused:
        return False
    return True


def lock_out(sources: Sources, how: str) -> None:
    """Lock the account of Mercurial out: the broker knows another password, or no such user any more."""
    node = sources.vhost.node
    if how == "another password":
        node.api("PUT", "users/hgpushes", {"password": "another", "tags": ""})
        node.ctl("close_all_connections", "--vhost", sources.vhost.name, "maintenance")
    else:
        node.api("DELETE", "users/hgpushes")


@pytest.mark.parametrize(("how", "again"), [("another password", ["--rotate"]), ("no user", [])])
def test_an_account_that_is_locked_out_holds_back_its_own_messages_alone(
    sources: Sources, how: str, again: list[str]
) -> None:
    """`status` and `check` say so, the others go out; after `provision` they all do, without a restart."""
    site = sources.site
    site.wait_until(lambda: sources.condition("hg") == "connected", "connected")
    lock_out(sources, how)
    sources.happen()
    site.wait_until(lambda: sources.condition("hg") == "denied", "denied")
    site.wait_until(
        lambda: sources.confirmed() == {"gitpushes": 1, "hgpushes": 0, "bugzilla": 1},
        "published by the others",
    )
    site.wait_until(lambda: sources.held() == OF_MERCURIAL, "read")
    held = {row["exchange"]: row["pending"] for row in site.status()["exchanges"]}
    checked = site.pulseshim("check")

    provisioned = site.pulseshim("provision", *again)
    site.wait_until(site.is_done, "let in again")

    assert provisioned.returncode == 0, provisioned.stdout
    assert {name for name, count in held.items() if count} == OF_MERCURIAL
    assert checked.returncode == 3
    assert "refuses the user hgpushes" in checked.stdout
    assert "refuses the user gitpushes" not in checked.stdout
    assert site.status()["parked"]["count"] == 0
    assert sources.arrived() == dict.fromkeys(EXCHANGES, 1)


def test_what_was_parked_for_want_of_permission_goes_out_when_it_is_given_back(sources: Sources) -> None:
    """The broker refuses each message for good, so each is parked, and `parked retry` publishes them."""
    site, node = sources.site, sources.vhost.node
    site.wait_until(lambda: sources.condition("hg") == "connected", "connected")
    node.api("DELETE", f"permissions/{sources.vhost.name}/hgpushes")
    sources.happen()
    site.wait_until(lambda: sources.confirmed()["bugzilla"] and sources.confirmed()["gitpushes"], "published")
    site.wait_until(lambda: site.is_done() and site.seen()["parked"]["count"], "parked")
    others = sources.confirmed()
    checked = site.pulseshim("check", "--json")

    provisioned = site.pulseshim("provision")
    retried = site.pulseshim("parked", "retry", "--all")
    site.wait_until(lambda: sources.confirmed()["hgpushes"] == 1, "let in again")

    assert "create permissions of hgpushes" in provisioned.stdout
    assert retried.returncode == 0
    assert others == {"gitpushes": 1, "hgpushes": 0, "bugzilla": 1}
    assert any("hgpushes" in problem["text"] for problem in json.loads(checked.stdout))
    assert sources.arrived() == dict.fromkeys(EXCHANGES, 1)


def test_passwords_are_renewed_without_a_gap_in_publishing(
    make_site: Callable[..., "Site"],
    tmp_path: Path,
    vhost: "VirtualHost",
    tcp_proxy: Callable[[int], "TcpProxy"],
) -> None:
    """The service publishes all the while, its connection is cut before and after; it is never refused."""
    proxy = tcp_proxy(vhost.node.port)
    url = vhost.url.replace(str(vhost.node.port), str(proxy.port))
    file = tmp_path / "site0" / "git-password"
    api = f"http://127.0.0.1:{vhost.node.management_port}"
    extra = f'user = "gitpushes"\npassword_file = "{file}"\n[provision]\nurl = "{api}"'
    site = make_site(url, extra=extra)
    assert site.pulseshim("provision").returncode == 0
    queue = vhost.bind_queue(EXCHANGES["gitpushes"])
    service = site.start()
    site.wait_until(lambda: "broker connected" in site.log, "connected")
    pushed: list[str] = []
    done = threading.Event()

    def push() -> None:
        while not done.is_set():
            pushed.append(site.push(f"{len(pushed)}"))

    pusher = threading.Thread(target=push)
    pusher.start()
    passwords = [file.read_text()]
    try:
        for number in range(1, 4):
            proxy.cut()
            rotated = site.pulseshim("provision", "--rotate")
            assert "1 step taken" in rotated.stdout, rotated.stderr
            passwords.append(file.read_text())
            before = site.log.count("broker connected")
            proxy.cut()
            site.wait_until(
                lambda: site.log.count("broker connected") > before,  # noqa: B023 - it is waited for here
                f"connected after {number}",
                60,
            )
    finally:
        done.set()
        pusher.join()
    site.wait_until(site.is_done, "published")
    service.terminate()

    payloads = [json.loads(message.body)["payload"] for message in vhost.take(queue)]
    announced = dict.fromkeys(payload["branches"]["main"] for payload in payloads)
    assert service.wait(60) == 0
    assert len(set(passwords)) == 4
    assert list(announced) == pushed
    assert "refuses" not in site.log
    assert not any(password.strip() in site.log for password in passwords)
