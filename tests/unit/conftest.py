"""What unit tests share."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Give a directory of a user whom permissions bind: root takes off its power for the test."""
    directory = Path(tempfile.mkdtemp(prefix="unprivileged-"))
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(directory, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield directory
    finally:
        for parent, directories, _ in os.walk(directory):
            for name in directories:
                (Path(parent) / name).chmod(0o700)
        if is_root:
            os.seteuid(0)
        shutil.rmtree(directory)
