"""Answers without end, and compressed ones: a poll ends in a bounded time, and holds a bounded amount."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import trustme

from pulseshim import SourceUnavailable
from pulseshim.testing import MemoryState
from pulseshim_plugins.bugzilla_answer import AnswerEndless
from pulseshim_plugins.bugzilla_error import explain
from pulseshim_plugins.bugzilla_poll import Poller
from pulseshim_plugins.bugzilla_session import BugzillaSession
from tests.bugzilla_server import BugzillaServer, Reply
from tests.plugins.bugzilla.polling import Configure, poll

if TYPE_CHECKING:
    from tests.conftest import TcpProxy

PATIENT = 60.0
"""A time-out that no piece of an answer exceeds: what ends it is the time that it takes in all."""

SLOW = {
    "status": b"HTTP/1.1 ",
    "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "body until the end": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    "error": b"HTTP/1.1 503 Down\r\nContent-Length: 999999\r\n\r\n",
}


@pytest.fixture
def session() -> Iterator[BugzillaSession]:
    """Give a session that waits for a second for an answer, however slowly it comes."""
    with BugzillaSession(PATIENT, 1.0, "") as session:
        yield session


@pytest.mark.parametrize("part", SLOW)
def test_an_answer_that_trickles_is_given_up(
    bugzilla: BugzillaServer, configure: Configure, session: BugzillaSession, part: str
) -> None:
    """Whatever part of it does; that is an outage, and the next answer is read as ever."""
    bugzilla.replies = [Reply(trickle=SLOW[part])]
    url = f"{bugzilla.url}/rest/version"

    with pytest.raises(AnswerEndless) as raised:
        session.get(url)
    error = explain(raised.value, session, configure(bugzilla.url), "")
    session._adapter._longest = PATIENT
    after = session.get(url)

    assert isinstance(error, SourceUnavailable)
    assert str(error).startswith(f"{bugzilla.url} gives an answer that takes longer than 1 s: ")
    assert after.json() == {"version": "5.2+"}


def test_an_answer_that_trickles_is_given_up_over_tls(
    bugzilla: BugzillaServer,
    tcp_proxy: Callable[..., "TcpProxy"],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What is cut is the connection below it."""
    authority = trustme.CA()
    ca_file = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    proxy = tcp_proxy(int(bugzilla.url.rpartition(":")[2]), authority.issue_cert("127.0.0.1"))
    url = f"https://127.0.0.1:{proxy.port}/rest/version"
    bugzilla.replies = [Reply(trickle=SLOW["body"])]

    with BugzillaSession(PATIENT, 1.0, str(ca_file)) as session:
        with pytest.raises(AnswerEndless):
            session.get(url)
        session._adapter._longest = PATIENT
        after = session.get(url)

    assert after.json() == {"version": "5.2+"}


@pytest.mark.parametrize("protocol", ["rest", "xmlrpc"])
@pytest.mark.parametrize("compressed", [False, True])
def test_an_answer_that_is_too_large_is_an_outage(
    bugzilla: BugzillaServer, configure: Configure, protocol: str, compressed: bool
) -> None:
    """As it is read it is given up, also where it is small only as long as it is compressed."""
    body = b" " * (65 * 2**20)
    large = Reply(body=body)
    if compressed:
        large = Reply(body=gzip.compress(body, 1), headers={"Content-Encoding": "gzip"})
    poller, state = Poller(configure(bugzilla.url, protocol=protocol)), MemoryState()
    poll(poller, state)
    bugzilla.pass_time(60)
    bugzilla.file()
    bugzilla.faults = lambda request: large if request.path in ("/rest/bug", "Bug.search") else None

    with pytest.raises(SourceUnavailable, match=rf"{bugzilla.url} gives an answer of more than 64 MiB"):
        poll(poller, state)
    bugzilla.faults = lambda _: None

    assert [number for number, _ in poll(poller, state)] == [1]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_an_answer_may_be_compressed(
    bugzilla: BugzillaServer, configure: Configure, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """As web servers do it."""
    poller, state = Poller(configure(bugzilla.url)), MemoryState()
    poll(poller, state)
    found = json.dumps({"bugs": [{"id": 7, "last_change_time": "2026-11-24T12:00:00Z"}]}).encode()
    reply = Reply(body=compress(found), headers={"Content-Encoding": encoding})
    bugzilla.faults = lambda request: (
        reply if "order" in request.query and "offset" not in request.query else None
    )

    assert poll(poller, state) == [(7, "2026-11-24T12:00:00")]
