"""The third-party plugin of examples/, installed beside pulseshim as anyone would install it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "pulseshim-gerrit"
MERGED = ("--change", "tools~main~I5a1e", "--project", "tools", "--branch", "main", "--newrev", "c0ffee")


@pytest.fixture(scope="module")
def environment(install: Callable[..., Path], build_wheel: Callable[[Path], Path], wheel: Path) -> Path:
    return install(wheel, build_wheel(EXAMPLE))


@pytest.fixture
def pulseshim(environment: Path, tmp_path: Path) -> Callable[..., str]:
    """Run a verb with the example turned on, and give what it prints."""
    settings = tmp_path / "pulseshim.toml"
    settings.write_text(f'[store]\ndirectory = "{tmp_path}/store"\n\n[plugins.gerrit]\n')

    def run(verb: str, *arguments: str) -> str:
        command = [str(environment / "bin" / "pulseshim"), verb, *arguments]
        environ = {**os.environ, "PULSESHIM_CONFIG": str(settings)}
        done = subprocess.run(
            command,
            env=environ,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_example_is_one_module_of_less_than_forty_lines() -> None:
    """A plugin is short: this one is what the guide for authors shows."""
    (module,) = [path for path in EXAMPLE.glob("*.py") if not path.name.startswith("test_")]

    assert len(module.read_text().splitlines()) < 40


def test_the_test_of_the_example_passes_where_both_are_installed(environment: Path, tmp_path: Path) -> None:
    """An author's test needs an installed pulseshim and nothing of its checkout."""
    shutil.copytree(EXAMPLE, tmp_path / "plugin")

    command = [str(environment / "bin" / "python"), "-I", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path / "plugin", check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_installed_example_is_listed_with_its_distribution_and_exchange(
    pulseshim: Callable[..., str],
) -> None:
    """An installed plugin is found by its entry point, without a word in pulseshim's own code."""
    listed = json.loads(pulseshim("plugins", "--json"))

    (gerrit,) = [plugin for plugin in listed if plugin["name"] == "gerrit"]
    assert (gerrit["distribution"], gerrit["version"]) == ("pulseshim-gerrit", "0.1.0")
    assert "exchange/gerrit/v1" in json.dumps(gerrit)


def test_what_gerrit_emits_is_published(pulseshim: Callable[..., str]) -> None:
    """From the hook of a third party to a confirmed message: nothing waits afterwards, nothing is parked."""
    recorded = json.loads(pulseshim("emit", "--strict", "--json", "gerrit", "--", *MERGED))

    pulseshim("drain")

    status = json.loads(pulseshim("status", "--json"))
    assert recorded["id"]
    assert (status["spool"]["count"], status["outbox"]["count"], status["parked"]["count"]) == (0, 0, 0)
    (published,) = status["exchanges"]
    assert (published["exchange"], published["confirmed"]) == ("exchange/gerrit/v1", 1)
