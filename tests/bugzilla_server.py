"""A stand-in for a Bugzilla 5.2 on a real socket: it answers as recordings of a real one do.

What it knows: times to the second in UTC, searches that include their time, the order `changeddate,bug_id`, a
silent maximum, bugs and comments that only some may see, keys by parameter alone (`takes_header` makes it one
that knows the header and `whoami`), and over XML-RPC a text that is taken for the server's local time.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from xmlrpc.client import DateTime
from zoneinfo import ZoneInfo

from tests.bugzilla_http import DOWN, PASSWORD, Http, Refused, Reply, Request, failure, handler, page

__all__ = ["DOWN", "KEY", "PASSWORD", "Bug", "BugzillaServer", "Reply", "Request", "failure", "page"]

MAXIMUM = 10_000
KEY = "k" * 40
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


@dataclass
class Bug:
    """A bug: who may see it (`private`: accounts alone), and its history."""

    id: int
    changed: datetime
    created: datetime
    private: bool = False
    summary: str = "A summary"
    history: list[dict[str, Any]] = field(default_factory=list)


class BugzillaServer:
    """The server and its bugs. `now` is its clock, which only tests move; `requests` is all it was asked."""

    def __init__(self, *, zone: str = "UTC", maximum: int = MAXIMUM) -> None:
        self.bugs: dict[int, Bug] = {}
        self.now = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
        self.zone = ZoneInfo(zone)
        self.maximum = maximum
        self.users = {KEY: "poller@bugzilla.test"}
        self.takes_header = False
        self.requires_login = False
        self.pace = 0.0  # seconds an answer takes for each bug in it
        self.requests: list[Request] = []
        self.replies: list[Reply] = []
        self.before: Callable[[Request], None] = lambda _: None
        self.amid: Callable[[], None] = lambda: None  # when a search knows its bugs, and has yet to read them
        self.faults: Callable[[Request], Reply | None] = lambda _: None
        self.ended = threading.Event()
        self._connections = 0
        self._lock = threading.RLock()
        self._http = Http(("127.0.0.1", 0), handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop listening; what waits to be said is not said any more."""
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()

    def pass_time(self, seconds: float = 1) -> None:
        """Let the server's clock go on."""
        self.now += timedelta(seconds=seconds)

    def file(self, *, private: bool = False, count: int = 1) -> int:
        """File bugs now; give the id of the last."""
        with self._lock:
            for _ in range(count):
                number = len(self.bugs) + 1
                self.bugs[number] = Bug(number, self.now, self.now, private)
            return len(self.bugs)

    def change(
        self, number: int, name: str = "whiteboard", removed: str = "", added: str = "x", **more: Any
    ) -> str:
        """Change a field of a bug now; give the time as it is announced."""
        with self._lock:
            bug = self.bugs[number]
            bug.changed = self.now
            change = {"field_name": name, "removed": removed, "added": added, **more}
            bug.history.append(
                {"who": "dev@bugzilla.test", "when": self.now.strftime(_STAMP), "changes": [change]}
            )
            return self.now.strftime(_STAMP)[:-1]

    def hide(self, number: int, *, private: bool = True) -> None:
        """Make a bug private, or public again: that is a change, too."""
        self.change(
            number, "groups", added="security" if private else "", removed="" if private else "security"
        )
        self.bugs[number].private = private

    def paths(self) -> list[str]:
        """Give what was asked for, and forget it."""
        asked, self.requests = [request.path for request in self.requests], []
        return asked

    def connection(self) -> int:
        """Give the number of a new connection."""
        with self._lock:
            self._connections += 1
            return self._connections

    def answer(self, request: Request) -> dict[str, Any]:
        """Give the right answer to a request over REST or, by its method's name, over XML-RPC."""
        with self._lock:
            user = self._user(request)
            if request.path in ("/rest/version", "Bugzilla.version"):
                return {"version": "5.2+"}
            if request.path in ("/rest/time", "Bugzilla.time"):
                stamp = self.now.strftime(_STAMP)
                return {"db_time": stamp, "web_time": stamp, "web_time_utc": stamp, "tz_name": "UTC"}
            if self.requires_login and not user:
                raise Refused(410)
            if request.path == "/rest/whoami" and self.takes_header:
                if not user:
                    raise Refused(410)
                return {"id": 7, "name": user, "real_name": "Poller"}
            if request.path in ("/rest/valid_login", "User.valid_login"):
                return {"result": user == request.query["login"]}
            if request.path in ("/rest/bug", "Bug.search"):
                return {"bugs": self._search(request.query, user)}
            if request.path == "Bug.history" or request.path.endswith("/history"):
                return {"bugs": [self._history(request, user)]}
            raise Refused(32614, f"A REST API resource was not found for 'GET {request.path}'.")

    def _user(self, request: Request) -> str:
        key = request.query.get("Bugzilla_api_key", "")
        if self.takes_header and not key:
            key = request.headers.get("x-bugzilla-api-key", "")
        if key and key not in self.users and request.path not in ("/rest/time", "/rest/version"):
            raise Refused(306)
        return self.users.get(key, "")

    def _search(self, query: dict[str, Any], user: str) -> list[dict[str, Any]]:
        bugs = [bug for bug in self.bugs.values() if user or not bug.private]
        if "last_change_time" in query:
            since = self._time(query["last_change_time"])
            bugs = [bug for bug in bugs if bug.changed >= since]
        if "id" in query:
            ids = query["id"].split(",") if isinstance(query["id"], str) else query["id"]
            wanted = {int(number) for number in ids}
            bugs = [bug for bug in bugs if bug.id in wanted]
        by_time = query.get("order") == "changeddate,bug_id"
        bugs.sort(key=lambda bug: (bug.changed, bug.id) if by_time else (bug.id,))
        limit, offset = int(query.get("limit", 0)), int(query.get("offset", 0))
        limit, offset = (min(limit, self.maximum), offset) if limit else (self.maximum, 0)
        found = bugs[offset : offset + limit]
        self.amid()
        time.sleep(self.pace * len(found))
        fields = query["include_fields"]
        fields = fields.split(",") if isinstance(fields, str) else fields
        return [{name: value for name, value in _shown(bug).items() if name in fields} for bug in found]

    def _history(self, request: Request, user: str) -> dict[str, Any]:
        path = request.path.split("/")
        number = int(path[3]) if path[0] == "" else int(request.query["ids"][0])
        bug = self.bugs.get(number)
        if bug is None:
            raise Refused(101, f"Bug #{number} does not exist.")
        if bug.private and not user:
            raise Refused(102, f"You are not authorized to access bug #{number}.")
        return {"alias": [], "id": number, "history": bug.history}

    def _time(self, value: object) -> datetime:
        """Read a time as Bugzilla does: without a zone, and any text over XML-RPC, it is the local one."""
        if isinstance(value, DateTime):
            return datetime.strptime(str(value).removesuffix("Z"), "%Y%m%dT%H:%M:%S").replace(tzinfo=UTC)
        text = str(value)
        at = datetime.fromisoformat(text.removeprefix("text:"))
        if text.startswith("text:") or at.tzinfo is None:
            return at.replace(tzinfo=self.zone)
        return at


def _shown(bug: Bug) -> dict[str, Any]:
    return {
        "id": bug.id,
        "last_change_time": bug.changed.strftime(_STAMP),
        "creation_time": bug.created.strftime(_STAMP),
        "creator": "dev@bugzilla.test",
        "groups": ["security"] if bug.private else [],
        "summary": bug.summary,
    }
