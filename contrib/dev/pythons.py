"""Run the tests on each Python from 3.11 to 3.14 that this machine has, each in an environment of its own.

    python contrib/dev/pythons.py [ARGUMENT OF PYTEST]…

Looks on PATH and where pyenv puts its versions, says what it found and what is missing, and ends with 1
where the tests failed on one. The environments are kept in .venv/pythons.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".venv" / "pythons"


def found(version: str) -> str | None:
    """Give the path of a Python of a version that starts; None where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    own = sorted(pyenv.glob(f"{version}.*/bin/python{version}"), key=lambda path: _numbers(path.parts[-3]))
    for python in (shutil.which(f"python{version}"), *map(str, reversed(own))):
        if python and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def environment(version: str, python: str) -> Path:
    """Make the environment of a version, or bring it up to date, and give its directory of programs."""
    directory = PLACE / version
    pip = [
        str(directory / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([python, "-m", "venv", str(directory)], check=True)
    subprocess.run([*pip, "pip>=25.1"], check=True)
    subprocess.run([*pip, "--editable", ".[all]", "--group", "test"], cwd=ROOT, check=True)
    return directory / "bin"


def main(arguments: list[str]) -> int:
    """Run the tests on each version that is there, and say how each went."""
    results = {}
    for version in VERSIONS:
        python = found(version)
        if python is None:
            results[version] = "not on this machine"
            continue
        print(f"Python {version}: {python}", flush=True)
        programs = environment(version, python)
        # The tests start programs of this environment by name, too.
        environ = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        tests = [str(programs / "pytest"), "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(tests, cwd=ROOT, env=environ, check=False)
        results[version] = "passed" if done.returncode == 0 else f"failed ({done.returncode})"
    for version, result in results.items():
        print(f"Python {version}: {result}")
    return int(any(result.startswith("failed") for result in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
