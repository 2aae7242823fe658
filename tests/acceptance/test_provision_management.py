"""`provision` and the management API: as whom it works there, and what keeps it from it."""

import json
import urllib.request
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from pulseshim.commands.root import run
from tests.acceptance.administration import Administration

if TYPE_CHECKING:
    from tests.conftest import RabbitMQ

pytestmark = pytest.mark.broker


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


def test_who_provisions_keeps_the_right_to(admin: Administration) -> None:
    """Settings that make it an account are refused, before anything is changed."""
    admin.node.api("PUT", "users/boss", {"password": "boss-secret", "tags": "administrator"})
    (admin.root / "boss-password").write_text("boss-secret\n")
    admin.configure(git="boss", provision=f'user = "boss"\npassword_file = "{admin.root / "boss-password"}"')
    before = admin.look()

    codes = [admin.provision(*options)[0] for options in ([], ["--dry-run"], ["--rotate"])]
    output = admin.provision()[1]

    assert codes == [2, 2, 2]
    assert output.splitlines() == [
        "pulseshim: boss is the administrator who provisions, so it is no account and no consumer",
        "  provision as another (provision.user), or give the account or the consumer another user",
    ]
    assert admin.look() == before


def test_an_administrator_stays_one(admin: Administration) -> None:
    """Neither as a consumer nor by a rotation does it lose its tag or its password; the others are done."""
    admin.node.api("PUT", "users/root", {"password": "root-secret", "tags": "administrator"})
    before = next(user for user in admin.look()["users"] if user["name"] == "root")
    consumer = ("--consumer", "root", "--passwords", str(admin.root))

    code, output = admin.provision(*consumer)
    rotated, _ = admin.provision(*consumer, "--rotate")

    assert (code, rotated) == (1, 1)
    assert "error: user root: root is an administrator of the broker, and is left as it is" in output
    assert next(user for user in admin.look()["users"] if user["name"] == "root") == before
    assert not (admin.root / "root").exists()
    admin.log_in("gitpushes", admin.git).close()


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
