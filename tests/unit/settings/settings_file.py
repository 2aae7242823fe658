"""A settings file, and the error that reading it ends in."""

from pathlib import Path

import pytest

from pulseshim import SettingsError
from pulseshim.settings import load


def write(path: Path, text: str | bytes) -> str:
    """Write a settings file and give its path."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def refusal(path: str | None, environ: dict[str, str] | None = None) -> SettingsError:
    """Give the error that loading ends in."""
    with pytest.raises(SettingsError) as raised:
        load(path, environ or {})
    return raised.value
