"""What it means when a Bugzilla does not answer as it should: an outage, or a setting that is wrong.

No word of a server goes on but an error's code and its first line, and that without what looks like a secret.
"""

import re
import socket
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from xmlrpc.client import Fault

import requests
from bugzilla import BugzillaError

from pulseshim import PulseshimError, SettingsError, SourceUnavailable
from pulseshim_plugins.bugzilla_answer import AnswerEndless
from pulseshim_plugins.bugzilla_options import Server
from pulseshim_plugins.bugzilla_session import BugzillaSession, causes

NO_SUCH_METHOD = 32614
NOT_VISIBLE = frozenset({100, 101, 102, 410})
"""No such alias, no such bug, not for your eyes, and log in first."""

_LOGIN_REQUIRED = 410
_REFUSED = frozenset({300, 301, 305, 306, _LOGIN_REQUIRED})
_LONGEST_WAIT = 86400.0
_LONGEST_LINE = 200
_LONGEST_READ = 1000
_OK, _MULTIPLE_CHOICES, _BAD_REQUEST, _NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 200, 300, 400, 404, 429, 500
_SECRETS = (
    (re.compile(r"//[^/\s@]*@"), "//…@"),
    (re.compile(r"(?i)(pass\w*|pwd|\w*key|token|secret)(\W{1,4})[^\s,;&)]+"), r"\1\2…"),
    (re.compile(r"\b[A-Za-z]+ connect\(.*?(\)|$)"), "connect(…)"),
    (re.compile(r" at /\S+ line \d+.*"), ""),
)


class ServerRefused(SettingsError):
    """The server answered that a key or a login is wrong or missing: correct the setting."""

    def __init__(self, problem: str, remedy: str, code: int) -> None:
        super().__init__(problem, remedy)
        self.code = code


class ServerFailed(SourceUnavailable):
    """The server answered with an error of its own, by its code: ask again."""

    def __init__(self, problem: str, remedy: str, code: int) -> None:
        super().__init__(problem, remedy)
        self.code = code


class ServerBusy(SourceUnavailable):
    """The server wants to be left alone, or to be asked less often: ask nothing more now."""


def error_code(error: BaseException) -> int | None:
    """Give the code of an error that a server named, None where it named none."""
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else None


def explain(error: Exception, session: BugzillaSession, server: Server, key: str) -> PulseshimError:
    """Give what an error that came up in asking a server means for the operator."""
    answer = session.answer
    if answer is None:
        return _no_answer(session.failure or error, server)
    wait = _retry_after(answer)
    if wait or answer.status_code == _TOO_MANY:
        return ServerBusy(
            f"{server.url} is asked too often or has a pause (HTTP {answer.status_code})",
            "poll it less often with every",
            retry_after=wait,
        )
    if _MULTIPLE_CHOICES <= answer.status_code < _BAD_REQUEST:
        target = answer.headers.get("Location", "").partition("?")[0]
        return SettingsError(
            f"{server.where}.url: {server.url} sends us elsewhere ({first_line(target, key)})",
            "write the URL where Bugzilla itself is",
        )
    code = error.faultCode if isinstance(error, Fault) else getattr(error, "code", None)
    if code is not None and isinstance(error, Fault | BugzillaError):
        return _named(error, code, server, key)
    return _unnamed(answer, server)


def first_line(text: str, key: str) -> str:
    """Give the first line of what a server says, short and without what looks like a secret."""
    line = text.strip().partition("\n")[0]
    if key:
        line = line.replace(key, "…")
    if len(line) > _LONGEST_READ:
        # The patterns take a time that grows with the square of it; and half a word may hide half a secret.
        line = line[:_LONGEST_READ].rpartition(" ")[0] or "…"
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    return "".join(c if c.isprintable() else " " for c in line)[:_LONGEST_LINE].strip()


def _named(error: Exception, code: object, server: Server, key: str) -> PulseshimError:
    """Give the meaning of an error that Bugzilla itself answered with."""
    text = error.faultString if isinstance(error, Fault) else str(error).removesuffix(f" (code={code})")
    text = f"error {code}: {first_line(text, key)}"
    number = code if isinstance(code, int) else 0
    if number not in _REFUSED:
        return ServerFailed(f"{server.url} answers with {text}", "it is asked again later", number)
    if not key:
        remedy = "name a file with an API key in api_key_file"
        return ServerRefused(f"{server.where}: {server.url} wants a login ({text})", remedy, number)
    return ServerRefused(
        f"{server.where}.api_key_file: {server.url} refuses the key ({text})",
        "make a new key in the preferences of the account, and put it into the file",
        number,
    )


def _unnamed(answer: requests.Response, server: Server) -> PulseshimError:
    """Give the meaning of an answer that is none of Bugzilla's API."""
    status = answer.status_code
    if status >= _SERVER_ERROR:
        return SourceUnavailable(f"{server.url} is down (HTTP {status})", "it is asked again later")
    kind = answer.headers.get("Content-Type", "")
    is_page = "html" in kind or ("xml" not in kind and answer.text.lstrip().startswith("<"))
    if is_page or status == _NOT_FOUND:
        what = "has no API there" if status == _NOT_FOUND else "shows a page in place of its API"
        return SettingsError(
            f"{server.where}.url: {server.url} {what} (HTTP {status})",
            "see that it is the URL of Bugzilla's front page, and that no login stands before it",
        )
    if status != _OK:
        return SourceUnavailable(f"{server.url} answers with HTTP {status}", "it is asked again later")
    return SourceUnavailable(
        f"{server.url} gives an answer that cannot be read: it is cut short, or none of Bugzilla's",
        "it is asked again later",
    )


def _no_answer(error: Exception, server: Server) -> PulseshimError:
    """Give the meaning of an error where nothing came back."""
    found = causes(error)
    where = f"{server.where}.url: {server.url}"
    for cause in found:
        if isinstance(cause, socket.gaierror):
            if cause.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
                return SettingsError(f"{where}: there is no such server", "correct the name of the host")
            return SourceUnavailable(f"the name of {server.url} is not found now", "it is asked again later")
    if isinstance(error, requests.exceptions.SSLError):
        reasons = [reason for cause in found if (reason := getattr(cause, "verify_message", ""))]
        reason = reasons[0] if reasons else "TLS is not spoken there"
        return SettingsError(
            f"{where} has no certificate that we trust ({reason})",
            "name its authority in ca_file, or correct the URL",
        )
    if isinstance(error, AnswerEndless | requests.exceptions.Timeout):
        is_silent = not isinstance(error, AnswerEndless)
        what = f"did not answer within {server.options.timeout}" if is_silent else f"gives an answer {error}"
        return SourceUnavailable(f"{server.url} {what}", "it is asked again later")
    if isinstance(error, OSError) and not isinstance(error, ValueError):
        texts = [cause.strerror for cause in found if isinstance(cause, OSError) and cause.strerror]
        reason = texts[0] if texts else "the connection was lost"
        return SourceUnavailable(f"{server.url} is not reached ({reason})", "it is asked again later")
    return SettingsError(f"{where} cannot be asked ({type(error).__name__})", "correct the URL")


def _retry_after(answer: requests.Response) -> float:
    """Give the seconds that a server asks to be left alone, 0 where it does not."""
    text = answer.headers.get("Retry-After", "").strip()
    if not text or answer.status_code < _BAD_REQUEST:
        return 0.0
    if text.isdecimal():
        return min(float(text), _LONGEST_WAIT)
    until = _date(text)
    # By the server's own clock: ours may be another.
    now = _date(answer.headers.get("Date", "")) or datetime.now(UTC)
    return min(max(0.0, (until - now).total_seconds()), _LONGEST_WAIT) if until else 0.0


def _date(text: str) -> datetime | None:
    """Give a date of HTTP, None where it is none."""
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC)
    except ValueError:
        return None
