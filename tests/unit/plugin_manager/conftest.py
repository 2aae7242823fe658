"""A place to install plugins in."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.plugin_manager.installed import PREAMBLE, Install


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution `<name>-dist` 1.2 that holds one module and registers it as a plugin."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def put(name: str, source: str) -> None:
        module = f"tests_plugin_{name}"
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(PREAMBLE + source.replace("NAME", name))
        metadata = tmp_path / f"{name}_dist-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[pulseshim]\n{name} = {module}\n")
        importlib.invalidate_caches()

    yield put
    for module in modules:
        sys.modules.pop(module, None)
