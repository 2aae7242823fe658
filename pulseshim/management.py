"""RabbitMQ's management API, by which `provision` asks and tells the broker.

https://www.rabbitmq.com/docs/http-api-reference
"""

import json
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import urllib3

from pulseshim.account import GUEST, broker_urls, endpoint, is_loopback, secret
from pulseshim.errors import BrokerDenied, BrokerUnreachable, CommandFailed, SettingsError
from pulseshim.settings import BrokerSettings, ProvisionSettings
from pulseshim.tls import certificate_fault, is_plain

PASSWORD = "PULSESHIM_PROVISION_PASSWORD"  # noqa: S105 - the name of a variable
_PORTS = {True: ("http", 15672), False: ("https", 15671)}
_TIMEOUT = 30.0
_UNAUTHORIZED, _NOT_FOUND = 401, 404
_DONE = range(200, 300)
_ENABLE = "enable it (rabbitmq-plugins enable rabbitmq_management), or correct provision.url"


class Management:
    """A way to the management API, as an administrator. A context manager: it begins by asking who we are."""

    def __init__(self, url: str, user: str, password: str, ca_file: str = "") -> None:
        self.url = url.rstrip("/")
        self.user = user
        self._ca_file = ca_file
        self._headers = urllib3.make_headers(basic_auth=f"{user}:{password}".encode().decode("latin-1"))
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT, ssl_context=_tls(ca_file))

    def __enter__(self) -> Self:
        known = self.get("whoami")
        tags = known.get("tags") if isinstance(known, dict) else None
        if not isinstance(tags, str | list):
            raise self._foreign("its answer to whoami is another")
        if "administrator" not in (tags.split(",") if isinstance(tags, str) else tags):
            raise BrokerDenied(
                f"{self.user} is no administrator at {self.url}",
                f"rabbitmqctl set_user_tags {self.user} administrator, or name another in provision.user",
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.clear()

    def get(self, *path: str) -> Any:
        """Give what is at a path, given as its parts; an empty list where there is nothing.

        Raises `BrokerUnreachable`, `BrokerDenied` or `CommandFailed`.
        """
        return self.call("GET", path)

    def call(self, method: str, path: tuple[str, ...], content: Mapping[str, Any] | None = None) -> Any:
        """Ask or tell something; give the decoded answer, None of a change, [] of what is not there."""
        where = "/".join(quote(part, safe="") for part in path)
        try:
            answer = self._pool.request(
                method,
                f"{self.url}/api/{where}",
                body=None if content is None else json.dumps(content).encode(),
                headers={**self._headers, "Content-Type": "application/json"},
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._unreached(error) from error
        if answer.status == _NOT_FOUND and _reason(answer) and method in ("GET", "DELETE"):
            return []
        if answer.status == _UNAUTHORIZED:
            raise BrokerDenied(
                f"the management API at {self.url} refuses {self.user} ({_reason(answer) or 'no reason'})",
                f"correct provision.user and its password (a file, or ${PASSWORD})",
            )
        if answer.status not in _DONE and _reason(answer):
            raise CommandFailed(
                f"the broker refuses to {method} {where} ({_reason(answer)})",
                "see its log; what was done before stays done, and the next provisioning goes on from there",
            )
        if method != "GET" and answer.status in _DONE:
            return None
        return self._decoded(answer)

    def _decoded(self, answer: urllib3.BaseHTTPResponse) -> Any:
        try:
            decoded = json.loads(answer.data) if answer.status in _DONE else None
        except ValueError:
            decoded = None
        if not isinstance(decoded, dict | list):
            raise self._foreign(f"HTTP {answer.status}")
        return decoded

    def _foreign(self, reason: str) -> BrokerUnreachable:
        return BrokerUnreachable(
            f"what answers at {self.url} is not RabbitMQ's management API ({reason})", _ENABLE
        )

    def _unreached(self, error: urllib3.exceptions.HTTPError) -> BrokerDenied | BrokerUnreachable:
        cause = error.args[0] if error.args else None
        if isinstance(cause, ssl.SSLCertVerificationError):
            what, remedy = certificate_fault(cause, self._ca_file, "provision")
            return BrokerDenied(f"the certificate of the management API at {self.url} {what}", remedy)
        if isinstance(cause, ssl.SSLError) and is_plain(cause):
            return BrokerDenied(
                f"what answers at {self.url} does not speak TLS", "correct the port in provision.url"
            )
        return BrokerUnreachable(
            f"the management API at {self.url} is not reached ({type(error).__name__})", _ENABLE
        )


def management(settings: ProvisionSettings, broker: BrokerSettings, environ: Mapping[str, str]) -> Management:
    """Give the way to the broker's management API that the settings name. Raises `SettingsError`."""
    url = _url(settings, broker)
    parts = urlsplit(url)
    here = is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not here:
        raise SettingsError(
            f"provision.url names {parts.hostname} by http://, where others can read passwords",
            "use https://",
        )
    user = settings.user or (GUEST if here else "")
    password = secret(settings.password_file, "provision.password_file", environ.get(PASSWORD, ""))
    if not settings.user and here:
        password = password or GUEST
    if not user or not password:
        raise SettingsError(
            f"provision.{'password_file' if user else 'user'} is not set",
            f"name an administrator of the broker in provision.user, with a password_file or ${PASSWORD}",
        )
    return Management(url, user, password, settings.ca_file or broker.ca_file)


def _url(settings: ProvisionSettings, broker: BrokerSettings) -> str:
    if not settings.url:
        host = endpoint(broker_urls(broker)[0]).host
        scheme, port = _PORTS[is_loopback(host)]
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    try:
        parts = urlsplit(settings.url)
        sound = parts.port != 0 and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        sound = False
    if not sound or "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError(
            "provision.url is no URL of a management API",
            "write https://HOST:PORT, without user and password",
        )
    return settings.url


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise SettingsError(
            f"provision.ca_file: {ca_file} cannot be used ({error.strerror or error})",
            "it must be readable, and PEM",
        ) from error


def _reason(answer: urllib3.BaseHTTPResponse) -> str:
    """Give the reason of a refusal; empty where it is not one of the management API."""
    try:
        said = json.loads(answer.data)
    except ValueError:
        return ""
    reason = (said.get("reason") or said.get("error") or "") if isinstance(said, dict) else ""
    return reason if isinstance(reason, str) else json.dumps(reason)
