"""The publisher's TLS: whom it trusts, and what it says where that fails."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from msgspec import structs

from pulseshim.account import Account
from pulseshim.errors import BrokerError, BrokerUnreachable
from tests.ports import free_ports
from tests.publishing import EXCHANGE, Making, Proxies, at, denial, envelope, failing, settle_all

if TYPE_CHECKING:
    from tests.conftest import RabbitMQ, VirtualHost

pytestmark = pytest.mark.broker


def test_tls_is_verified_against_the_authority(
    make: Making, account: Account, rabbitmq: "RabbitMQ", vhost: "VirtualHost"
) -> None:
    """With the right authority, messages of all sizes go over TLS."""
    queue = vhost.bind_queue(EXCHANGE)
    publisher = make(replace(at(account, rabbitmq.tls_port, tls=True), ca_file=str(rabbitmq.ca_file)))
    publisher.open()

    for number in range(500):
        publisher.publish(number, structs.replace(envelope(number), body=b"x" * (number * 100)))
    settled = settle_all(publisher)

    assert settled.confirmed == tuple(range(500))
    assert [len(message.body or b"") for message in vhost.take(queue)] == [100 * n for n in range(500)]


def test_an_authority_that_is_not_known_is_a_denial(
    make: Making, account: Account, rabbitmq: "RabbitMQ"
) -> None:
    """Without ca_file the system's authorities decide, and they do not know the test's."""
    told = denial(make(at(account, rabbitmq.tls_port, tls=True)))

    assert "is not signed by any of the system's authorities" in told
    assert "broker.ca_file" in told


def make_certificates(directory: Path) -> dict[str, tuple[trustme.LeafCert, str]]:
    """Give bad certificates by name, each with the authority that verifies all else about it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    alone = trustme.CA()
    itself = trustme.LeafCert(alone.private_key_pem.bytes(), alone.cert_pem.bytes(), [])
    return {
        "expired": (authority.issue_cert("127.0.0.1", not_after=yesterday), "has expired"),
        "other host": (authority.issue_cert("other.example.org"), "is for another host"),
        "self-signed": (itself, "is signed by itself alone"),
    }


@pytest.mark.parametrize("name", ["expired", "other host", "self-signed"])
def test_each_fault_of_a_certificate_is_a_denial_with_a_sentence_of_its_own(
    make: Making, account: Account, tcp_proxy: Proxies, vhost: "VirtualHost", tmp_path: Path, name: str
) -> None:
    """Expired, for another host, signed by itself: each has another remedy."""
    certificate, sentence = make_certificates(tmp_path)[name]
    proxy = tcp_proxy(vhost.node.port, certificate)

    told = denial(make(replace(at(account, proxy.port, tls=True), ca_file=str(tmp_path / "ca.pem"))))

    assert sentence in told


def test_a_certificate_for_the_name_localhost_is_verified_by_that_name(
    make: Making, account: Account, tcp_proxy: Proxies, vhost: "VirtualHost", tmp_path: Path
) -> None:
    """The name that is verified is the one in the URL, whatever address it has."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    proxy = tcp_proxy(vhost.node.port, authority.issue_cert("localhost"))
    by_name = at(account, proxy.port, host="localhost", tls=True)
    publisher = make(replace(by_name, ca_file=str(tmp_path / "ca.pem")))

    publisher.open()

    assert publisher.address == f"localhost:{proxy.port}"


def test_a_port_without_tls_is_named(make: Making, account: Account, vhost: "VirtualHost") -> None:
    """amqps:// with the port of amqp:// is a common mistake."""
    with pytest.raises(BrokerError, match=f"127.0.0.1:{vhost.node.port}") as raised:
        make(at(account, vhost.node.port, tls=True)).open()

    assert "broker.url" in raised.value.remedy or "see its log" in raised.value.remedy


def test_a_port_of_tls_is_named_to_who_speaks_without(
    make: Making, account: Account, rabbitmq: "RabbitMQ"
) -> None:
    """amqp:// with the port of amqps:// is another; the broker says nothing and hangs up."""
    with pytest.raises(BrokerUnreachable, match=f"127.0.0.1:{rabbitmq.tls_port}") as raised:
        make(at(account, rabbitmq.tls_port)).open()

    assert "write amqps:// in broker.url" in raised.value.remedy


@pytest.fixture(scope="module")
def strict_ports(rabbitmq: "RabbitMQ") -> dict[str, int]:
    """Give ports of the session's node by what they are strict about, or too old for."""
    ports = dict(zip(("demanding", "demanding in TLS 1.2", "old"), free_ports(3), strict=True))
    demand = "{fail_if_no_peer_cert, true}"
    more = (demand, demand + ", {versions, ['tlsv1.2']}", "{versions, ['tlsv1.1']}")
    directory = rabbitmq.directory
    base = f"""{{cacertfile, "{directory}/ca.pem"}}, {{certfile, "{directory}/server.pem"}},
        {{keyfile, "{directory}/server.key"}}, {{verify, verify_peer}}"""
    calls = [
        f"ok = rabbit_networking:start_ssl_listener({port}, [{base}, {options}], 1)"
        for port, options in zip(ports.values(), more, strict=True)
    ]
    rabbitmq.ctl("eval", ", ".join(calls) + ".")
    return ports


@pytest.mark.parametrize(
    ("port", "problem", "remedy"),
    [
        ("demanding", "demands a certificate", "set broker.client_certificate"),
        ("demanding in TLS 1.2", "handshake failure", "if the broker demands a certificate, set broker.cl"),
        ("old", "speaks no TLS that is new enough", "enable TLS 1.2"),
    ],
)
def test_what_a_broker_demands_of_tls_has_a_sentence_of_its_own(
    make: Making,
    account: Account,
    rabbitmq: "RabbitMQ",
    strict_ports: dict[str, int],
    port: str,
    problem: str,
    remedy: str,
) -> None:
    """A certificate that we do not have, or TLS that is no longer safe: neither is for waiting."""
    over_tls = replace(at(account, strict_ports[port], tls=True), ca_file=str(rabbitmq.ca_file))

    # In TLS 1.3 the broker's alert can be lost with the connection; then the error cannot be a denial.
    with pytest.raises(BrokerError) as raised:
        make(over_tls).open()

    told = str(raised.value)
    assert problem in told
    assert remedy in told


def test_tls_that_is_cut_or_falls_silent_is_found_out_and_given_up(
    make: Making, impatient: Account, rabbitmq: "RabbitMQ", tcp_proxy: Proxies
) -> None:
    """Also where the bytes are encrypted, no call hangs."""
    proxy = tcp_proxy(rabbitmq.tls_port)
    publisher = make(replace(at(impatient, proxy.port, tls=True), ca_file=str(rabbitmq.ca_file)))
    publisher.open()
    start = time.monotonic()

    proxy.cut()
    cut = failing(publisher, BrokerUnreachable)
    publisher.open()
    proxy.black_hole()
    publisher.publish(1, envelope(1))
    silent = failing(publisher, BrokerUnreachable)

    assert "was lost" in cut
    assert "confirmed nothing" in silent
    assert time.monotonic() - start < 60
