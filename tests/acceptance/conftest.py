"""Environments of their own, with the packages that users get installed in them."""

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def build_wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Build the wheel of a project, without a network."""

    def build(project: Path) -> Path:
        directory = tmp_path_factory.mktemp("wheel")
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
        (wheel,) = directory.glob("*.whl")
        return wheel

    return build


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make an environment, install wheels into it, and give its directory.

    What the wheels depend on comes from the environment of the tests, by a path file: it is looked at after
    the new environment's own packages, and the editable pulseshim in it is not found that way.
    """

    def into_new_environment(*wheels: Path) -> Path:
        environment = tmp_path_factory.mktemp("environment")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
        python = environment / "bin" / "python"
        (packages,) = environment.glob("lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
        ]
        subprocess.run([*pip, "--ignore-installed", *map(str, wheels)], check=True)
        return environment

    return into_new_environment


@pytest.fixture(scope="session")
def wheel(build_wheel: Callable[[Path], Path]) -> Path:
    """Build pulseshim's wheel."""
    return build_wheel(ROOT)
