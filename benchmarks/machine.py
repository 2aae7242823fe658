"""What the figures were measured on, in general terms: no name and no path of a machine."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from pulseshim_plugins.hg_server import program

_VERSION = re.compile(r"\d+(?:\.\d+)+")


def machine() -> str:
    """Give processor, cores, and the versions of system, Python, RabbitMQ, git and Mercurial."""
    parts = [
        f"{_processor()}, {os.cpu_count()} cores",
        f"Linux {_version(platform.release())}",
        f"Python {platform.python_version()}",
        f"RabbitMQ {_rabbitmq()}",
        f"git {_said('git', '--version')}",
        f"Mercurial {_said(program(), '--version', '--quiet')}",
    ]
    return ", ".join(parts)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _rabbitmq() -> str:
    """Give the version of the server that the benchmarks start, which is the name of its directory."""
    named = os.environ.get("PULSESHIM_TEST_RABBITMQ_SERVER", "/usr/lib/rabbitmq/bin/rabbitmq-server")
    server = named if Path(named).exists() else shutil.which("rabbitmq-server")
    return _version(str(Path(server).resolve())) if server else "?"


def _said(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return _version(done.stdout)


def _version(text: str) -> str:
    found = _VERSION.search(text)
    return found[0] if found else "?"
