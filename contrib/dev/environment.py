"""Make a virtual environment with a pip in it, also where the system's Python has no ensurepip.

    python3 contrib/dev/environment.py .venv

Debian splits ensurepip off into python3-venv. A machine that has Python but not that package gets pip from
the package index that pip itself would use: the newest wheel, its checksum held against the index.
"""

import configparser
import hashlib
import importlib.util
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import venv
from pathlib import Path
from typing import Any

OLDEST_PYTHON = (3, 11)
JSON_PAGE = "application/vnd.pypi.simple.v1+json"
WHEEL = re.compile(r"pip-([0-9]+(?:\.[0-9]+)*)-py3-none-any\.whl")
LOWER_BOUND = re.compile(r">=\s*3\.([0-9]+)")


def main(directory: str) -> int:
    """Make the environment, unless one that works is there, and give the exit code."""
    if sys.version_info < OLDEST_PYTHON:
        return failed("this is Python " + sys.version.split()[0], "3.11 is needed: make PYTHON=python3.11 …")
    python = os.path.join(directory, "bin", "python")
    probe = [python, "-m", "pip", "--version"]
    if os.path.exists(python) and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return 0
    has_ensurepip = importlib.util.find_spec("ensurepip") is not None
    venv.create(directory, with_pip=has_ensurepip, clear=True, symlinks=True)
    if has_ensurepip:
        return 0
    index = (setting("index-url") or "https://pypi.org/simple").rstrip("/")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            wheel = fetch_pip(f"{index}/pip/", Path(scratch))
        except (OSError, ValueError, LookupError) as error:
            remedy = "correct PIP_INDEX_URL, the proxy or the certificates; or: apt-get install python3-venv"
            return failed(f"pip cannot be had from {index} ({error})", remedy)
        install = [python, f"{wheel}/pip", "install", "--quiet", "--no-index", str(wheel)]
        return subprocess.run(install, check=False).returncode


def failed(problem: str, remedy: str) -> int:
    """Say what is wrong and what to do about it, and give the exit code of a failure."""
    print(f"{problem}: {remedy}", file=sys.stderr)
    return 1


def setting(name: str) -> str | None:
    """Give a setting as pip finds it: in the environment, else in the last of its files to name it."""
    user = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    own = os.environ.get("PIP_CONFIG_FILE", "")
    parser = configparser.RawConfigParser()
    parser.read(["/etc/xdg/pip/pip.conf", "/etc/pip.conf", f"{user}/pip/pip.conf", own])
    written = parser.get("install", name, fallback=None) or parser.get("global", name, fallback=None)
    return os.environ.get("PIP_" + name.upper().replace("-", "_")) or written


def fetch_pip(page: str, directory: Path) -> Path:
    """Put the newest wheel of pip that runs here into a directory, its checksum verified."""
    listing, page = fetch(page)
    wheels = [file for file in json.loads(listing)["files"] if runs_here(file)]
    newest = max(wheels, key=lambda file: [int(n) for n in WHEEL.findall(file["filename"])[0].split(".")])
    content, _ = fetch(urllib.parse.urljoin(page, newest["url"]))
    if hashlib.sha256(content).hexdigest() != newest["hashes"]["sha256"]:
        raise ValueError(f"{newest['filename']} has not the checksum that the index gives")
    wheel = directory / str(newest["filename"])
    wheel.write_bytes(content)
    return wheel


def runs_here(file: dict[str, Any]) -> bool:
    """Say whether a file of the index is a released wheel of pip for this Python."""
    bound = LOWER_BOUND.search(file.get("requires-python") or "")
    is_for_this = bound is None or int(bound[1]) <= sys.version_info.minor
    return is_for_this and not file.get("yanked") and WHEEL.fullmatch(file["filename"]) is not None


def fetch(url: str) -> tuple[bytes, str]:
    """Give what a URL holds, and where it was found after redirections."""
    request = urllib.request.Request(url, headers={"Accept": f"{JSON_PAGE}, */*;q=0.1"})
    trust = ssl.create_default_context(cafile=setting("cert"))
    with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
        return answer.read(), answer.url


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
