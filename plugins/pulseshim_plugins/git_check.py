"""What is wrong with the repositories whose pushes are announced, for `check`."""

from collections.abc import Iterator
from pathlib import Path

from pulseshim import Problem, Settings, State, seconds
from pulseshim.errors import PulseshimError
from pulseshim_plugins.git_hook_check import hook_problems
from pulseshim_plugins.git_options import GitOptions
from pulseshim_plugins.git_push import Drift, drift

_REFS = "refs:"
_NAMED = 3
# Who asks waits for the answer, and a repository's owner can make git wait for ever.
_PATIENCE = 60.0


def problems(settings: Settings, state: State, waiting: int) -> Iterator[Problem]:
    """Give what is wrong with the hook of each repository, and which refs are not as they were announced.

    While invocations wait to be read, what was announced is not complete, and nothing is said of it.
    """
    timeout = min(seconds(settings.options("git", GitOptions).timeout), _PATIENCE)
    for key in state.keys():  # noqa: SIM118 - a state is no mapping
        if not key.startswith(_REFS):
            continue
        path = key.removeprefix(_REFS)
        if not Path(path).exists():
            remedy = "if it was moved, install the hook where it is now; else there is nothing to do"
            yield Problem(path, "the repository is not there any more", remedy, "warning")
            continue
        try:
            yield from hook_problems(Path(path), settings.directory / "spool")
            changed = [] if waiting else drift(path, state.get(key), timeout=timeout)
        except PulseshimError as error:
            yield Problem(path, error.problem, error.remedy)
            continue
        except Exception as error:  # noqa: BLE001 - its owner must not hide what is wrong with the others
            text = f"it cannot be looked at ({type(error).__name__}: {error})"
            yield Problem(path, text, "see what its owner did to its hook and its configuration")
            continue
        if changed:
            yield _drifted(path, changed)


def _drifted(path: str, changed: list[Drift]) -> Problem:
    names = ", ".join(each.ref for each in changed[:_NAMED]) + ("…" if len(changed) > _NAMED else "")
    return Problem(
        path,
        f"{len(changed)} refs changed without a push that the hook saw ({names})",
        "normal for a mirror and after git update-ref; take note of it by pulseshim hook install git REPO",
        "warning",
    )
