"""What one call of the command line works with: it lasts as long as the call."""

from pathlib import Path

import click
import pytest

from pulseshim.commands.session import Session
from pulseshim.errors import StoreUnavailable


def test_the_store_is_closed_when_the_command_ends(tmp_path: Path) -> None:
    """What was written is one file again, and nothing of it stays open."""
    session = Session()
    session.config = str(tmp_path / "pulseshim.toml")
    (tmp_path / "pulseshim.toml").write_text(f'[store]\ndirectory = "{tmp_path}/store"\n')

    with click.Context(click.Command("any")):
        store = session.store()
        assert store.parked.items() == []

    with pytest.raises(StoreUnavailable, match="closed"):
        store.parked.items()
