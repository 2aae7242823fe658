"""Connections to a master on which an answer has a time to be whole in, and a size that it may have."""

import http.client
import io
import ssl
import time
from typing import Any, NamedTuple

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

LARGEST = 64 * 1024 * 1024
"""The limit for the content of an answer, in bytes. A page of a hundred builds has a few hundred thousand."""

_PIECE = 256 * 1024


class Answer(NamedTuple):
    """An answer that was read whole."""

    status: int
    headers: urllib3.HTTPHeaderDict
    data: bytes


class AnswerTooLarge(Exception):
    """An answer does not end where it should have by far."""


class _Timed(io.RawIOBase):
    """What comes on a connection, until a time: then reading it is a TimeoutError.

    The time-out of a socket is for each piece. Who sends one byte after the other would never come to it.
    """

    def __init__(self, inner: io.RawIOBase, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._until:
            raise TimeoutError(f"its answer is not whole after {self._seconds:g} s")
        return self._inner.readinto(buffer)

    def close(self) -> None:
        self._inner.close()
        super().close()


def timed_pool(seconds: float, tls: ssl.SSLContext | None, size: int) -> urllib3.PoolManager:
    """Give a pool of connections on which each answer, its header included, takes `seconds` at most."""

    class Timed(http.client.HTTPResponse):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.fp = io.BufferedReader(_Timed(self.fp.detach(), seconds))

    class Plain(HTTPConnection):
        response_class = Timed

    class Secure(HTTPSConnection):
        response_class = Timed

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    pool = urllib3.PoolManager(maxsize=size, retries=False, ssl_context=tls)
    pool.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return pool


def whole(response: urllib3.BaseHTTPResponse, largest: int = LARGEST) -> Answer:
    """Read an answer to its end. Raises `AnswerTooLarge`, and what urllib3 raises."""
    pieces, size = [], 0
    for piece in response.stream(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > largest:
            response.close()
            raise AnswerTooLarge(f"an answer of more than {largest // 1024 // 1024} MiB")
    response.release_conn()
    return Answer(response.status, response.headers, b"".join(pieces))


def reason_of(error: Exception | None) -> str:
    """Give the innermost reason of a failure, without the addresses of objects."""
    while isinstance(error, Exception):
        inner = getattr(error, "reason", None) or error.__cause__
        if not isinstance(inner, Exception):
            break
        error = inner
    text = str(error).rpartition(": ")[2] if str(error).startswith("<") else str(error)
    return text or type(error).__name__
