"""`provision` over https: the certificate of the management API is verified as that of the broker is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from pulseshim.commands.root import run

if TYPE_CHECKING:
    from tests.conftest import TcpProxy, VirtualHost

pytestmark = pytest.mark.broker


@dataclass(frozen=True, slots=True)
class Office:
    """An administrator's machine, which trusts an authority of the test's."""

    directory: Path
    vhost: "VirtualHost"
    authority: trustme.CA
    proxies: Callable[..., "TcpProxy"]
    capsys: pytest.CaptureFixture[str]

    def provision(self, certificate: trustme.LeafCert | None, trusting: str) -> tuple[int, str]:
        """Provision by an API with a certificate, or by one without TLS; give exit code and output.

        `trusting` is a line of the table `[provision]`, with the authority's file for `{}`.
        """
        (self.directory / "store").mkdir(exist_ok=True)
        ca_file = self.directory / "ca.pem"
        self.authority.cert_pem.write_to_path(ca_file)
        port = self.proxies(self.vhost.node.management_port, certificate).port
        (self.directory / "pulseshim.toml").write_text(
            f'[store]\ndirectory = "{self.directory / "store"}"\n'
            f'[provision]\nurl = "https://127.0.0.1:{port}"\nuser = "guest"\n{trusting.format(ca_file)}\n'
            f'[broker]\nurl = "{self.vhost.url}"\nuser = "gitpushes"\n'
            f'password_file = "{self.directory / "password"}"\n[plugins.git]\n'
        )
        code = run(["provision"])
        streams = self.capsys.readouterr()
        return code, streams.out + streams.err


@pytest.fixture
def office(
    tmp_path: Path,
    vhost: "VirtualHost",
    tcp_proxy: Callable[..., "TcpProxy"],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Office:
    """Give a machine whose administrator's password stands in the environment."""
    monkeypatch.setenv("PULSESHIM_CONFIG", str(tmp_path / "pulseshim.toml"))
    monkeypatch.setenv("PULSESHIM_PROVISION_PASSWORD", "guest")
    return Office(tmp_path, vhost, trustme.CA(), tcp_proxy, capsys)


CA_FILE = 'ca_file = "{}"'


def test_an_api_whose_authority_is_named_is_provisioned_by(office: Office) -> None:
    """And what it was told it has done: the user can log in."""
    code, output = office.provision(office.authority.issue_cert("127.0.0.1"), CA_FILE)
    office.vhost.node.connect(
        office.vhost.name, "gitpushes", (office.directory / "password").read_text().strip()
    ).close()
    office.vhost.node.api("DELETE", "users/gitpushes")

    assert (code, output.splitlines()[-1].endswith("steps taken")) == (0, True)


@pytest.mark.parametrize(
    ("issue", "trusting", "says"),
    [
        (lambda ca: ca.issue_cert("127.0.0.1"), "", "not signed by any of the system's authorities"),
        (lambda _: trustme.CA().issue_cert("127.0.0.1"), CA_FILE, "not signed by any of {}"),
        (lambda ca: ca.issue_cert("other.example.org"), CA_FILE, "is for another host"),
        (
            lambda ca: ca.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1)),
            CA_FILE,
            "has expired",
        ),
        (lambda _: None, CA_FILE, "does not speak TLS"),
    ],
)
def test_an_api_that_is_not_trusted_gets_no_password(
    office: Office,
    issue: Callable[[trustme.CA], trustme.LeafCert | None],
    trusting: str,
    says: str,
) -> None:
    """One sentence and a remedy, and nothing is changed: neither at the broker nor in a file."""
    code, output = office.provision(issue(office.authority), trusting)

    assert code == 3
    assert says.format(office.directory / "ca.pem") in output
    assert len(output.splitlines()) == 2
    assert "Traceback" not in output
    assert not (office.directory / "password").exists()
    assert "gitpushes" not in {user["name"] for user in office.vhost.node.api("GET", "users")}
