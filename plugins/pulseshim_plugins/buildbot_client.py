"""A client of a Buildbot master's REST API: rows, read whole or not at all."""

import ssl
import time
from base64 import b64encode
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from http.cookies import SimpleCookie
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import urllib3

from pulseshim import SettingsError, SourceUnavailable, seconds
from pulseshim_plugins.buildbot_connection import Answer, AnswerTooLarge, reason_of, timed_pool, whole
from pulseshim_plugins.buildbot_frames import decoded_object
from pulseshim_plugins.buildbot_options import MasterOptions, base, secret
from pulseshim_plugins.buildbot_shape import misshapen
from pulseshim_shims.buildbot_payload import Row

_TRIES = 6
_FIRST_WAIT = 2.0
_AT_ONCE = 3
_REFUSED = (401, 403)
_OK = 200
_REDIRECTS = range(300, 400)
_GONE = 404
_NO_ROW = b"not found while getting from"
_PAGE = 100
_LONGEST_WAIT = 3600.0


class MasterUnavailable(SourceUnavailable):
    """A master does not answer, or not as one: try again later."""


class Client:
    """A way to read one master.

    `headers` go with each request, the one for its websocket included: what was logged in with is in them.
    """

    def __init__(self, options: MasterOptions) -> None:
        self.base = base(options.url)
        self._options = options
        self._timeout = seconds(options.timeout)
        self._secrets = _secret_headers(options)
        self.headers: dict[str, str] = dict(self._secrets)
        self.tls = _tls(options)
        self._pool = timed_pool(self._timeout, self.tls, _AT_ONCE + 1)
        self._streams = urllib3.PoolManager(retries=False, ssl_context=self.tls)

    def __enter__(self) -> Self:
        self.log_in()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.clear()
        self._streams.clear()

    def log_in(self) -> None:
        """Log in where there is something to log in with, and keep the session that comes of it.

        Buildbot's own logins hand out a session (by its page for logins, or by its first page where it trusts
        a header); a proxy before it looks at the header alone. Raises
        `SettingsError` where the password is wrong, `MasterUnavailable` where nobody answers.
        """
        self.headers = headers = {"Accept": "application/json", **self._secrets}
        if not self._secrets:
            return
        answer = self.get("auth/login" if self._options.user else "")
        if answer.status == _REFUSED[0]:
            raise SettingsError(
                f"{self.base} refuses the {'password' if self._options.user else 'token'}",
                "correct the file that holds it",
            )
        cookies = SimpleCookie()
        for text in answer.headers.getlist("Set-Cookie"):
            cookies.load(text)
        if cookies:
            session = "; ".join(f"{name}={part.coded_value}" for name, part in cookies.items())
            self.headers = {**headers, "Cookie": session}  # not into what another thread may be sending

    def rows(self, path: str, parameters: Iterable[tuple[str, Any]] = ()) -> list[Row]:
        """Give the rows of a resource such as `builds` or `builds/7/steps`; none where there is no build 7.

        A parameter's value is made into text; True and False are written as Buildbot does. Raises
        `MasterUnavailable` or `SettingsError`.
        """
        parameters = list(parameters)
        fields = [value for name, value in parameters if name == "field"]
        query = urlencode([(name, _written(value)) for name, value in parameters])
        resource = f"api/v2/{quote(path)}" + (f"?{query}" if query else "")
        for number in range(1, _TRIES + 1):
            answer = self.get(resource)
            if answer.status in _REFUSED and self._secrets and number < _TRIES:
                self.log_in()  # the session has run out
                continue
            self._check(answer, path)
            if answer.status == _GONE:
                return []
            found = _object(answer.data)
            if found is not None:
                name = path.rpartition("/")[2]
                self._refuse(path, "" if name in found else f"no {name} in the answer")
                self._refuse(path, misshapen(path, found[name], fields))
                return list(found[name])
        raise MasterUnavailable(
            f"{self.base} gives answers that are cut short ({path})", "it is asked again; see its twistd.log"
        )

    def together(self, paths: Sequence[str]) -> list[list[Row]]:
        """Give the rows of several resources that cannot be joined, asked for three at a time."""
        if len(paths) == 1:
            return [self.rows(paths[0])]
        waiting = deque(enumerate(paths))
        answers: SimpleQueue[tuple[int, list[Row] | Exception]] = SimpleQueue()

        def ask() -> None:
            while True:
                try:
                    number, path = waiting.popleft()
                except IndexError:
                    return
                try:
                    answers.put((number, self.rows(path)))
                except Exception as error:  # noqa: BLE001 - it is raised by who waits for the answer
                    answers.put((number, error))

        # Not those of an executor: a process that ends would wait for them, and a master may be silent.
        for _ in paths[:_AT_ONCE]:
            Thread(target=ask, name="buildbot", daemon=True).start()
        found: dict[int, list[Row]] = {}
        while len(found) < len(paths):
            number, answer = answers.get()
            if isinstance(answer, Exception):
                waiting.clear()
                raise answer
            found[number] = answer
        return [found[number] for number in range(len(paths))]

    def after(self, resource: str, field: str, last: int, *more: tuple[str, Any]) -> list[Row]:
        """Give the next rows of a collection, a page of them at most, whose number is over `last`."""
        place = [(f"{field}__gt", last), ("order", field), ("limit", _PAGE)]
        rows = self.rows(resource, [*place, *more])
        self._refuse(resource, "" if all(row[field] > last for row in rows) else "not those after a number")
        return rows

    def among(self, resource: str, field: str, numbers: Iterable[int], *more: tuple[str, Any]) -> list[Row]:
        """Give the rows of a collection that have one of the numbers, in their order."""
        wanted = sorted(set(numbers))
        parts = [wanted[at : at + _PAGE] for at in range(0, len(wanted), _PAGE)]
        return [
            row
            for part in parts
            for row in self.rows(resource, [*((field, each) for each in part), ("order", field), *more])
        ]

    def last(self, resource: str, field: str) -> int:
        """Give the largest number in a collection; 0 where it is empty."""
        rows = self.rows(resource, [("order", f"-{field}"), ("limit", 1)])
        return int(rows[0][field]) if rows else 0

    def get(self, path: str) -> Answer:
        """Give the answer to a GET of a path below the URL; where it is cut or stays away, ask again.

        Buildbot 4.2 and 4.3 write answers from a thread and may not notice that there is something to send
        until something else happens: so the first wait is short, and each is twice as long as the one before.
        """
        failure: Exception | None = None
        wait, until = min(_FIRST_WAIT, self._timeout), time.monotonic() + self._timeout
        for _ in range(_TRIES):
            try:
                return whole(self._request(self._pool, path, self.headers, wait))
            except urllib3.exceptions.ReadTimeoutError as error:
                failure = error
                wait = min(2 * wait, until - time.monotonic())
            except AnswerTooLarge as error:
                raise MasterUnavailable(
                    f"{self.base} gives {error} ({path})",
                    "it is asked again; see what a proxy before it sends",
                ) from error
            except urllib3.exceptions.ProtocolError as error:
                failure = error
            except urllib3.exceptions.HTTPError as error:
                self._check_certificate(error)
                failure = error
                break
            if wait <= 0:
                break
        raise MasterUnavailable(
            f"{self.base} does not answer ({reason_of(failure)})", "it is asked again until it does"
        ) from failure

    def stream(self, path: str) -> urllib3.BaseHTTPResponse:
        """Give an answer that is read as it comes, for as long as it does."""
        headers = {**self.headers, "Accept": "text/event-stream"}
        return self._request(self._streams, path, headers, self._timeout)

    def _request(
        self, pool: urllib3.PoolManager, path: str, headers: Mapping[str, str], wait: float
    ) -> urllib3.BaseHTTPResponse:
        timeout = urllib3.Timeout(connect=self._timeout, read=wait)
        return pool.request(
            "GET", self.base + path, headers=headers, timeout=timeout, redirect=False, preload_content=False
        )

    def _refuse(self, path: str, fault: str) -> None:
        """Say by `MasterUnavailable` that rows cannot be used."""
        if fault:
            raise MasterUnavailable(
                f"{self.base} gives rows of {path} that are not as Buildbot's are ({fault})",
                "it is asked again; see that the url is of Buildbot 3 or 4, and nothing changes its answers",
            )

    def _check_certificate(self, error: urllib3.exceptions.HTTPError) -> None:
        """Say by `SettingsError` that a connection failed for the master's certificate."""
        inner = error.args[0] if error.args else None
        if isinstance(inner, ssl.SSLCertVerificationError):
            raise SettingsError(
                f"{self.base} has no certificate that we trust ({inner.verify_message})",
                "name its authority in ca_file, or correct the url",
            ) from error

    def _check(self, answer: Answer, path: str) -> None:
        if answer.status in _REFUSED:
            raise SettingsError(
                f"{self.base} refuses to show {path} (HTTP {answer.status})",
                "give user and password_file, or token_file, of somebody who may read everything",
            )
        is_json = answer.data[:1] == b"{"
        if answer.status in _REDIRECTS or (answer.status in (_OK, _GONE) and not is_json):
            raise SettingsError(
                f"{self.base} is no Buildbot: no REST API answers there (HTTP {answer.status})",
                "correct the url: it is the address of the web interface, ending before #/",
            )
        # A collection is always there, and a row that is not is told of in these words: others are a proxy's.
        is_gone = answer.status == _GONE and "/" in path and _NO_ROW in answer.data
        if answer.status != _OK and not is_gone:
            raise MasterUnavailable(
                f"{self.base} fails to show {path} (HTTP {answer.status})",
                "it is asked again; see its twistd.log, and the log of a proxy before it",
                retry_after=_retry_after(answer),
            )


def _retry_after(answer: Answer) -> float:
    """Give the seconds that a server, or a proxy before it, asks to be left alone; 0 where it does not."""
    with suppress(urllib3.exceptions.InvalidHeader):
        wait = urllib3.Retry().parse_retry_after(answer.headers.get("Retry-After", "0"))
        return min(float(wait), _LONGEST_WAIT)
    return 0.0


def _object(content: bytes) -> dict[str, Any] | None:
    """Give the object that an answer is; None where it was cut short."""
    try:
        return decoded_object(content)
    except ValueError:
        return None


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _secret_headers(options: MasterOptions) -> Mapping[str, str]:
    if options.user:
        password = secret(options.password_file, "password_file")
        return {"Authorization": "Basic " + b64encode(f"{options.user}:{password}".encode()).decode()}
    token = secret(options.token_file, "token_file")
    if not token:
        return {}
    if options.token_header.lower() == "authorization" and " " not in token:
        token = f"Bearer {token}"
    return {options.token_header: token}


def _tls(options: MasterOptions) -> ssl.SSLContext | None:
    if not options.url.startswith("https:"):
        return None
    try:
        return ssl.create_default_context(cafile=options.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{options.ca_file} holds no certificates ({error})", "give a file in PEM format"
        ) from error
