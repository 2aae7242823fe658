"""Whose word is taken about a repository, and for what.

Any local user can write into the spool, so what a file there says is worth what its owner could do for real.
Who is trusted (root, the account of the runtime, and whom the settings name) is believed about everything.
Others are believed about the repositories that they may write to.
"""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence

from pulseshim import Invocation, SettingsError, State, Suspicious, User, readable, user_called

_BELIEVED = "believed:"


def check_users(names: Sequence[str], where: str) -> None:
    """Raise `SettingsError` for a name that no user of this machine has."""
    for name in names:
        if user_called(name) is None:
            raise SettingsError(
                f"{where}: there is no user {name!r}", "name one of this machine, or a number"
            )


def is_trusted(owner: int | None, names: Sequence[str]) -> bool:
    """Say whether a user is believed about everything; None: a person vouches for what is read."""
    if owner in (None, 0, os.geteuid()):
        return True
    return any(user.number == owner for name in names if (user := user_called(name)))


def check_writer(invocation: Invocation, directories: Iterable[str], names: Sequence[str]) -> None:
    """Raise `Suspicious` where who wrote an invocation may not write to all of the directories."""
    if (user := _doubted(invocation, names)) is None:
        return
    for directory in directories:
        if not user.may_write(directory):
            raise Suspicious(
                f"user {user} recorded this and may not write to {readable(directory)}",
                "if it is true, let that user write there or name it in trusted_users",
            )


def check_reader(invocation: Invocation, directories: Iterable[str], names: Sequence[str]) -> None:
    """Raise `Suspicious` where directories lead to what the writer of an invocation may not read."""
    if (user := _doubted(invocation, names)) is None:
        return
    for directory in directories:
        if not user.may_read(directory):
            raise Suspicious(
                f"the repository's history is in {readable(directory)}, which user {user} may not read",
                "if that is meant, let that user read it or name it in trusted_users",
            )


def pusher(invocation: Invocation, claimed: str, directory: str, names: Sequence[str]) -> str:
    """Give who pushed: what the environment claims, where it was a server that recorded it.

    That is a user who is trusted or owns the directory. Anybody else pushed under their own name.
    """
    user = _doubted(invocation, names)
    return claimed if user is None or user.owns(directory) else user.name


def was_believed(invocation: Invocation, state: State, repository: str) -> bool:
    """Say whether the writer of an invocation was believed about a repository, which may be gone now."""
    return str(invocation.owner) in state.get(_BELIEVED + repository)


def remember_believed(invocation: Invocation, state: State, repository: str, names: Sequence[str]) -> None:
    """Take note that the writer of an invocation was believed about a repository, for when it is gone."""
    if not is_trusted(invocation.owner, names):
        known = state.get(_BELIEVED + repository)
        state.set(_BELIEVED + repository, {**known, str(invocation.owner): "1"})


def check_url(
    url: str,
    file: str,
    before: os.stat_result,
    repositories: Mapping[str, str],
    names: Sequence[str],
) -> None:
    """Raise `Suspicious` for a public URL that a repository gives itself by a file its owner had no right to.

    `before` is the file's status from before it was read. Who is trusted may name any URL, and who owns the
    directory of a prefix in `repositories` those below its URL, so long as nobody else can write to the file.
    """
    status = os.lstat(file)
    owners = {
        os.stat(prefix).st_uid
        for prefix, public in repositories.items()
        if f"{url}/".startswith(public.rstrip("/") + "/") and os.path.isdir(prefix)
    }
    known = is_trusted(status.st_uid, names) or status.st_uid in owners
    same = (before.st_ino, before.st_ctime_ns) == (status.st_ino, status.st_ctime_ns)
    whole = same and stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    if known and whole and User(status.st_uid).alone_writes(file):
        return
    user = User(status.st_uid)
    raise Suspicious(
        f"the repository names its own public URL {url}, in a file that user {user} or others can write",
        "map its directory in repositories, or name that user in trusted_users and let nobody else write it",
    )


def _doubted(invocation: Invocation, names: Sequence[str]) -> User | None:
    """Give who wrote an invocation, where they are not believed about everything; None: they are."""
    owner = invocation.owner
    return None if owner is None or is_trusted(owner, names) else User(owner)
