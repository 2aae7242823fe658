"""REST and XML-RPC on a real socket for a stand-in for a Bugzilla, and answers that a test puts in place."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from xmlrpc.client import DateTime, Fault, dumps, loads

if TYPE_CHECKING:
    from tests.bugzilla_server import BugzillaServer

PASSWORD = "the-database-password"
DOWN = (
    "DBI connect('host=127.0.0.1;database=bugs;port=33306','bugs',...) failed: Can't connect to server on"
    " '127.0.0.1' (115) at /usr/lib/perl5/DBI.pm line 691.\n\tDBI::connect(\"DBI\","
    f' "dbi:MariaDB:host=127.0.0.1;database=bugs", "bugs", "{PASSWORD}", HASH(0x55)) called at Connector.pm'
)
_STATUS = {101: 404, 102: 401, 300: 401, 306: 400, 410: 401, 32614: 404}
_TEXTS = {
    306: "The API key you specified is invalid. Please check that you typed it correctly.",
    410: "You must log in before using this part of Bugzilla.",
}


@dataclass(frozen=True)
class Request:
    """What was asked: path and query (or method and parameters), and what the connection was."""

    path: str
    query: dict[str, Any]
    headers: dict[str, str]
    connection: int
    url: str


@dataclass(frozen=True)
class Reply:
    """An answer that a test puts in place of the right one. `cut` ends it early, `reset` instead of it.

    It comes `after` some seconds. `trickle` is said in place of it, and then byte after byte without end.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json; charset=UTF-8"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    reset: bool = False
    after: float = 0.0
    trickle: bytes = b""


def page(status: int, title: str = "Log in to Bugzilla") -> Reply:
    """Give an HTML page."""
    body = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head></html>".encode()
    return Reply(status, body, "text/html; charset=UTF-8")


def failure(code: int, text: str, status: int = 400, **headers: str) -> Reply:
    """Give an error in JSON."""
    body = json.dumps({"error": True, "code": code, "message": text}).encode()
    return Reply(status, body, headers={name.replace("_", "-"): value for name, value in headers.items()})


class Refused(Exception):
    """What the server does not do, by the code of Bugzilla's error."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(text or _TEXTS[code])
        self.code = code


class Http(ThreadingHTTPServer):
    """A server of many connections at once."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


def handler(server: "BugzillaServer") -> type[BaseHTTPRequestHandler]:  # noqa: C901 - a class, not a function
    """Give the class that answers for a server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece: in two, the second waits for the acknowledgement of the first

        def setup(self) -> None:
            super().setup()
            self.number = server.connection()

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            self._reply(self._asked(parts.path, query), _as_json, page(404, "404 Not Found"))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            parameters, method = loads(body)
            query: dict[str, Any] = dict(parameters[0]) if parameters else {}  # type: ignore[arg-type] # a struct
            if isinstance(query.get("last_change_time"), str):
                query["last_change_time"] = f"text:{query['last_change_time'].removesuffix('Z')}"
            self._reply(self._asked(str(method), query), _as_xml, page(404, "404 Not Found"))

        def _asked(self, path: str, query: dict[str, Any]) -> Request:
            headers = {name.lower(): value for name, value in self.headers.items()}
            return Request(path, query, headers, self.number, self.path)

        def _reply(self, request: Request, encode: Callable[..., Reply], missing: Reply) -> None:
            server.requests.append(request)
            server.before(request)
            reply = server.replies.pop(0) if server.replies else server.faults(request)
            if reply is None and not self.path.startswith(("/rest/", "/xmlrpc.cgi")):
                reply = missing
            self._say(reply or encode(server, request))

        def _say(self, reply: Reply) -> None:
            if reply.reset or server.ended.wait(reply.after):
                self.close_connection = True
                return
            if reply.trickle:
                self._trickle(reply.trickle)
            self.send_response_only(reply.status)
            if "Date" not in reply.headers:
                self.send_header("Date", self.date_time_string())
            self.send_header("Content-Type", reply.content_type)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
            self.close_connection = self.close_connection or reply.cut

        def _trickle(self, begin: bytes) -> None:
            self.wfile.write(begin)
            while not server.ended.wait(0.02):
                self.wfile.write(b"1")
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _as_json(server: "BugzillaServer", request: Request) -> Reply:
    try:
        return Reply(body=json.dumps(server.answer(request)).encode())
    except Refused as refused:
        return failure(refused.code, str(refused), _STATUS[refused.code])


def _as_xml(server: "BugzillaServer", request: Request) -> Reply:
    try:
        answer: Any = _dated(server.answer(request))
        # What REST wraps into an object is here the result itself.
        body = dumps((answer.get("result", answer),), methodresponse=True)
    except Refused as refused:
        body = dumps(Fault(refused.code, str(refused)), methodresponse=True)
    return Reply(body=body.encode(), content_type="text/xml")


def _dated(value: Any) -> Any:
    """Give an answer with its times as XML-RPC has them: UTC, without dashes and zone."""
    if isinstance(value, dict):
        return {name: _dated(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_dated(item) for item in value]
    if isinstance(value, str) and len(value) == 20 and value[10] == "T" and value[-1] == "Z":
        return DateTime(value[:-1].replace("-", ""))
    return value
