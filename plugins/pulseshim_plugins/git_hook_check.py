"""What is wrong with the hook of a git repository, for `check`."""

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from pulseshim import Problem
from pulseshim.errors import CommandFailed
from pulseshim_plugins.git_hook import HookState, show
from pulseshim_plugins.git_hook_file import is_ours
from pulseshim_plugins.installation import read_hook

_INSTALL = "pulseshim hook install git"


def hook_problems(repository: Path, spool: Path) -> list[Problem]:
    """Give what keeps the pushes into a repository from being recorded in a spool, each with its remedy."""
    try:
        state = show(repository)
    except CommandFailed as error:
        return [Problem(str(repository), error.problem, error.remedy)]
    if not state.is_ours:
        return [_not_there(repository, state)]
    return [*_of_file(repository, state), *_of_spool(repository, state, spool)]


def _not_there(repository: Path, state: HookState) -> Problem:
    """Say that git runs no hook of ours, and why where that can be known."""
    own = state.place.git_dir / "hooks" / "post-receive"
    if own != state.place.path and _is_ours(own):
        text = f"git takes hooks from {state.place.path.parent} (core.hooksPath) and runs not {own}"
    elif state.version == "foreign":
        text = f"{state.place.path} is not pulseshim's hook: pushes are not recorded"
    else:
        text = "the post-receive hook is not installed: pushes are not recorded"
    return Problem(str(repository), text, f"{_INSTALL} {repository}")


def _is_ours(path: Path) -> bool:
    try:
        return is_ours(read_hook(path))
    except OSError:
        return False


def _of_file(repository: Path, state: HookState) -> Iterator[Problem]:
    subject, path = str(repository), state.place.path
    again = f"{_INSTALL} {repository}"
    if not state.executable:
        yield Problem(subject, f"{path} is not executable: git does not run it", f"chmod 0755 {path}")
    if not os.access(state.interpreter, os.X_OK):
        yield Problem(subject, f"{state.interpreter}, which runs {path}, is not there", again)
    if state.version == "outdated":
        text = f"{path} is not the hook that this version of pulseshim ships"
        yield Problem(subject, text, again, "warning")
    if state.version == "edited":
        text = f"{path} was edited since it was installed"
        yield Problem(subject, text, f"move your lines elsewhere, delete it, then {again}", "warning")
    if state.previous is not None and not os.path.lexists(state.previous):
        text = f"{state.previous}, the hook that was there before, is gone"
        yield Problem(
            subject, text, "put it back, or remove pulseshim's hook and install it again", "warning"
        )
    if state.drain and not os.access(state.drain[0], os.X_OK):
        yield Problem(subject, f"{state.drain[0]}, which {path} starts, is not there", again)


def _of_spool(repository: Path, state: HookState, spool: Path) -> Iterator[Problem]:
    subject = str(repository)
    if Path(state.spool).resolve() != spool.resolve():
        text = f"the hook records into {state.spool}, and the spool is {spool}"
        yield Problem(subject, text, f"{_INSTALL} {repository}")
        return
    owner = state.place.git_dir.stat().st_uid
    for directory in (spool / "tmp", spool / "new"):
        refused = _refuses(directory, owner)
        if refused is not None:
            text = (
                f"the repository's owner (user {owner}) may not write into {directory} because of {refused}"
            )
            remedy = f"set store.recorders, and let that user through to {spool}"
            yield Problem(subject, text, remedy)
            return


def _refuses(directory: Path, user: int) -> str | None:
    """Give the file whose permission bits keep a user from adding files to a directory, if any."""
    for place in reversed(directory.parents):
        if not _allowed(place, user, stat.S_IXOTH):
            return str(place)
    return None if _allowed(directory, user, stat.S_IWOTH | stat.S_IXOTH) else str(directory)


def _allowed(path: Path, user: int, wanted: int) -> bool:
    """Say whether a user has all of some rights, given as those of others, as far as permission bits say."""
    try:
        status = path.stat()
    except OSError:
        return False
    if user == 0:
        return True
    if status.st_uid == user:
        return status.st_mode >> 6 & wanted == wanted
    if status.st_gid in _groups(user):
        return status.st_mode >> 3 & wanted == wanted
    return status.st_mode & wanted == wanted


def _groups(user: int) -> list[int]:
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return []
    return os.getgrouplist(entry.pw_name, entry.pw_gid)
