"""`provision` on a real node: what users can do then, and what a second run finds."""

import json
import stat
from collections.abc import Callable

import amqp
import pytest

from pulseshim.account import Account
from pulseshim.consumer import Consumer
from tests.acceptance.administration import CODE, GIT, Administration, refused

pytestmark = pytest.mark.broker


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


def test_an_operator_policy_of_ours_that_was_changed_is_put_right(admin: Administration) -> None:
    """Another had come to stand before it, and it had more to say than we let it."""
    admin.provision()
    before = admin.look()
    ours = next(row for row in before["operator-policies"] if row["name"] == "pulseshim")
    drifted = {**ours, "priority": -9, "definition": {**ours["definition"], "message-ttl": 1}}
    admin.node.api("PUT", f"operator-policies/{admin.vhost}/pulseshim", drifted)
    other = {"pattern": ".*", "apply-to": "queues", "priority": -5, "definition": {"max-length": 1}}
    admin.node.api("PUT", f"operator-policies/{admin.vhost}/other", other)

    code, output = admin.provision()
    again = admin.provision()

    assert code == 0
    assert "change operator policy pulseshim: priority -9 becomes 0, message-ttl 1 becomes none" in output
    assert (again[0], again[1].splitlines()[-1]) == (0, "nothing to change")
    admin.node.api("DELETE", f"operator-policies/{admin.vhost}/other")
    assert admin.look() == before


def test_topic_permissions_that_refuse_what_we_publish_are_told(admin: Administration) -> None:
    """With the command that takes them away; what refuses a user is left to a person."""
    admin.provision()
    limited = {"exchange": GIT, "write": "^other", "read": ".*"}
    admin.node.api("PUT", f"topic-permissions/{admin.vhost}/gitpushes", limited)
    with admin.log_in("gitpushes", admin.git) as git:
        git.channel().exchange_declare(GIT, "topic", durable=True, auto_delete=False)
        refuses = refused(git, lambda channel: channel.basic_publish(amqp.Message(b"news"), GIT, "key"))

    code, output = admin.provision()
    remedy = output.partition("rabbitmqctl ")[2].splitlines()[0]
    admin.node.ctl(*remedy.split())
    again = admin.provision()

    assert refuses
    assert code == 1
    assert f"error: topic permissions of gitpushes: on {GIT}, they are write '^other'" in output
    assert (again[0], again[1].splitlines()[-1]) == (0, "nothing to change")


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
