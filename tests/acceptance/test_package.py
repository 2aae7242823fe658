"""The wheel, as pip would install it on a machine that has no checkout."""

import os
import stat
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGES = {"pulseshim", "pulseshim_shims", "pulseshim_plugins"}


@pytest.fixture(scope="module")
def environment(install: Callable[..., Path], wheel: Path) -> Path:
    return install(wheel)


def run(environment: Path, program: str, *arguments: str) -> str:
    """Give what a program of the environment prints; it is started away from the checkout."""
    command = [str(environment / "bin" / program), *arguments]
    done = subprocess.run(command, cwd=environment, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_wheel_holds_three_packages_and_no_tests(wheel: Path) -> None:
    """What is installed is the product: no tests, no benchmarks, no folder of the checkout."""
    names = zipfile.ZipFile(wheel).namelist()

    folders = {name.partition("/")[0] for name in names}
    assert {folder for folder in folders if not folder.startswith("pulseshim-")} == PACKAGES
    assert [name for name in names if "test_" in name or "conftest" in name] == []


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_each_package_says_that_it_is_typed(wheel: Path, package: str) -> None:
    """A type checker reads the annotations of an installed package only where it finds py.typed."""
    names = zipfile.ZipFile(wheel).namelist()

    assert f"{package}/py.typed" in names


def test_the_licence_is_in_the_wheel(wheel: Path) -> None:
    """Who gets the package gets its licence."""
    names = zipfile.ZipFile(wheel).namelist()

    assert [name for name in names if name.endswith("/licenses/LICENSE")] != []


def test_the_git_hook_is_installed_and_may_be_run(environment: Path) -> None:
    """The hook comes with the package, byte for byte and with the right to be run."""
    source = Path(__file__).parents[2] / "contrib/hooks/git/post-receive"

    installed = environment / "share/pulseshim/hooks/git/post-receive"

    assert installed.read_bytes() == source.read_bytes()
    assert stat.S_IMODE(installed.stat().st_mode) & 0o111 == 0o111


def test_the_command_names_its_verbs(environment: Path) -> None:
    """An installed pulseshim says what it can do."""
    printed = run(environment, "pulseshim", "--help")

    verbs = {
        "emit",
        "run",
        "drain",
        "poll",
        "status",
        "parked",
        "replay",
        "plugins",
        "check",
        "declare",
        "hook",
    }
    assert (verbs | {"tail", "demo"}) - set(printed.split()) == set()


def test_every_module_can_be_imported_from_the_installed_packages(environment: Path) -> None:
    """Nothing leans on the checkout, where the folders shims and plugins can be imported, too."""
    script = (
        "import importlib, pkgutil\n"
        f"for package in map(importlib.import_module, {sorted(PACKAGES)!r}):\n"
        "    print(package.__file__)\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not found.name.endswith('.__main__'):\n"
        "            print(importlib.import_module(found.name).__file__)\n"
    )

    files = run(environment, "python", "-c", script).splitlines()

    assert len(files) > len(PACKAGES)
    assert [file for file in files if not file.startswith(os.fspath(environment))] == []


def test_every_plugin_of_ours_comes_in_by_the_door_that_all_use(environment: Path) -> None:
    """The entry points of the installed package name modules that are there."""
    script = (
        "from importlib.metadata import entry_points\n"
        "for point in entry_points(group='pulseshim'): print(point.name, point.load().__name__)\n"
    )

    printed = run(environment, "python", "-c", script).splitlines()

    assert "git pulseshim_plugins.git" in printed
