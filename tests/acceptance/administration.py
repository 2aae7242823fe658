"""An administrator's machine, and what a user may do at the broker."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import amqp
import pytest

from pulseshim.commands.root import run

if TYPE_CHECKING:
    from tests.conftest import RabbitMQ

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
        self.store = root / "store"
        self.store.mkdir()
        patch.setenv("PULSESHIM_CONFIG", str(root / "pulseshim.toml"))
        self.configure()

    def configure(self, *, git: str = "gitpushes", extra: str = "", provision: str = "") -> None:
        """Write the settings; `extra` opens further tables."""
        (self.root / "pulseshim.toml").write_text(
            f'[store]\ndirectory = "{self.store}"\n'
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


def refused(connection: amqp.Connection, deed: Callable[[amqp.Channel], object]) -> bool:
    """Say whether a deed, done on a channel of its own, is refused for want of permission."""
    channel = connection.channel()
    try:
        deed(channel)
        channel.exchange_declare("amq.topic", "topic", passive=True)  # a refusal of publishing is heard now
    except amqp.AccessRefused:
        return True
    return False
