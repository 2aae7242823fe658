"""New passwords for some users: theirs are renewed and work, those of the others stay."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import amqp
import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import Site
    from tests.conftest import RabbitMQ

pytestmark = pytest.mark.broker

VHOST = "pulse"
USERS = ("gitpushes", "hgpushes", "dashboard")


class Machine:
    """A machine with two accounts and a consumer, all provisioned, each with its password in a file."""

    def __init__(self, site: "Site", node: "RabbitMQ") -> None:
        self.site, self.node = site, node
        self.files = {name: site.root / name for name in USERS}
        assert self.provision()[0] == 0

    def provision(self, *options: str) -> tuple[int, str]:
        """Provision, and give exit code and output."""
        consumer = ("--consumer", "dashboard", "--passwords", str(self.site.root))
        done = self.site.pulseshim("provision", *consumer, *options)
        return done.returncode, done.stdout + done.stderr

    def passwords(self) -> dict[str, str]:
        """Give what stands in the files."""
        return {name: file.read_text().strip() for name, file in self.files.items()}

    def logs_in(self, user: str, password: str) -> bool:
        """Say whether the broker takes a password."""
        try:
            self.node.connect(VHOST, user, password).close()
        except amqp.AccessRefused:
            return False
        return True


@pytest.fixture
def machine(make_site: Callable[..., "Site"], bare_rabbitmq: "RabbitMQ", tmp_path: Path) -> Iterator[Machine]:
    """Give a machine whose users are provisioned."""
    files = {name: tmp_path / "site0" / name for name in USERS}
    api = f"http://127.0.0.1:{bare_rabbitmq.management_port}"
    extra = (
        f'user = "gitpushes"\npassword_file = "{files["gitpushes"]}"\n'
        f'[broker.accounts.hg]\nuser = "hgpushes"\npassword_file = "{files["hgpushes"]}"\n'
        f'[plugins.hg]\naccount = "hg"\n[provision]\nurl = "{api}"\n'
    )
    yield Machine(make_site(bare_rabbitmq.url(VHOST), extra=extra), bare_rabbitmq)
    for name in USERS:
        bare_rabbitmq.api("DELETE", f"users/{name}")
    bare_rabbitmq.api("DELETE", f"vhosts/{VHOST}")


@pytest.mark.parametrize("chosen", [["gitpushes"], ["dashboard"], ["hgpushes", "gitpushes"]])
def test_the_passwords_of_some_users_are_renewed(machine: Machine, chosen: list[str]) -> None:
    """An account, a consumer, several: the old password works no more, the new one does, the others stay."""
    before = machine.passwords()
    options = [word for name in chosen for word in ("--rotate-only", name)]

    code, output = machine.provision(*options)
    after = machine.passwords()

    assert code == 0
    assert output.splitlines()[-1] == f"{len(chosen)} step{'s' * (len(chosen) > 1)} taken"
    assert [name for name in USERS if f"renew password of {name}:" in output] == [
        name for name in USERS if name in chosen
    ]
    assert {name for name in USERS if after[name] != before[name]} == set(chosen)
    assert {name: machine.logs_in(name, before[name]) for name in USERS} == {
        name: name not in chosen for name in USERS
    }
    assert all(machine.logs_in(name, after[name]) for name in USERS)
    assert not any(password in output for password in (*before.values(), *after.values()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rotate-only", "nobody"], ["no user nobody", "gitpushes, hgpushes, dashboard"]),
        (["--rotate-only", "hg"], ["no user hg ", "hgpushes"]),
        (["--rotate-only", ""], ["no user", "name one of"]),
        (["--rotate", "--rotate-only", "gitpushes"], ["--rotate renews all", "one of the two"]),
    ],
    ids=["unknown", "the name of its table", "empty", "both"],
)
def test_who_is_not_known_gets_no_password_and_nobody_else_does(
    machine: Machine, options: list[str], words: list[str]
) -> None:
    """A name that is mistyped, or empty in a script, renews nothing, and least of all everything."""
    before = machine.passwords()

    code, output = machine.provision(*options)

    assert code == 1
    assert [word for word in words if word not in output] == []
    assert machine.passwords() == before
    assert all(machine.logs_in(name, before[name]) for name in USERS)
