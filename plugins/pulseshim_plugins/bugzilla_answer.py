"""Answers that end: within a time, whatever the server does, and at a size.

The time-out of `requests` is for each piece of an answer. A server, or what stands before it, that sends one
byte now and then would hold a poll for ever. So the connection is cut from outside when the time is over.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any
from weakref import WeakMethod

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager

_MEBIBYTE = 2**20
_LARGEST = 64


class AnswerEndless(requests.exceptions.RequestException):
    """An answer took too long, or is too large: ask again later."""


class BoundedAdapter(HTTPAdapter):
    """Speaks HTTP for a session that asks one thing at a time; an answer may take `longest` seconds."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._socket: socket.socket | None = None
        self._is_over = False
        super().__init__()

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """Bound what is asked meanwhile. Raises `AnswerEndless` in place of what came of cutting it short."""
        self._is_over = False
        timer = Timer(self._longest, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception:
            if not self._is_over:
                raise
        finally:
            timer.cancel()
        if self._is_over:
            # Also what seems whole may end where it was cut.
            raise AnswerEndless(f"that takes longer than {self._longest:g} s")

    def send(self, *request: Any, **options: Any) -> requests.Response:
        """Ask, and see that what is read of the answer is not too much."""
        answer = super().send(*request, **options)
        answer.raw = _Body(answer.raw)
        return answer

    def init_poolmanager(self, *sizes: Any, **options: Any) -> None:
        """Make what holds the connections."""
        super().init_poolmanager(*sizes, **options)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Give what holds the connections through a proxy."""
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if is_new:
            self._watch(manager)
        return manager

    def close(self) -> None:
        """Close the connections, which urllib3 leaves to the collector of garbage."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - it cannot be iterated over otherwise
                manager.pools[key].close()
        super().close()

    def _watch(self, manager: PoolManager) -> None:
        pools = manager.pool_classes_by_scheme.items()
        manager.pool_classes_by_scheme = {scheme: self._watched(pool) for scheme, pool in pools}

    def _watched(self, pool: Any) -> Any:
        """Give a kind of pool whose connections tell when they are open."""
        # Weakly: else the connections that a pool keeps would keep it and all above it, for good.
        opened = WeakMethod(self._opened)

        class Connection(pool.ConnectionCls):  # type: ignore[misc] # there is one for each scheme and proxy
            def connect(self) -> None:
                super().connect()
                if tell := opened():
                    tell(self.sock)

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    def _opened(self, connection: socket.socket) -> None:
        self._socket = connection
        if self._is_over:
            self._cut()

    def _cut(self) -> None:
        self._is_over = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class _Body:
    """The body of an answer as `requests` reads it. Raises `AnswerEndless` where it is too large."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def stream(self, size: int, *, decode_content: bool) -> Iterator[bytes]:
        """Give the body piece by piece, uncompressed."""
        read = 0
        for piece in self._raw.stream(size, decode_content=decode_content):
            read += len(piece)
            if read > _LARGEST * _MEBIBYTE:
                self._raw.close()
                raise AnswerEndless(f"of more than {_LARGEST} MiB")
            yield piece

    def close(self) -> None:
        """Let the connection go."""
        self._raw.close()

    def release_conn(self) -> None:
        """Give the connection back."""
        self._raw.release_conn()
