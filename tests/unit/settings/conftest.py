"""A directory to find settings in."""

from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty directory that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
