"""The address of a server that is read by HTTP."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from pulseshim import SettingsError

_TEXT = re.compile(r"[!-~\u00a1-\ud7ff\ue000-\U0010ffff]+")
_PLACE = re.compile(r"(\[[^\[\]]+\]|[^\[\]:]+)(:[0-9]*)?")
_NO_NAME = re.compile(r"[^\w.-]")
_LONGEST_LABEL = 63


def check_address(url: str, where: str, example: str, keys: str) -> SplitResult:
    """Give the parts of a server's address: scheme, host, perhaps a port and a path, and nothing else.

    Raises `SettingsError` that names the setting, `where`, an `example` and the `keys` for a login. It never
    quotes the address: there may be a password in it.
    """
    wrong = SettingsError(f"{where} is no URL of a server", f"write {example}")
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise SettingsError(f"{where} has a user in it", f"use {keys}, and write {example}")
        is_sound = _TEXT.fullmatch(url) and _PLACE.fullmatch(parts.netloc) and _is_host(parts.hostname or "")
        is_sound = is_sound and parts.port != 0
    except ValueError:
        raise wrong from None
    if not is_sound or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise wrong
    return parts


def is_loopback(host: str) -> bool:
    """Say whether a host is this one: an address of the loopback interface, or `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_host(host: str) -> bool:
    """Say whether a text can be a host: a name, or an address, which is known by its colons."""
    if ":" in host:
        return bool(ipaddress.ip_address(host))
    labels = host.removesuffix(".").split(".")
    return not _NO_NAME.search(host) and all(0 < len(label) <= _LONGEST_LABEL for label in labels)
