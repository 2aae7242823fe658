"""A TCP proxy that fails when it is told to."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import trustme

from tests.node import VirtualHost
from tests.ports import free_port

_JOIN_SECONDS = 15


class TcpProxy:
    """A proxy on `port` (0: any) that forwards to a loopback port, until it is told to fail.

    `black_hole()` takes everything and forwards nothing more; `stall()` takes nothing more; both keep every
    connection open. `cut()` resets those there are. `delay` (seconds) is waited before each piece is
    forwarded. With a certificate it ends TLS itself.
    """

    def __init__(self, target: int, certificate: trustme.LeafCert | None = None, *, port: int = 0) -> None:
        self.delay = 0.0
        self._target = target
        self._tls = _server_context(certificate) if certificate else None
        self._swallowing = threading.Event()
        self._stalled = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._run(self._accept)

    def black_hole(self) -> None:
        """Forward nothing more, on old and new connections, and tell nobody."""
        self._swallowing.set()

    def stall(self) -> None:
        """Read nothing more, so that whoever writes has to wait, and tell nobody."""
        self._stalled.set()

    def restore(self) -> None:
        """Forward again. What was swallowed is lost: connections from before are of no more use."""
        self.cut()
        self._swallowing.clear()
        self._stalled.clear()

    def cut(self) -> None:
        """Reset all connections there are; new ones are accepted."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for end in sockets:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            with contextlib.suppress(OSError):
                # Not the method of a TLS socket: that takes the TLS away from under the thread that reads.
                socket.socket.shutdown(end, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close everything and wait for the threads."""
        self._closed.set()
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)

    def _run(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._run(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(client.close)
            if self._tls:
                try:
                    client = stack.enter_context(self._tls.wrap_socket(client, server_side=True))
                except OSError:
                    return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                return
            stack.callback(server.close)
            with self._lock:
                self._sockets += [client, server]
            with contextlib.suppress(OSError):
                self._forward(client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        while not self._closed.is_set():
            if self._stalled.is_set():
                self._closed.wait(0.05)
                continue
            waiting = [client] if isinstance(client, ssl.SSLSocket) and client.pending() else []
            for end in waiting or _readable(client, server):
                piece = end.recv(65536)
                if not piece:
                    while self._swallowing.is_set() and not self._closed.wait(0.05):
                        pass
                    return
                if self.delay:
                    self._closed.wait(self.delay)
                if not self._swallowing.is_set():
                    other[end].sendall(piece)


def _readable(*ends: socket.socket) -> list[socket.socket]:
    """Give those that there is something to read from, within a moment."""
    by_number = {end.fileno(): end for end in ends}
    poll = select.poll()
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(50)]


class LateBroker:
    """A virtual host of a broker, at a `url` that refuses connections until `come()`."""

    def __init__(self, vhost: VirtualHost, tcp_proxy: Callable[..., TcpProxy]) -> None:
        self._vhost = vhost
        self._tcp_proxy = tcp_proxy
        self.port = free_port()
        self.url = vhost.url.replace(f":{vhost.node.port}/", f":{self.port}/")

    def come(self) -> None:
        """Let it be reached."""
        self._tcp_proxy(self._vhost.node.port, port=self.port)


def _server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context
