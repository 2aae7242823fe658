"""What pulseshim exports: complete, importable, described, and free of cost until it is used."""

import inspect
import subprocess
import sys
import typing
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import pulseshim

HEAVY = {
    "amqp",
    "apscheduler",
    "asyncio",
    "click",
    "dataclasses",
    "email",
    "git",
    "importlib.metadata",
    "inspect",
    "kombu",
    "msgspec",
    "pluggy",
    "prometheus_client",
    "re",
    "rich",
    "socket",
    "sqlite3",
    "ssl",
    "typing",
    "urllib",
    "watchdog",
}
MODULES = sorted(path.stem for path in Path(pulseshim.__file__).parent.glob("[a-z]*.py"))


def imported(*arguments: str) -> set[str]:
    """Give the modules that an interpreter imports on its way, without those that every one does."""
    bare = importtime("-c", "pass")
    return importtime(*arguments) - bare


def importtime(*arguments: str) -> set[str]:
    command = [sys.executable, "-I", "-X", "importtime", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("name", pulseshim.__all__)
def test_what_is_exported_can_be_imported_and_is_described(name: str) -> None:
    """From the package itself, by the name of its definition."""
    member = getattr(pulseshim, name)

    assert inspect.getdoc(member)
    assert getattr(import_module(f"pulseshim.{pulseshim._HOMES[name]}"), name) is member


def test_the_list_of_exported_names_is_the_one_that_is_loaded_from() -> None:
    """In order, so that a name is found and a missing one is seen."""
    assert sorted(pulseshim._HOMES) == pulseshim.__all__ == sorted(pulseshim.__all__)


def test_type_checkers_see_the_same_names() -> None:
    """What is imported for them alone is what is exported."""
    source = inspect.getsource(pulseshim)
    block = source.partition("if TYPE_CHECKING:\n")[2].partition("\n\n")[0]

    names = {name.strip() for line in block.splitlines() for name in line.partition(" import ")[2].split(",")}

    assert names == set(pulseshim.__all__)


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    """As of any module; the version is there though it is no name for plugins."""
    with pytest.raises(AttributeError, match="module 'pulseshim' has no attribute 'Relay'"):
        _ = pulseshim.Relay

    assert pulseshim.__version__


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_described(name: str) -> None:
    """A module, its classes and functions, and the methods of those."""
    module = import_module(f"pulseshim.{name}")

    assert undocumented(module) == []


def undocumented(module: ModuleType) -> list[str]:
    """Give what has no docstring of its own. A protocol says at its head what its methods do."""
    missing = [] if module.__doc__ else [module.__name__]
    for name, member in vars(module).items():
        if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
            continue
        if not inspect.isclass(member):
            missing += [] if not inspect.isfunction(member) or member.__doc__ else [name]
            continue
        missing += [] if member.__doc__ else [name]
        if not getattr(member, "_is_protocol", False):
            missing += [
                f"{name}.{method}"
                for method, value in vars(member).items()
                if not method.startswith("_") and inspect.isroutine(value) and not inspect.getdoc(value)
            ]
    return missing


def test_importing_pulseshim_imports_nothing_else() -> None:
    """It happens inside other people's pushes."""
    assert imported("-c", "import pulseshim") == {"pulseshim"}


def test_recording_imports_nothing_heavy(tmp_path: Path) -> None:
    """`emit` costs about the start of an interpreter, with settings and spool where they should be."""
    spool = tmp_path / "spool"
    for name in ("tmp", "new"):
        (spool / name).mkdir(parents=True)
    config = tmp_path / "pulseshim.toml"
    config.write_text(f'[store]\ndirectory = "{tmp_path}"\n')

    modules = imported("-m", "pulseshim", "emit", "--config", str(config), "tests", "a")

    assert len(list((spool / "new").iterdir())) == 1
    assert HEAVY & (modules - tomllib_imports()) == set()
    assert not any(module.startswith("pulseshim_") for module in modules)


def tomllib_imports() -> set[str]:
    """Give what reading a settings file cannot do without."""
    return imported("-c", "import runpy, tomllib")


def test_annotations_of_what_is_exported_can_be_resolved() -> None:
    """msgspec, pluggy and authors' tools read them at run time."""
    for name in ("Envelope", "Exchange", "Feed", "Invocation", "Parked", "PollSource", "Problem", "Settings"):
        assert typing.get_type_hints(getattr(pulseshim, name))
