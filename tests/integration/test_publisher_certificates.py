"""Who a publisher is by a certificate of its own, and what it says where one of its files is spoilt."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from pulseshim.account import Account, resolve
from pulseshim.errors import BrokerError
from pulseshim.settings import AccountSettings, BrokerSettings
from tests.publishing import Making, at, denial, envelope, settle_all

if TYPE_CHECKING:
    from tests.conftest import RabbitMQ, VirtualHost

pytestmark = pytest.mark.broker


def certified(
    account: Account, node: "RabbitMQ", certificate: Path, *, by: trustme.CA | None = None
) -> Account:
    """Give the account with TLS, and with a certificate in place of user and password."""
    ours = (by or node.ca).issue_cert("certified.example.org", common_name="certified")
    ours.private_key_and_cert_chain_pem.write_to_path(certificate)
    over_tls = at(account, node.tls_port, tls=True)
    return replace(
        over_tls, user="", password="", ca_file=str(node.ca_file), client_certificate=str(certificate)
    )


@pytest.fixture
def user(rabbitmq: "RabbitMQ", vhost: "VirtualHost") -> Iterator[str]:
    """Give the user whom the certificate names, who may do everything in the test's virtual host."""
    rabbitmq.add_user("certified", "unused")
    rabbitmq.permit(vhost.name, "certified")
    yield "certified"
    rabbitmq.api("DELETE", "users/certified")


@pytest.mark.usefixtures("user")
def test_an_account_logs_in_by_its_certificate_alone_beside_one_with_a_password(
    make: Making, rabbitmq: "RabbitMQ", vhost: "VirtualHost", tmp_path: Path
) -> None:
    """Each by its own table of the settings: what one publishes is known to the broker as its own."""
    ours = rabbitmq.ca.issue_cert("certified.example.org", common_name="certified")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "us.pem")
    ours.private_key_pem.write_to_path(tmp_path / "us.key")
    keys = AccountSettings(client_certificate=str(tmp_path / "us.pem"), client_key=str(tmp_path / "us.key"))
    url, ca_file = rabbitmq.url(vhost.name, tls=True), str(rabbitmq.ca_file)
    settings = BrokerSettings(url=url, user="guest", ca_file=ca_file, accounts={"code": keys})
    publishers = [
        make(resolve(settings, name, {"PULSESHIM_BROKER_PASSWORD": "guest"})) for name in ("", "code")
    ]

    for publisher in publishers:
        publisher.open()
        publisher.publish(1, envelope(1))

    assert [settle_all(publisher).confirmed for publisher in publishers] == [(1,), (1,)]
    known = [row.split() for row in rabbitmq.ctl("list_connections", "vhost", "user").splitlines()]
    assert sorted(user for name, user in known if name == vhost.name) == ["certified", "guest"]


def test_a_certificate_whose_user_the_broker_does_not_know_is_a_denial(
    make: Making, account: Account, rabbitmq: "RabbitMQ", tmp_path: Path
) -> None:
    """The remedy is a user there, not a password here."""
    told = denial(make(certified(account, rabbitmq, tmp_path / "us.pem")))

    assert f"knows no user by the client certificate {tmp_path}/us.pem" in told
    assert "ssl_cert_login_from" in told


def test_a_broker_that_takes_no_certificate_for_a_login_is_a_denial(
    make: Making, account: Account, rabbitmq: "RabbitMQ", vhost: "VirtualHost", tmp_path: Path
) -> None:
    """As without its plug-in, and on a port without TLS."""
    ours = certified(account, rabbitmq, tmp_path / "us.pem")

    told = denial(make(replace(ours, urls=(vhost.url,))))

    assert "takes no client certificate for a login" in told
    assert "rabbitmq_auth_mechanism_ssl" in told


def test_a_client_certificate_that_the_broker_does_not_trust_is_named(
    make: Making, account: Account, rabbitmq: "RabbitMQ", tmp_path: Path
) -> None:
    """The error names our certificate, not the broker's."""
    strange = certified(account, rabbitmq, tmp_path / "us.pem", by=trustme.CA())

    # The broker's alert can be lost with the connection; then the error cannot be a denial.
    with pytest.raises(BrokerError, match=f"our certificate {tmp_path}/us.pem"):
        make(strange).open()


def of_another(directory: Path) -> None:
    """Put the key of another certificate in the place of ours."""
    trustme.CA().issue_cert("other").private_key_pem.write_to_path(directory / "us.key")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda directory: (directory / "us.key").unlink(), "client_key: {}/us.key cannot be read (No such"),
        (lambda directory: (directory / "us.key").write_text("no key"), "cannot be used (no PEM"),
        (of_another, "cannot be used (key values mismatch"),
        (lambda directory: (directory / "us.pem").unlink(), "client_certificate: {}/us.pem cannot be read"),
        (
            lambda directory: (directory / "ca.pem").write_text("no"),
            "broker.ca_file: {}/ca.pem cannot be used",
        ),
    ],
)
def test_a_file_of_ours_that_is_spoilt_while_we_run_is_named_and_taken_again_when_it_is_mended(
    make: Making,
    account: Account,
    rabbitmq: "RabbitMQ",
    tmp_path: Path,
    user: str,
    spoil: Callable[[Path], object],
    says: str,
) -> None:
    """Certificates are renewed: a slip then is no fault of the broker, and no restart is needed."""
    ours = rabbitmq.ca.issue_cert("certified.example.org", common_name=user)
    good = {
        "us.pem": ours.cert_chain_pems[0].bytes(),
        "us.key": ours.private_key_pem.bytes(),
        "ca.pem": rabbitmq.ca_file.read_bytes(),
    }
    paths = {name: tmp_path / name for name in good}
    by_files = replace(
        at(account, rabbitmq.tls_port, tls=True),
        user="",
        ca_file=str(paths["ca.pem"]),
        client_certificate=str(paths["us.pem"]),
        client_key=str(paths["us.key"]),
    )
    publisher = make(by_files)

    for name, content in good.items():
        paths[name].write_bytes(content)
    spoil(tmp_path)
    told = denial(publisher)
    for name, content in good.items():
        paths[name].write_bytes(content)
    publisher.open()

    assert says.format(tmp_path) in told
    assert publisher.connected
