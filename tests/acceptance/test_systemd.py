"""The units that are shipped: systemd understands every line, and finds little left to take away."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "contrib" / "hooks" / "systemd"
SERVICES = ("pulseshim.service", "pulseshim-drain.service")
# Tenths of what systemd calls exposure, from 0 (nothing) to 100. Above 20 it no longer says OK.
MOST_EXPOSED = "20"


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd-analyze, which must be there: an unchecked unit is not to be shipped."""
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is not installed: install the package systemd"
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    return subprocess.run([program, *arguments], env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Give the units in a directory, with a program that is there in place of /opt/pulseshim's."""
    program = tmp_path / "pulseshim"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in UNITS.glob("pulseshim*"):
        text = unit.read_text().replace("/opt/pulseshim/bin/pulseshim", str(program))
        (tmp_path / unit.name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", [*SERVICES, "pulseshim-drain.timer"])
def test_systemd_understands_each_line_of_a_unit(units: Path, name: str) -> None:
    """A word it does not know is only a warning when it starts, and protects nothing."""
    done = analyzed("verify", "--man=no", str(units / name))

    about_ours = [line for line in done.stderr.splitlines() if "pulseshim" in line]
    assert (done.returncode, about_ours) == (0, [])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened(units: Path, name: str) -> None:
    """By the judgement of systemd itself."""
    done = analyzed("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(units / name))

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_service_runs_as_an_account_of_its_own_and_writes_its_store_alone() -> None:
    """Hooks of other users reach the spool through it; nothing else is writable."""
    for name in SERVICES:
        lines = (UNITS / name).read_text().splitlines()

        assert {"User=pulseshim", "StateDirectory=pulseshim", "StateDirectoryMode=0755"} <= set(lines)
        assert not any(line.startswith(("ReadWritePaths=", "Environment=")) for line in lines)


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_starts_a_verb(name: str) -> None:
    """What it starts is understood by the command line."""
    (command,) = (line for line in (UNITS / name).read_text().splitlines() if line.startswith("ExecStart="))
    _, *words = command.split()

    done = subprocess.run(
        [sys.executable, "-m", "pulseshim", *words[2:], "--help"], capture_output=True, check=False
    )

    assert done.returncode == 0
    assert words[:2] == ["--config", "/etc/pulseshim/pulseshim.toml"]
