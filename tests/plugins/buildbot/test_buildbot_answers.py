"""Answers that do not end."""

import gzip
import socketserver
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from pulseshim_plugins.buildbot_client import Client, MasterUnavailable
from pulseshim_plugins.buildbot_options import MasterOptions

MIB = 1024 * 1024
BUILDS = b'{"builds": [], "meta": {}}'


@contextmanager
def sending(pieces: Callable[[], Iterable[bytes]]) -> Iterator[str]:
    """Give the URL of a server that answers each request with pieces, for as long as they are taken."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            with suppress(OSError):
                for piece in pieces():
                    self.wfile.write(piece)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            serving.join()


HEADER = b"HTTP/1.1 200 OK\r\n"
TRICKLES = {
    "header": (HEADER + b"X-Slow: ", b"x" * 200, b"\r\nContent-Length: 26\r\n\r\n" + BUILDS),
    "further headers": (HEADER, b"X-A: b\r\n" * 25, b"Content-Length: 26\r\n\r\n" + BUILDS),
    "go on": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 8, HEADER + b"Content-Length: 26\r\n\r\n" + BUILDS),
    "content": (HEADER + b"Content-Length: 226\r\n\r\n{", b" " * 200, BUILDS[1:]),
    "content to the end": (HEADER + b"Connection: close\r\n\r\n{", b" " * 200, BUILDS[1:]),
    "chunk": (
        HEADER + b"Transfer-Encoding: chunked\r\n\r\ne2\r\n{",
        b" " * 200,
        BUILDS[1:] + b"\r\n0\r\n\r\n",
    ),
    "size of a chunk": (
        HEADER + b"Transfer-Encoding: chunked\r\n\r\n1a;",
        b"x" * 200,
        b"\r\n" + BUILDS + b"\r\n0\r\n\r\n",
    ),
}


@pytest.mark.parametrize("part", TRICKLES)
def test_an_answer_that_trickles_is_given_up(part: str) -> None:
    """Whichever part of it comes byte by byte, no piece of it late: the whole has a time, not each piece."""
    before, slow, after = TRICKLES[part]

    def pieces() -> Iterator[bytes]:
        yield before
        for byte in slow:
            time.sleep(0.05)
            yield bytes([byte])
        yield after

    with sending(pieces) as url, Client(MasterOptions(url=url, timeout="1s")) as client:  # noqa: SIM117
        with pytest.raises(MasterUnavailable, match=r"does not answer \("):
            client.rows("builds")


@pytest.mark.parametrize("part", TRICKLES)
def test_an_answer_that_comes_in_pieces_is_read(part: str) -> None:
    """For as long as it has the time."""
    before, slow, after = TRICKLES[part]

    def pieces() -> Iterator[bytes]:
        yield before
        yield from (slow[at : at + 40] for at in range(0, len(slow), 40))
        yield after

    with sending(pieces) as url, Client(MasterOptions(url=url)) as client:
        assert client.rows("builds") == []


@pytest.mark.parametrize(
    ("header", "piece"),
    [
        (b"Content-Length: %d" % (100 * MIB), b" " * MIB),
        (b"Connection: close", b" " * MIB),
        (b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (MIB, b" " * MIB)),
        (b"Connection: close\r\nContent-Encoding: gzip", gzip.compress(b" " * MIB)),
    ],
)
def test_an_answer_without_an_end_is_given_up(header: bytes, piece: bytes) -> None:
    """It would fill the memory. What counts is what comes of it, not how small it is on the way."""
    count = 0

    def pieces() -> Iterator[bytes]:
        nonlocal count
        yield HEADER + header + b"\r\n\r\n"
        for _ in range(100):
            count += 1
            yield piece

    with sending(pieces) as url, Client(MasterOptions(url=url)) as client:  # noqa: SIM117
        with pytest.raises(MasterUnavailable, match=r"gives an answer of more than 64 MiB \(api/v2/builds\)"):
            client.rows("builds")

    assert count <= 100  # it is not asked for again
