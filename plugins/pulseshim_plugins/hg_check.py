"""What is wrong with the hooks of the repositories whose transactions are announced, for `check`."""

from collections.abc import Iterator
from pathlib import Path

from pulseshim import Problem, Settings, State
from pulseshim.errors import CommandFailed
from pulseshim_plugins.hg_commands import trust_warning
from pulseshim_plugins.hg_hook import show

_REPOSITORY = "repository:"
_INSTALL = "pulseshim hook install hg"


def problems(settings: Settings, state: State) -> Iterator[Problem]:
    """Give what keeps the transactions of each repository from being recorded."""
    for key in state.keys():  # noqa: SIM118 - a state is no mapping
        if key.startswith(_REPOSITORY) and state.get(key).get("url"):
            path = key.removeprefix(_REPOSITORY)
            try:
                yield from hook_problems(Path(path), settings.directory / "spool")
            except Exception as error:  # noqa: BLE001 - its owner must not hide what is wrong with the others
                text = f"it cannot be looked at ({type(error).__name__}: {error})"
                yield Problem(path, text, "see what its owner did to its hgrc")


def hook_problems(repository: Path, spool: Path) -> Iterator[Problem]:
    """Give what is wrong with the hook of a repository that records into a spool."""
    subject, again = str(repository), f"{_INSTALL} {repository}"
    if not repository.exists():
        remedy = "if it was moved, install the hook where it is now; else there is nothing to do"
        yield Problem(subject, "the repository is not there any more", remedy, "warning")
        return
    try:
        state = show(repository)
    except (CommandFailed, OSError) as error:
        yield Problem(subject, str(error), again)
        return
    if state.version == "absent":
        text = "its hgrc does not have the hook: unless the server's own has it, pushes are not recorded"
        yield Problem(subject, text, again, "warning")
        return
    if state.version == "missing":
        yield Problem(subject, f"its hgrc names a hook that is not there: {state.file}", again)
    if state.version == "outdated":
        text = "the hook is not the one that this version of pulseshim ships, or not installed as it is now"
        yield Problem(subject, text, again, "warning")
    if Path(state.spool).resolve() != spool.resolve():
        yield Problem(subject, f"the hook records into {state.spool}, and the spool is {spool}", again)
    if warning := trust_warning(state):
        text, _, remedy = warning.partition(". ")
        yield Problem(subject, text, remedy, "warning")
