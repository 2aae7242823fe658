"""What each failure of a server means: an outage or a wrong setting, in one line without a secret."""

import gc
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
import trustme

from pulseshim import PulseshimError, SettingsError, SourceUnavailable
from pulseshim.testing import MemoryState
from pulseshim_plugins.bugzilla_error import first_line
from pulseshim_plugins.bugzilla_poll import Poller
from tests.bugzilla_server import DOWN, KEY, PASSWORD, BugzillaServer, Reply, failure, page
from tests.plugins.bugzilla.polling import Configure
from tests.ports import free_port

if TYPE_CHECKING:
    from tests.conftest import TcpProxy

FAULT = (
    b'<?xml version="1.0" encoding="UTF-8"?><methodResponse><fault><value><struct><member><name>faultString'
    b"</name><value><string>%s</string></value></member><member><name>faultCode</name><value>%s</value>"
    b"</member></struct></value></fault></methodResponse>"
)


def fault(text: str, code: str) -> Reply:
    """Give an error as XML-RPC has it; `code` is written with its type."""
    body = FAULT % (text.replace("<", "&lt;").encode(), code.encode())
    return Reply(body=body, content_type="text/xml")


def failing(poller: Poller, state: MemoryState) -> PulseshimError:
    """Give the error that a poll ends with."""
    with pytest.raises(PulseshimError) as raised:
        list(poller.poll(state))
    return raised.value


OUTAGES = {
    "down": ("rest", page(503, "Bugzilla is Down"), r"is down \(HTTP 503\)"),
    "no database": ("rest", failure(100500, DOWN, 200), "answers with error 100500"),
    "another error": (
        "rest",
        failure(56, "'x' is not a legal date.", 400),
        "error 56: 'x' is not a legal date.",
    ),
    "cut JSON": ("rest", Reply(body=b'{"bugs":[{"id":1,"last_ch'), "cut short"),
    "no object": ("rest", Reply(body=b"[]"), "cut short, or none"),
    "no bugs": ("rest", Reply(body=b"{}"), "cut short, or none"),
    "no time": ("rest", Reply(body=b'{"bugs":[{"id":1,"last_change_time":"soon"}]}'), "cut short"),
    "cut connection": ("rest", Reply(body=b'{"bugs":[]}', cut=True), "is not reached"),
    "reset": ("rest", Reply(reset=True), "is not reached"),
    "silence": ("rest", Reply(after=10), "did not answer within 2s"),
    "too often": ("rest", page(429), r"asked too often or has a pause \(HTTP 429\)"),
    "no database over XML-RPC": ("xmlrpc", fault(DOWN, "<int>-32000</int>"), "error -32000"),
    "a word as code": ("xmlrpc", fault("Application failed", "<string>Client</string>"), "error Client"),
    "down over XML-RPC": ("xmlrpc", page(503), "is down"),
    "cut XML": ("xmlrpc", Reply(body=FAULT[:80], content_type="text/xml"), "cut short"),
}

SETTINGS = {
    "bad key": ("rest", failure(306, "The API key you specified is invalid.", 400), "refuses the key"),
    "bad key over XML-RPC": ("xmlrpc", fault("The API key is invalid.", "<int>306</int>"), "refuses the key"),
    "login": ("rest", failure(410, "You must log in before using this part of Bugzilla.", 401), "refuses"),
    "login page": ("rest", page(200), "shows a page in place of its API"),
    "login page over XML-RPC": ("xmlrpc", page(200), "shows a page in place of its API"),
    "wrong path": ("rest", page(404), "has no API there"),
    "wrong path over XML-RPC": ("xmlrpc", page(404), "has no API there"),
    "elsewhere": (
        "rest",
        Reply(302, headers={"Location": f"https://u:p@other.example.org/rest/bug?Bugzilla_api_key={KEY}"}),
        "sends us elsewhere .https://…@other.example.org/rest/bug.",
    ),
}


@pytest.mark.parametrize("case", [*OUTAGES, *SETTINGS])
def test_a_failure_is_one_line_and_moves_no_cursor(
    bugzilla: BugzillaServer, configure: Configure, key_file: str, case: str
) -> None:
    """An outage asks to be tried again, a wrong setting to be corrected; the next poll finds what changed."""
    protocol, reply, words = {**OUTAGES, **SETTINGS}[case]
    bugzilla.file(count=2)
    bugzilla.pass_time(3600)
    options = {"api_key_file": key_file, "protocol": protocol}
    poller, state = Poller(configure(bugzilla.url, **options)), MemoryState()
    impatient = Poller(configure(bugzilla.url, **options, timeout="2s"))
    list(poller.poll(state))
    cursor = state.get("cursor")
    bugzilla.pass_time(60)
    bugzilla.change(1)
    bugzilla.faults = lambda request: reply if request.path in ("/rest/bug", "Bug.search") else None

    error = failing(impatient if case == "silence" else poller, state)
    bugzilla.faults = lambda _: None

    assert isinstance(error, SettingsError if case in SETTINGS else SourceUnavailable)
    assert len(str(error).splitlines()) == 1
    assert re.search(words, str(error)), str(error)
    assert error.__cause__ is None
    for secret in (KEY, PASSWORD, "Bugzilla_api_key", "DBI.pm"):
        assert secret not in str(error)
    assert state.get("cursor") == cursor
    assert len(list(poller.poll(state))) == 1


@pytest.mark.parametrize("status", [429, 400, 503])
def test_a_pause_in_seconds_is_honoured(bugzilla: BugzillaServer, configure: Configure, status: int) -> None:
    """Whatever the status, and whether the answer is JSON or a page."""
    bugzilla.replies = [failure(32000, "slow down", status, Retry_After="120")]

    error = failing(Poller(configure(bugzilla.url)), MemoryState())

    assert isinstance(error, SourceUnavailable)
    assert error.retry_after == 120


def test_a_pause_until_a_date_is_reckoned_by_the_clock_of_the_server(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """Ours may be an hour off."""
    there = datetime.now(UTC) - timedelta(hours=1)
    until = there + timedelta(seconds=90)

    headers = {
        "Retry-After": format_datetime(until, usegmt=True),
        "Date": format_datetime(there, usegmt=True),
    }
    bugzilla.replies = [Reply(429, b"", "text/html", headers)]

    error = failing(Poller(configure(bugzilla.url)), MemoryState())

    assert isinstance(error, SourceUnavailable)
    assert error.retry_after == 90


def test_a_connection_that_was_closed_meanwhile_is_replaced_at_once(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """A kept-alive connection that the server resets is no failure."""
    poller, state = Poller(configure(bugzilla.url)), MemoryState()
    list(poller.poll(state))
    bugzilla.replies = [Reply(reset=True)]

    assert list(poller.poll(state)) == []
    assert len({request.connection for request in bugzilla.requests}) == 2


def sockets() -> int:
    """Give how many sockets this process has, those of the stand-in server among them."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += "socket" in os.readlink(f"/proc/self/fd/{number}")
    return found


@pytest.fixture
def _uncollected() -> Iterator[None]:
    """Have no garbage collected: when it would be is by chance."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_uncollected")
def test_a_poll_that_fails_keeps_no_connection(bugzilla: BugzillaServer, configure: Configure) -> None:
    """A server may be down for days, and is asked each minute of it."""
    poller = Poller(configure(bugzilla.url))
    bugzilla.faults = lambda _: page(503)
    before = sockets()

    for _ in range(20):
        failing(poller, MemoryState())

    wait_until(lambda: sockets() < before + 10)


def test_a_poller_that_is_dropped_drops_its_connections(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """Nobody has to close one: it is collected, and what it held is closed."""
    before = sockets()

    for _ in range(20):
        list(Poller(configure(bugzilla.url)).poll(MemoryState()))
    gc.collect()

    wait_until(lambda: sockets() < before + 10)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for what the stand-in server, in a thread of its own, has yet to do."""
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_server_that_is_not_there_is_an_outage_and_one_that_does_not_exist_is_a_wrong_setting(
    configure: Configure,
) -> None:
    """The one may come back, the other is a name that nobody has."""
    down = failing(Poller(configure(f"http://127.0.0.1:{free_port()}")), MemoryState())
    nowhere = failing(Poller(configure("http://no-such-host.invalid")), MemoryState())

    assert isinstance(down, SourceUnavailable)
    assert "Connection refused" in str(down)
    assert isinstance(nowhere, SettingsError | SourceUnavailable)
    assert "no such server" in str(nowhere) or "is not found now" in str(nowhere)


def test_a_certificate_that_nobody_vouches_for_is_a_wrong_setting(
    bugzilla: BugzillaServer,
    configure: Configure,
    tcp_proxy: Callable[..., "TcpProxy"],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """With its authority in ca_file the same server is polled."""
    authority = trustme.CA()
    ca_file = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    port = int(bugzilla.url.rpartition(":")[2])
    proxy = tcp_proxy(port, authority.issue_cert("127.0.0.1"))
    url = f"https://127.0.0.1:{proxy.port}"

    refused = failing(Poller(configure(url)), MemoryState())
    taken = list(Poller(configure(url, ca_file=str(ca_file))).poll(MemoryState()))

    assert isinstance(refused, SettingsError)
    assert "no certificate that we trust" in str(refused)
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\ntwo", "one"),
        ("no access with password=hunter2, sorry", "no access with password=…, sorry"),
        ("https://me:hunter2@host/x", "https://…@host/x"),
        (f"unknown key {KEY}", "unknown key …"),
        ("x" * 900, "x" * 200),
        ("bell \x07 and escape \x1b[31m", "bell   and escape  [31m"),
        ("x" * 300_000, "…"),
        ("pass" * 50_000 + " x", "…"),
        ("no " + "connect(" * 50_000, "no"),
        (f"a connect({'x' * 2000}{PASSWORD}) failed", "a"),
        (f"a connect({'x ' * 1000}{PASSWORD}) failed", "connect(…)"),
        (f"a connect({'x' * 950}) https://me:{'hunter2' * 20}@host", "connect(…)"),
        (DOWN, "connect(…) failed: Can't connect to server on '127.0.0.1' (115)"),
    ],
)
def test_of_what_a_server_says_the_first_line_is_shown_without_secrets(text: str, line: str) -> None:
    """A server may say anything, and has said its database password."""
    shown = first_line(text, KEY)

    assert shown.removeprefix("DBI ") == line
