"""Whether a transaction that somebody recorded can have happened: who may write, and what the store says.

Every transaction of Mercurial writes a journal into the store, so that its directory is as young as the last
of them, and what strips changesets writes the changelog anew.
"""

import os

from pulseshim import Invocation, Suspicious, readable
from pulseshim_plugins.hg_options import HgOptions
from pulseshim_plugins.hg_repository import Repository
from pulseshim_plugins.trust import check_writer

# From the end of a transaction until our hook records it, other hooks may be at work.
_SLOWEST_HOOK = 3600.0


def store_directory(place: Repository) -> str:
    """Give the directory that who makes a transaction must be able to write to."""
    store = os.path.join(place.path, ".hg", "store")
    if os.path.isdir(store):
        return store
    return os.path.join(place.path, ".hg")


def check_transaction(invocation: Invocation, place: Repository, options: HgOptions) -> None:
    """Raise `Suspicious` where a transaction cannot have been."""
    if invocation.owner is None:
        return
    store = store_directory(place)
    check_writer(invocation, [store], options.trusted_users)
    if place.exists and os.stat(store).st_mtime < invocation.recorded_at.timestamp() - _SLOWEST_HOOK:
        raise _contradicted(invocation, place, "had no transaction since long before this one")


def check_loss(invocation: Invocation, place: Repository) -> None:
    """Raise `Suspicious` where a repository lacks changesets, and lost none since they were recorded."""
    if invocation.owner is None:
        return
    changelog = os.path.join(store_directory(place), "00changelog.i")
    try:
        changed = os.stat(changelog).st_mtime
    except FileNotFoundError:
        return
    if changed <= invocation.recorded_at.timestamp():
        raise _contradicted(invocation, place, "has not the changesets of this one, and has lost none since")


def _contradicted(invocation: Invocation, place: Repository, problem: str) -> Suspicious:
    return Suspicious(
        f"{readable(place.path)} {problem}, recorded by user {invocation.owner}",
        "if the repository was restored from a copy, this may be true all the same",
    )
