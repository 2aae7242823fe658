"""`provision` on a real node: what users can do then, what a second run finds, what nobody gets to see."""

import json
import stat
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import amqp
import pytest

from pulseshim.account import Account
from pulseshim.commands.root import run
from pulseshim.consumer import Consumer
from pulseshim.errors import BrokerDenied
from pulseshim.failover import connect
from pulseshim.password import PasswordHash, hashed, matches

if TYPE_CHECKING:
    from tests.conftest import RabbitMQ

pytestmark = pytest.mark.broker

GIT = "exchange/gitpushes/v1"
CODE = "exchange/code/"


class Administration:
    """An administrator's machine: settings for two accounts, and what the broker says of itself."""

    def __init__(
        self, root: Path, node: "RabbitMQ", capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
    ) -> None:
        self.root = root
        self.node = node
        self.vhost = "pulse"
        self.git = root / "git-password"
        self.hg = root / "hg-password"
        self._capsys = capsys
        patch.setenv("PULSESHIM_CONFIG", str(root / "pulseshim.toml"))
        self.configure()

    def configure(self, *, git: str = "gitpushes", extra: str = "", provision: str = "") -> None:
        """Write the settings; `extra` opens further tables."""
        (self.root / "pulseshim.toml").write_text(
            f'[store]\ndirectory = "{self.root / "store"}"\n'
            f'[provision]\nurl = "http://127.0.0.1:{self.node.management_port}"\n{provision}\n'
            f'[broker]\nurl = "{self.node.url(self.vhost)}"\n'
            f'user = "{git}"\npassword_file = "{self.git}"\n'
            f'[broker.accounts.hg]\nuser = "hgpushes"\npassword_file = "{self.hg}"\n'
            f'[plugins.git]\nexchange = "exchange/{git}/v1"\n[plugins.hg]\naccount = "hg"\n{extra}\n'
        )

    def provision(self, *arguments: str) -> tuple[int, str]:
        """Provision, and give exit code and output: no password and no hash is ever in it."""
        code = run(["provision", *arguments])
        streams = self._capsys.readouterr()
        output = streams.out + streams.err
        for file in self.root.glob("*-password*"):
            assert file.read_text().strip() not in output
        assert not any(user["password_hash"] in output for user in self.node.api("GET", "users"))
        return code, output

    def look(self) -> Any:
        """Give all that provisioning may change at the broker."""
        kinds = ("vhosts", "users", "permissions", "user-limits", "vhost-limits", "operator-policies")
        rows = {kind: self.node.api("GET", kind) for kind in kinds}
        rows["vhosts"] = sorted(row["name"] for row in rows["vhosts"])
        return rows

    def permissions(self, user: str) -> tuple[str, str, str]:
        """Give what a user may configure, write and read."""
        row = self.node.api("GET", f"permissions/{self.vhost}/{user}")
        return row["configure"], row["write"], row["read"]

    def log_in(self, user: str, file: Path) -> amqp.Connection:
        """Give an open connection of a user, by the password in a file."""
        return self.node.connect(self.vhost, user, file.read_text().rstrip("\n"))

    def clean(self) -> None:
        """Take everything away that was made."""
        for user in self.node.api("GET", "users"):
            if user["name"] != "guest":
                self.node.api("DELETE", f"users/{quote(user['name'], safe='')}")
        for vhost in self.node.api("GET", "vhosts"):
            if vhost["name"] != "/":
                self.node.api("DELETE", f"vhosts/{vhost['name']}")


@pytest.fixture
def admin(
    tmp_path: Path,
    own_rabbitmq: "RabbitMQ",
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Administration]:
    """Give an administration of a broker on which nothing is provisioned yet."""
    administration = Administration(tmp_path, own_rabbitmq, capsys, monkeypatch)
    yield administration
    administration.clean()


def refused(connection: amqp.Connection, deed: Callable[[amqp.Channel], object]) -> bool:
    """Say whether a deed, done on a channel of its own, is refused for want of permission."""
    channel = connection.channel()
    try:
        deed(channel)
        channel.exchange_declare("amq.topic", "topic", passive=True)  # a refusal of publishing is heard now
    except amqp.AccessRefused:
        return True
    return False


def test_an_empty_broker_becomes_what_the_settings_say(admin: Administration) -> None:
    """Virtual host, users, permissions and limits are made, passwords are files of mode 0600."""
    code, output = admin.provision()

    git, code_and_hg = "exchange/gitpushes/.*", "exchange/hgpushes/.*|exchange/code/.*"
    assert (code, output.splitlines()[-1]) == (0, "9 steps taken")
    assert admin.permissions("gitpushes") == (
        f"^(queue/gitpushes/.*|{git})",
        f"^(queue/gitpushes/.*|{git})",
        "^(queue/gitpushes/.*|exchange/.*)",
    )
    assert admin.permissions("hgpushes")[:2] == (f"^(queue/hgpushes/.*|{code_and_hg})",) * 2
    limits = {row["user"]: row["value"] for row in admin.look()["user-limits"]}
    assert limits == {
        user: {"max-connections": 20, "max-channels": 200} for user in ("gitpushes", "hgpushes")
    }
    assert [stat.S_IMODE(file.stat().st_mode) for file in (admin.git, admin.hg)] == [0o600, 0o600]
    assert admin.git.read_text() != admin.hg.read_text()
    admin.log_in("gitpushes", admin.git).close()
    admin.log_in("hgpushes", admin.hg).close()


def test_a_second_run_changes_nothing_and_says_so(admin: Administration) -> None:
    """Also with the consumers: no request but questions, no file is touched."""
    arguments = ("--consumer", "dashboard", "--passwords", str(admin.root))
    admin.provision(*arguments)
    files = [admin.git, admin.root / "dashboard"]
    before, written = admin.look(), [file.stat().st_ctime_ns for file in files]

    code, output = admin.provision(*arguments)

    assert (code, output.splitlines()[-1]) == (0, "nothing to change")
    assert (admin.look(), [file.stat().st_ctime_ns for file in files]) == (before, written)


def test_a_dry_run_shows_the_plan_and_changes_nothing(admin: Administration) -> None:
    """It exits 1, for there is something to do; `--json` gives the same plan to a program."""
    before = admin.look()

    code, output = admin.provision("--dry-run")
    json_code, text = admin.provision("--dry-run", "--json")

    planned = json.loads(text)
    assert (code, json_code) == (1, 1)
    assert f"create user gitpushes: a new password goes to {admin.git}" in output
    assert [step["subject"] for step in planned["steps"]][:2] == [
        "virtual host pulse",
        "limits of virtual host pulse",
    ]
    assert planned["changed"] is False
    assert len(planned["steps"]) == len([line for line in output.splitlines() if line.startswith("create ")])
    assert admin.look() == before
    assert not list(admin.root.glob("*-password*"))


def test_what_is_anothers_is_refused(admin: Administration) -> None:
    """Publishing to, declaring, deleting, binding and consuming from another account's names, and no more."""
    admin.provision()
    own = admin.log_in("hgpushes", admin.hg)
    own.channel().exchange_declare(CODE, "topic", durable=True, auto_delete=False)
    own.channel().queue_declare("queue/hgpushes/q", durable=True, auto_delete=False)
    message = amqp.Message(b"forged")

    with admin.log_in("gitpushes", admin.git) as git:
        git.channel().exchange_declare(GIT, "topic", durable=True, auto_delete=False)
        git.channel().queue_declare("queue/gitpushes/q", durable=True, auto_delete=False)
        deeds: dict[str, Callable[[amqp.Channel], object]] = {
            "publish": lambda channel: channel.basic_publish(message, CODE, "key"),
            "publish to a queue": lambda channel: channel.basic_publish(message, "", "queue/hgpushes/q"),
            "declare": lambda channel: channel.exchange_declare("exchange/code/new", "topic"),
            "declare what looks alike": lambda channel: channel.exchange_declare(
                "exchange/gitpushes2/v1", "topic"
            ),
            "delete": lambda channel: channel.exchange_delete(CODE),
            "declare a queue": lambda channel: channel.queue_declare("queue/hgpushes/mine"),
            "consume": lambda channel: channel.basic_consume("queue/hgpushes/q"),
            "purge": lambda channel: channel.queue_purge("queue/hgpushes/q"),
            "bind": lambda channel: channel.queue_bind("queue/hgpushes/q", CODE, "#"),
            "a queue without a name": lambda channel: channel.queue_declare("mine", exclusive=True),
        }
        allowed = [name for name, deed in deeds.items() if not refused(git, deed)]
        git.channel().queue_bind("queue/gitpushes/q", CODE, "#")  # to read all exchanges is everybody's right
        git.channel().basic_publish(message, GIT, "key")
    own.close()

    assert allowed == []


def test_a_consumer_reads_all_and_owns_queues_alone(admin: Administration) -> None:
    """It gets what is published, by a queue that `tail` declares, and can publish nothing."""
    admin.provision("--consumer", "dashboard", "--passwords", str(admin.root))
    file = admin.root / "dashboard"
    account = Account(
        name="", urls=(admin.node.url(admin.vhost),), user="dashboard", password=file.read_text().strip()
    )
    with admin.log_in("gitpushes", admin.git) as git, admin.log_in("dashboard", file) as dashboard:
        git.channel().exchange_declare(GIT, "topic", durable=True, auto_delete=False)
        with Consumer(account, GIT) as consumer:
            git.channel().basic_publish(amqp.Message(b"news"), GIT, "key")
            delivery = consumer.receive(10)
        publishes = refused(
            dashboard, lambda channel: channel.basic_publish(amqp.Message(b"forged"), GIT, "key")
        )
        declares = refused(
            dashboard, lambda channel: channel.exchange_declare("exchange/dashboard/x", "topic")
        )

    assert delivery is not None
    assert delivery.body == b"news"
    assert (publishes, declares) == (True, True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "like_it"), [("git.pushes", "gitXpushes"), ("a|b", "b"), (".*", "other"), ("gü+[x]$", "güü[x]$")]
)
def test_a_name_is_not_a_pattern(admin: Administration, name: str, like_it: str) -> None:
    """A user whose name has signs of patterns in it reaches its own names, and none that these would fit."""
    admin.configure(git=name)
    admin.provision()

    with admin.log_in(name, admin.git) as user:
        user.channel().exchange_declare(f"exchange/{name}/v1", "topic")
        user.channel().queue_declare(f"queue/{name}/q")
        others = refused(user, lambda channel: channel.exchange_declare(f"exchange/{like_it}/v1", "topic"))

    assert others


def test_drift_is_named_and_put_right(admin: Administration) -> None:
    """Wider permissions, tags, other limits: each is told with what it was; the next run finds nothing."""
    admin.provision()
    admin.node.permit(admin.vhost, "gitpushes")
    known = next(user for user in admin.node.api("GET", "users") if user["name"] == "hgpushes")
    admin.node.api("PUT", "users/hgpushes", {"password_hash": known["password_hash"], "tags": "management"})
    admin.node.api("PUT", "user-limits/hgpushes/max-connections", {"value": 5000})
    admin.node.api("DELETE", f"vhost-limits/{admin.vhost}/max-queues")
    admin.node.api("DELETE", f"operator-policies/{admin.vhost}/pulseshim")

    dry, shown = admin.provision("--dry-run")
    code, output = admin.provision()
    again = admin.provision()[1]

    assert (dry, code) == (1, 0)
    assert output.splitlines()[-1] == "5 steps taken"
    assert "change permissions of gitpushes: configure .* becomes ^(queue/gitpushes/.*" in shown
    assert "change user hgpushes: tags management becomes none" in output
    assert "change limits of hgpushes: max-connections 5000 becomes 20" in output
    assert again.splitlines()[-1] == "nothing to change"
    admin.log_in("hgpushes", admin.hg).close()


def test_a_password_that_works_no_longer_is_told_and_renewed_by_rotate_alone(admin: Administration) -> None:
    """What the broker has may be somebody's: it stays, and so does the file, until --rotate."""
    admin.provision()
    admin.git.write_text("chosen by nobody\n")
    admin.hg.unlink()

    code, output = admin.provision()
    left = (admin.git.read_text(), admin.hg.exists())
    rotated, _ = admin.provision("--rotate")

    assert code == 1
    assert f"error: password of gitpushes: the broker has another than {admin.git}" in output
    assert f"error: password of hgpushes: the user is there and {admin.hg} is not" in output
    assert left == ("chosen by nobody\n", False)
    assert rotated == 0
    admin.log_in("gitpushes", admin.git).close()
    admin.log_in("hgpushes", admin.hg).close()


def test_a_file_that_is_there_gives_the_new_user_its_password(admin: Administration) -> None:
    """An administrator may choose; the file stays as it is."""
    admin.git.write_text("chosen by hand\n")

    _, output = admin.provision()

    assert f"create user gitpushes: with the password of {admin.git}" in output
    assert admin.git.read_text() == "chosen by hand\n"
    admin.log_in("gitpushes", admin.git).close()


def test_a_rotation_that_was_killed_is_ended_by_the_next_run(admin: Administration) -> None:
    """The broker knew the new password already, its file was not in place: connecting works all the while."""
    admin.provision()
    old = admin.git.read_text()
    (admin.root / "git-password.new").write_text("the next one\n")
    known = hashed("the next one", b"salt")
    admin.node.api("PUT", "users/gitpushes", {"password_hash": known.text, "tags": ""})
    account = Account(
        name="",
        urls=(admin.node.url(admin.vhost),),
        user="gitpushes",
        password=old.strip(),
        password_file=str(admin.git),
    )

    connect(account).close()
    code, output = admin.provision()

    assert code == 0
    assert f"{admin.git} takes the one that was renewed" in output
    assert admin.git.read_text() == "the next one\n"
    assert not (admin.root / "git-password.new").exists()
    connect(account).close()


def test_who_is_denied_was_tried_with_every_password_there_is(admin: Administration) -> None:
    """Where neither the file nor what is beside it is taken, the account is denied as ever."""
    admin.provision()
    admin.git.write_text("wrong\n")
    (admin.root / "git-password.new").write_text("wrong too\n")
    urls = (admin.node.url(admin.vhost),)

    with pytest.raises(BrokerDenied, match="refuses the user gitpushes"):
        connect(Account(name="", urls=urls, user="gitpushes", password_file=str(admin.git)))


def test_strangers_who_may_publish_as_us_are_told(admin: Administration) -> None:
    """A user who may write to our exchanges, or delete them, makes the exit code 1; an administrator may."""
    admin.provision()
    for name, tags in (("mallory", ""), ("eve", "monitoring"), ("root", "administrator"), ("reader", "")):
        admin.node.api("PUT", f"users/{name}", {"password": "secret", "tags": tags})
    admin.node.permit(admin.vhost, "mallory", configure="^$", read="^$")
    admin.node.permit(admin.vhost, "eve", configure="^exchange/git", write="^$")
    admin.node.permit(admin.vhost, "root")
    admin.node.permit(admin.vhost, "reader", configure="^$", write="^queue/reader/.*")

    code, output = admin.provision()

    assert code == 1
    assert "error: user mallory: mallory may write to exchange/code/, exchange/gitpushes/v1" in output
    assert "error: user eve: eve may delete exchange/gitpushes/v1" in output
    assert "user root" not in output
    assert "user reader" not in output


def test_guest_is_told_and_deleted_on_request(admin: Administration) -> None:
    """A warning until then; as guest itself it is not to be had."""
    admin.node.api("PUT", "users/root", {"password": "root-secret", "tags": "administrator"})
    told = admin.provision()
    as_guest = admin.provision("--delete-guest")
    (admin.root / "root-password").write_text("root-secret\n")
    admin.configure(provision=f'user = "root"\npassword_file = "{admin.root / "root-password"}"')
    try:
        code, output = admin_without_guest(admin, "--delete-guest")
        users = call(admin.node, "GET", "users")
        again = admin_without_guest(admin)
    finally:
        call(admin.node, "PUT", "users/guest", {"password": "guest", "tags": "administrator"})
        call(admin.node, "PUT", "permissions/%2F/guest", dict.fromkeys(("configure", "write", "read"), ".*"))

    assert told[0] == 0
    assert "warning: user guest: guest is there" in told[1]
    assert as_guest == (
        2,
        "pulseshim: guest cannot delete guest\n  provision as another administrator: provision.user\n",
    )
    assert (code, output.splitlines()[-1]) == (0, "1 step taken")
    assert "guest" not in [user["name"] for user in users]
    assert again == (0, "nothing to change\n")


def admin_without_guest(admin: Administration, *arguments: str) -> tuple[int, str]:
    """Provision while guest, as whom the test looks at the broker, may be gone."""
    code = run(["provision", *arguments])
    return code, admin._capsys.readouterr().out


def call(node: "RabbitMQ", method: str, path: str, content: Any = None) -> Any:
    """Call the management API as root."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{node.management_port}/api/{path}",
        method=method,
        data=None if content is None else json.dumps(content).encode(),
        headers={"Authorization": "Basic " + b64encode(b"root:root-secret").decode()},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def test_the_broker_gets_a_hash_and_never_the_password(admin: Administration) -> None:
    """What it keeps is the salted hash that was made here, and it is the one of the file."""
    admin.provision()

    row = next(user for user in admin.node.api("GET", "users") if user["name"] == "gitpushes")

    known = PasswordHash(row["password_hash"], row["hashing_algorithm"])
    assert matches(admin.git.read_text().strip(), known)
    assert not matches("another", known)


@pytest.mark.parametrize(
    ("provision", "environ", "code", "words"),
    [
        ('user = "root"\nurl = "{api}"', {"PASSWORD": "no"}, 3, ["refuses root", "provision.user"]),
        ('user = "mallory"\nurl = "{api}"', {"PASSWORD": "secret"}, 3, ["refuses mallory"]),
        ('user = "monitor"\nurl = "{api}"', {"PASSWORD": "secret"}, 3, ["no administrator", "set_user_tags"]),
        ('url = "http://127.0.0.1:{amqp}"', {}, 3, ["not reached", "rabbitmq_management"]),
        ('url = "http://127.0.0.1:1"', {}, 3, ["not reached", "provision.url"]),
        ('url = "http://pulse.example.org"', {}, 2, ["http://", "use https://"]),
        ('url = "https://pulse.example.org"', {}, 2, ["provision.user", "$PULSESHIM_PROVISION_PASSWORD"]),
        ('url = "https://me:hunter2@127.0.0.1"', {}, 2, ["provision.url", "without user and password"]),
        ('url = "https://127.0.0.1:{amqp}"\nca_file = "/nowhere"', {}, 2, ["ca_file", "/nowhere"]),
    ],
)
def test_what_keeps_from_the_management_api_is_one_sentence_and_a_remedy(
    admin: Administration,
    monkeypatch: pytest.MonkeyPatch,
    provision: str,
    environ: dict[str, str],
    code: int,
    words: list[str],
) -> None:
    """A wrong password, no administrator, nobody there, another server there, a URL that tells secrets."""
    admin.node.api("PUT", "users/mallory", {"password": "secret", "tags": ""})
    admin.node.api("PUT", "users/monitor", {"password": "secret", "tags": "monitoring"})
    api = f"http://127.0.0.1:{admin.node.management_port}"
    text = (admin.root / "pulseshim.toml").read_text()
    own = provision.format(api=api, amqp=admin.node.port)
    (admin.root / "pulseshim.toml").write_text(text.replace(f'url = "{api}"', own))
    for name, value in environ.items():
        monkeypatch.setenv(f"PULSESHIM_PROVISION_{name}", value)

    returned, output = admin.provision()

    assert returned == code
    assert [word for word in words if word not in output] == []
    assert "Traceback" not in output
    assert "hunter2" not in output
    assert len(output.splitlines()) == 2
