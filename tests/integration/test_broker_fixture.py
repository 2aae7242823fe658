"""The private RabbitMQ node that the other tests rely on."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import amqp

if TYPE_CHECKING:
    from tests.conftest import TcpProxy, VirtualHost


def test_a_virtual_host_starts_empty_and_hands_out_what_was_published(vhost: "VirtualHost") -> None:
    """A test sees its own messages and nobody else's."""
    queue = vhost.bind_queue("exchange/guest/test")

    with vhost.node.connect(vhost.name) as connection:
        connection.channel().basic_publish(amqp.Message(b"1"), "exchange/guest/test", "key")

    assert [message.body for message in vhost.take(queue)] == [b"1"]


def test_a_proxy_forwards_until_it_is_cut(vhost: "VirtualHost", tcp_proxy: Callable[..., "TcpProxy"]) -> None:
    """A connection through the proxy works, and breaks when the test says so."""
    proxy = tcp_proxy(vhost.node.port)
    connection = amqp.Connection(f"127.0.0.1:{proxy.port}", virtual_host=vhost.name, login_method="PLAIN")
    connection.connect()
    channel = connection.channel()

    proxy.cut()

    try:
        channel.queue_declare("queue")
        broken = False
    except OSError:
        broken = True
    finally:
        connection.collect()
    assert broken
