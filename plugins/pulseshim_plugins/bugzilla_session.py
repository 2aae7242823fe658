"""HTTP as a poller wants it: a key that stays out of sight, answers that end, no redirects, no cookies."""

from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests

from pulseshim_plugins.bugzilla_answer import BoundedAdapter

_KEY = "Bugzilla_api_key"
_HEADER = "X-BUGZILLA-API-KEY"


class BugzillaSession(requests.Session):
    """What python-bugzilla speaks through: it puts the key where the server looks, and keeps the answer.

    The library puts the key into the URL. Here it becomes a header, unless `key_in_url`: that is for servers
    that do not know the header. `answer` is the last one, `failure` is why there is none. The server may be
    silent for `timeout` seconds, and an answer take `longest` seconds in all.
    """

    def __init__(self, timeout: float, longest: float, ca_file: str) -> None:
        super().__init__()
        self.key_in_url = False
        self.answer: requests.Response | None = None
        self.failure: Exception | None = None
        self._ca_file = ca_file
        # Nothing else may log us in: neither a ~/.netrc nor a cookie.
        self.auth = lambda request: request
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._timeout = timeout
        self._adapter = BoundedAdapter(longest)
        self.mount("https://", self._adapter)
        self.mount("http://", self._adapter)

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override] # the library names all but these two
        """Ask; a connection that the server closed just now is replaced once."""
        self.answer = self.failure = None
        params, headers = dict(options.get("params") or {}), dict(options.get("headers") or {})
        if _KEY in params and not self.key_in_url:
            headers[_HEADER] = params.pop(_KEY)
        # A redirect would take the key along to another server. The library's own time-out is five minutes.
        options |= {
            "params": params,
            "headers": headers,
            "allow_redirects": False,
            "timeout": self._timeout,
        }
        if self._ca_file:
            # Said with each request: what $REQUESTS_CA_BUNDLE names comes before what a session says.
            options["verify"] = self._ca_file
        try:
            with self._adapter.in_time():
                answer = self._ask_twice(method, url, options)
        except Exception as error:
            self.failure = error
            raise
        answer.encoding = "utf-8"
        self.answer = answer
        return answer

    def _ask_twice(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        try:
            return super().request(method, url, **options)
        except requests.exceptions.ConnectionError as error:
            if not any(isinstance(cause, ConnectionResetError) for cause in causes(error)):
                raise
            return super().request(method, url, **options)


def causes(error: BaseException) -> list[BaseException]:
    """Give an error and all that led to it: what it wraps, and what it was raised in dealing with."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and not any(each is known for known in found):
            found.append(each)
            waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
    return found
