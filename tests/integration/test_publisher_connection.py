"""The publisher's connection: refused, denied, cut, black-holed, failed over."""

import re
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from pulseshim.account import Account
from pulseshim.errors import BrokerUnreachable
from pulseshim.publisher import Settled
from tests.ports import free_port
from tests.publishing import EXCHANGE, Making, Proxies, at, denial, envelope, failing, settle_all

if TYPE_CHECKING:
    from tests.conftest import VirtualHost

pytestmark = pytest.mark.broker


def test_a_wrong_password_is_a_denial_that_names_the_user(make: Making, account: Account) -> None:
    """A person must correct it; the password is in no text."""
    told = denial(make(replace(account, password="wrong-secret")))

    assert "refuses the user guest" in told
    assert "broker.user" in told
    assert "wrong-secret" not in told


def test_a_virtual_host_that_is_missing_is_a_denial_that_names_it(make: Making, account: Account) -> None:
    """The remedy names the path of the URL."""
    told = denial(make(replace(account, urls=(account.urls[0] + "-missing",))))

    assert "-missing" in told
    assert "correct the path of broker.url" in told


def test_a_virtual_host_without_permission_is_a_denial_that_names_user_and_host(
    make: Making, account: Account, vhost: "VirtualHost"
) -> None:
    """The user is known, and may not enter."""
    vhost.node.add_user("stranger", "stranger")

    told = denial(make(replace(account, user="stranger", password="stranger")))

    assert f"does not let stranger into the virtual host {vhost.name}" in told


def test_a_limit_of_connections_is_waited_for(make: Making, account: Account, vhost: "VirtualHost") -> None:
    """Our own connection from before may still count: nobody must correct anything."""
    vhost.node.api("PUT", f"vhost-limits/{vhost.name}/max-connections", {"value": 0})

    with pytest.raises(BrokerUnreachable, match="limit"):
        make(account).open()


def test_a_port_where_nobody_listens_is_named(make: Making, account: Account) -> None:
    """Nothing waits for a time-out there."""
    port = free_port()

    with pytest.raises(BrokerUnreachable, match=rf"127\.0\.0\.1:{port} is not reached \(connection refused"):
        make(at(account, port)).open()


def test_a_host_that_has_no_name_is_named(make: Making, account: Account) -> None:
    """A typo in the host is told from a broker that is down."""
    with pytest.raises(
        BrokerUnreachable, match=r"broker\.invalid:5672 is not reached \(its name is not known"
    ):
        make(replace(account, urls=("amqp://broker.invalid/",))).open()


def test_a_broker_that_accepts_and_says_nothing_is_given_up(
    make: Making, account: Account, tcp_proxy: Proxies, vhost: "VirtualHost"
) -> None:
    """The handshake is bounded by connect_timeout, not by the patience of TCP."""
    proxy = tcp_proxy(vhost.node.port)
    proxy.black_hole()
    start = time.monotonic()

    with pytest.raises(BrokerUnreachable, match="no answer in time"):
        make(replace(at(account, proxy.port), connect_timeout=1)).open()

    assert time.monotonic() - start < 60


def test_something_that_is_no_broker_is_named(make: Making, account: Account, vhost: "VirtualHost") -> None:
    """A web server on the port is an error like any other."""
    with pytest.raises(BrokerUnreachable, match=f"127.0.0.1:{vhost.node.management_port}"):
        make(at(account, vhost.node.management_port)).open()


def test_a_connection_that_is_cut_is_unreachable_and_what_was_in_flight_is_published_again(
    make: Making, account: Account, tcp_proxy: Proxies, vhost: "VirtualHost"
) -> None:
    """The outcome of a window is unknown after a cut: at least once means to send it again."""
    queue = vhost.bind_queue(EXCHANGE)
    proxy = tcp_proxy(vhost.node.port)
    publisher = make(at(account, proxy.port))
    publisher.open()

    for number in range(300):
        publisher.publish(number, envelope(number))
    proxy.cut()
    told = failing(publisher, BrokerUnreachable)
    after_failure = (publisher.connected, publisher.in_flight, publisher.address)
    publisher.open()
    for number in range(300):
        publisher.publish(number, envelope(number))
    settled = settle_all(publisher)

    assert f"127.0.0.1:{proxy.port} was lost" in told
    assert after_failure == (False, 0, "")
    assert set(settled.confirmed) == set(range(300))
    assert {int(message.body) for message in vhost.take(queue)} == set(range(300))


def test_what_was_confirmed_before_a_loss_is_handed_out_after_it(
    make: Making, account: Account, vhost: "VirtualHost"
) -> None:
    """A confirm that was heard is not lost with the connection."""
    vhost.bind_queue(EXCHANGE)
    publisher = make(account)
    publisher.open()
    publisher.publish(1, envelope(1))
    # As in settle(), but the connection is lost between hearing the confirm and handing it out.
    connection = publisher._standing()
    connection.flush()
    deadline = time.monotonic() + 60
    while publisher.in_flight and time.monotonic() < deadline:
        connection.read(0.1)
    connection._socket.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]  # it is no memory connection

    failing(publisher, BrokerUnreachable)

    assert publisher.settle(0) == Settled(confirmed=(1,))


def test_a_broker_that_falls_silent_with_messages_in_flight_is_given_up(
    make: Making, impatient: Account, tcp_proxy: Proxies, vhost: "VirtualHost"
) -> None:
    """A half-open connection is found out by confirm_timeout."""
    proxy = tcp_proxy(vhost.node.port)
    publisher = make(at(impatient, proxy.port))
    publisher.open()
    proxy.black_hole()

    publisher.publish(1, envelope(1))

    assert re.search(r"confirmed nothing for \d+ s", failing(publisher, BrokerUnreachable))


def test_a_broker_that_reads_nothing_more_is_given_up(
    make: Making, impatient: Account, tcp_proxy: Proxies, vhost: "VirtualHost"
) -> None:
    """Writing is bounded as well as reading."""
    proxy = tcp_proxy(vhost.node.port)
    publisher = make(at(impatient, proxy.port))
    publisher.open()
    proxy.stall()
    large = structs.replace(envelope(1), body=b"x" * 64 * 1024 * 1024)

    with pytest.raises(BrokerUnreachable, match="no answer in time"):
        publisher.publish(1, large)

    assert (publisher.connected, publisher.in_flight) == (False, 0)


def test_a_broker_that_falls_silent_while_idle_is_found_out_by_its_heartbeats(
    make: Making, account: Account, tcp_proxy: Proxies, vhost: "VirtualHost"
) -> None:
    """Nothing is in flight, and the loss is noticed all the same."""
    proxy = tcp_proxy(vhost.node.port)
    publisher = make(replace(at(account, proxy.port), heartbeat=1))
    publisher.open()
    proxy.black_hole()

    assert "heartbeats" in failing(publisher, BrokerUnreachable)


def test_closing_a_connection_that_nobody_answers_does_not_hang(
    make: Making, account: Account, tcp_proxy: Proxies, vhost: "VirtualHost"
) -> None:
    """SIGTERM is obeyed though the broker is gone, long before TCP gives up."""
    proxy = tcp_proxy(vhost.node.port)
    publisher = make(at(account, proxy.port))
    publisher.open()
    proxy.black_hole()
    start = time.monotonic()

    publisher.close()

    assert time.monotonic() - start < 20


def test_the_next_url_is_taken_when_the_first_is_not_reached(
    make: Making, account: Account, vhost: "VirtualHost"
) -> None:
    """A broker of several nodes is reached while one of them answers."""
    publisher = make(at(account, free_port(), vhost.node.port))

    publisher.open()
    publisher.publish(1, envelope(1))

    assert publisher.address == f"127.0.0.1:{vhost.node.port}"
    assert settle_all(publisher).confirmed == (1,)


def test_after_a_loss_the_next_url_comes_first(
    make: Making, account: Account, tcp_proxy: Proxies, vhost: "VirtualHost"
) -> None:
    """A node that accepts connections and never confirms does not hold the messages for ever."""
    first, second = tcp_proxy(vhost.node.port), tcp_proxy(vhost.node.port)
    publisher = make(at(account, first.port, second.port))
    publisher.open()
    addresses = [publisher.address]

    for proxy in (first, second):
        proxy.cut()
        failing(publisher, BrokerUnreachable)
        publisher.open()
        addresses.append(publisher.address)

    assert addresses == [f"127.0.0.1:{port}" for port in (first.port, second.port, first.port)]


def test_when_no_url_is_reached_each_is_named(make: Making, account: Account, tcp_proxy: Proxies) -> None:
    """The error tells of every address why it failed."""
    first, second = tcp_proxy(0), tcp_proxy(0)
    first.close()
    second.close()

    with pytest.raises(BrokerUnreachable, match=rf"{first.port} is not reached .*; .*{second.port} is not"):
        make(at(account, first.port, second.port)).open()


def test_a_line_that_is_slow_has_the_time_out_for_each_piece(
    make: Making, impatient: Account, tcp_proxy: Proxies, vhost: "VirtualHost"
) -> None:
    """However large a message is: it goes out while the broker takes some of it, and troubles nobody."""
    queue = vhost.bind_queue(EXCHANGE)
    proxy = tcp_proxy(vhost.node.port)
    publisher = make(replace(at(impatient, proxy.port), confirm_timeout=2.5))
    publisher.open()
    proxy.delay = 0.02
    start = time.monotonic()

    publisher.publish(1, structs.replace(envelope(1), body=b"x" * 16_000_000))
    written = time.monotonic() - start
    proxy.delay = 0.0
    settled = settle_all(publisher)

    assert written > 2.5
    assert settled.confirmed == (1,)
    assert [len(message.body or b"") for message in vhost.take(queue)] == [16_000_000]
