"""The public URL of a repository: its own, or what the path of its directory is mapped to."""

import os
from collections.abc import Mapping
from urllib.parse import quote, unquote_to_bytes, urlsplit

_PATH_CHARACTERS = "/!$&'()*+,;=:@"


def public_url(
    path: str, own: str | None, repositories: Mapping[str, str], endings: tuple[str, ...] = ("/.git", ".git")
) -> str:
    """Give the public URL of the repository at a directory, "" where it is private.

    Its own `pulseshim.url` wins, and an empty one makes it private; else the longest prefix. The path below
    the prefix loses each of the endings, and what a URL cannot hold is percent-encoded in it.

    Raises `ValueError` where that has no host or no path.
    """
    if own is not None:
        url = quote(os.fsencode(own.strip()), safe=_PATH_CHARACTERS + "%?#[]").rstrip("/")
        return _checked(url) if url else ""
    for prefix in sorted(repositories, key=len, reverse=True):
        for place in (os.path.normpath(prefix), os.path.realpath(prefix)):
            root = place.rstrip("/")
            if path == place or path.startswith(root + "/"):
                below = path[len(root) :]
                for ending in endings:
                    below = below.removesuffix(ending)
                encoded = quote(os.fsencode(below.rstrip("/")), safe=_PATH_CHARACTERS)
                return _checked(repositories[prefix].rstrip("/") + encoded)
    return ""


def url_path(url: str) -> str:
    """Give the path of a URL, decoded and without its leading slash: the routing key, but for its length."""
    return unquote_to_bytes(urlsplit(url).path.strip("/")).decode("utf-8", "surrogateescape")


def is_url(url: str) -> bool:
    """Say whether a text is a URL with a scheme and a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc)


def _checked(url: str) -> str:
    if not (is_url(url) and url_path(url)):
        raise ValueError(url)
    return url
