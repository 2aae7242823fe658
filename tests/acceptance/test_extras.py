"""An installation with one extra and nothing else: what pip would not have installed cannot be imported."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.bugzilla_server import BugzillaServer
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
OURS = {"pulseshim", "pulseshim_shims", "pulseshim_plugins"}

IN_ANOTHER_PROGRAM = {"pulseshim_plugins.buildbot_reporter"}
"""Modules that run inside Buildbot, and not where pulseshim is installed with an extra."""

PROGRAM = """\
import importlib, json, sys

absent, modules, arguments = json.loads(sys.argv[1])

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for name in modules:
    importlib.import_module(name)
from pulseshim.commands import main
sys.argv[1:] = arguments
sys.exit(main())
"""


def installed_with(extra: str) -> set[str]:
    """Give the names of the distributions that `pip install pulseshim[extra]` brings along."""
    found: set[str] = set()
    asked: set[tuple[str, str]] = set()
    waiting = [("pulseshim", ""), ("pulseshim", extra)]
    while waiting:
        name, of = one = waiting.pop()
        if one in asked:
            continue
        asked.add(one)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # it is for another platform
            continue
        found.add(re.sub(r"[-_.]+", "-", name).lower())
        needed = [requirement for line in lines if _applies(requirement := Requirement(line), of)]
        waiting += [(one.name, extra) for one in needed for extra in ("", *one.extras)]
    return found


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def absent_with(extra: str) -> list[str]:
    """Give the top-level names of what the environment of the tests has beyond that."""
    there = installed_with(extra)
    return sorted(
        name
        for name, distributions in packages_distributions().items()
        if name not in OURS | sys.stdlib_module_names
        and not there & {re.sub(r"[-_.]+", "-", one).lower() for one in distributions}
    )


def modules_of(plugin: str) -> list[str]:
    """Give the modules of a plugin and its shim."""
    paths = [*ROOT.glob(f"*/pulseshim_*/{plugin}.py"), *ROOT.glob(f"*/pulseshim_*/{plugin}_*.py")]
    return sorted({f"{path.parent.name}.{path.stem}" for path in paths} - IN_ANOTHER_PROGRAM)


def run_with_only(plugin: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Import all of a plugin and run a verb, as if only its extra were installed."""
    told = json.dumps([absent_with(plugin), modules_of(plugin), arguments])
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, told], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def bugzilla() -> Iterator[BugzillaServer]:
    server = BugzillaServer()
    yield server
    server.close()


def configure(root: Path, table: str) -> list[str]:
    """Write settings with one plugin; give the arguments that name them."""
    (root / "pulseshim.toml").write_text(f'[store]\ndirectory = "{root / "store"}"\n{table}\n')
    return ["--config", str(root / "pulseshim.toml")]


@pytest.mark.parametrize("plugin", ["bugzilla", "buildbot", "git", "hg"])
def test_a_plugin_needs_no_more_than_its_extra(tmp_path: Path, plugin: str) -> None:
    """Each of its modules can be imported, and it is sound, where no other package of the tests can be."""
    settings = configure(tmp_path, "")

    done = run_with_only(plugin, "plugins", "--json", *settings)

    assert "Traceback" not in done.stderr, done.stderr
    failures = {row["name"]: row["failure"] for row in json.loads(done.stdout)}
    assert failures[plugin] is None
    assert {"pytest", "hypothesis", "twisted"} <= set(absent_with(plugin))


def test_bugzilla_is_polled_with_its_extra_alone(tmp_path: Path, bugzilla: BugzillaServer) -> None:
    """What is imported only when it is used is there, too."""
    settings = configure(tmp_path, f'[plugins.bugzilla.servers.main]\nurl = "{bugzilla.url}"\nchanges = true')
    bugzilla.file(count=2)

    done = run_with_only("bugzilla", "poll", "bugzilla", "--since", "9w", *settings)

    assert (done.returncode, "No module named" in done.stderr) == (0, False), done.stderr
    assert "/rest/bug" in bugzilla.paths()


def test_a_buildbot_is_asked_for_with_its_extra_alone(tmp_path: Path) -> None:
    """All that is missing is the master."""
    url = f"http://127.0.0.1:{free_port()}/"
    settings = configure(tmp_path, f'[plugins.buildbot.masters.ci]\nurl = "{url}"')

    done = run_with_only("buildbot", "poll", "buildbot", *settings)

    assert (done.returncode, f"{url} does not answer" in done.stderr) == (1, True), done.stderr
