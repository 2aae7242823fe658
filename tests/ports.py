"""Free TCP ports, for what a test starts and others connect to."""

import contextlib
import itertools
import os
import socket

# Linux gives out ports from 32768 on. One of those, free a moment ago, may be a connection's by now.
_FIRST_PORT, _PORTS, _WORKERS = 10_000, 5_000, 4
_numbers = itertools.count(os.getpid() * 101)


def free_ports(count: int) -> list[int]:
    """Give different free TCP ports of the loopback interface, such as nobody gets who asks for any.

    They may be bound later: no other worker of pytest is given them, nor is anybody here a second time.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    found: list[int] = []
    while len(found) < count:
        port = _FIRST_PORT + worker * _PORTS + next(_numbers) % _PORTS
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            found.append(port)
    return found


def free_port() -> int:
    """Give one such port."""
    return free_ports(1)[0]
