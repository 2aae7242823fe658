"""Whether a push that somebody recorded can have happened: who may write there, and what the repository says.

The repository is asked only for what cannot be true, never for what need not be any more: refs move on, and
objects are collected. What changed leaves a younger time behind: on the directory of a ref that was set or
deleted, and on those of objects that came or went.
"""

import os
from collections.abc import Iterator, Sequence

from pulseshim import Invocation, Suspicious, readable
from pulseshim_plugins.git_objects import current_refs, find
from pulseshim_plugins.git_options import GitOptions
from pulseshim_plugins.git_repository import Repository
from pulseshim_plugins.git_update import Line
from pulseshim_plugins.trust import check_reader, check_writer

# From the moment a ref is set until our hook records it, other hooks may be at work.
_SLOWEST_HOOK = 3600.0
_LONGEST_LIST = 1 << 16
_LENDERS = 20


def check_push(
    invocation: Invocation, repository: Repository, lines: Sequence[Line], options: GitOptions
) -> None:
    """Raise `Suspicious` where a push, or a baseline (no lines), cannot have been."""
    if invocation.owner is None:
        return
    for line in lines:
        if not line.ref.startswith("refs/") or ".." in line.ref.split("/"):
            raise Suspicious(f"{readable(line.ref)} is no ref that git lets anybody push", "discard it")
    places = _places(repository.path, lines)
    check_writer(invocation, places, options.trusted_users)
    if not repository.exists:
        return
    check_reader(invocation, _lenders(repository.path), options.trusted_users)
    problem = _contradiction(repository, lines, invocation.recorded_at.timestamp())
    if problem:
        raise Suspicious(
            f"{readable(repository.path)} {problem}, recorded by user {invocation.owner}",
            "if the repository was restored from a copy, this may be true all the same",
        )


def _places(path: str, lines: Sequence[Line]) -> set[str]:
    """Give the directories that who makes such a push must be able to write to."""
    table = os.path.join(path, "reftable")
    if os.path.isdir(table):
        return {table}
    if not os.path.isdir(path):
        return {path}
    return {_place(path, line.ref) for line in lines} or {os.path.join(path, "refs")}


def _place(path: str, ref: str) -> str:
    """Give the directory that a ref is in, or would be."""
    place = os.path.dirname(os.path.join(path, ref))
    while place != path and not os.path.isdir(place):
        place = os.path.dirname(place)
    return place


def _lenders(path: str) -> list[str]:
    """Give the directories outside of a repository that it takes objects and refs from."""
    found = [os.path.join(path, "objects"), os.path.join(path, "refs")]
    places = [place for place in map(os.path.realpath, found) if not place.startswith(path + "/")]
    stores = [found[0]]
    for store in stores:
        for lent in _alternates(store):
            if lent not in stores:
                stores.append(lent)
        if len(stores) > _LENDERS:
            raise Suspicious(f"{readable(path)} takes objects from more than {_LENDERS} others", "discard it")
    return places + stores[1:]


def _alternates(store: str) -> Iterator[str]:
    try:
        with open(os.path.join(store, "info", "alternates"), "rb", opener=_open_file) as file:
            text = os.fsdecode(file.read(_LONGEST_LIST))
    except OSError:
        return
    for line in text.splitlines():
        if line and not line.startswith("#"):
            yield os.path.realpath(os.path.join(store, line))


def _open_file(path: str, flags: int) -> int:
    """Open a file that may be a pipe, which nobody is to be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def _contradiction(repository: Repository, lines: Sequence[Line], recorded_at: float) -> str:
    """Give what a repository says against a push, empty where it says nothing."""
    path = repository.path
    lacking = [line.new for line in lines if line.new and _may_lack(path, line.new, recorded_at)]
    missing = set(lacking) - find(repository, lacking).keys()
    if missing:
        return f"has no object {min(missing)}, and has lost none since a push of it was recorded"
    resting = [line for line in lines if _rests(path, line, recorded_at - _SLOWEST_HOOK)]
    if resting:
        refs, symbolic = current_refs(repository)
        for line in resting:
            ref = readable(line.ref)
            if ref not in symbolic and refs.get(ref) != line.new:
                return f"has had another {ref} since before a push of it was recorded"
    return ""


def _may_lack(path: str, new: str, recorded_at: float) -> bool:
    """Say whether an object is not seen at first sight, and no objects of the repository went since."""
    store = os.path.join(path, "objects")
    own = os.path.join(store, new[:2])
    if os.path.exists(os.path.join(own, new[2:])):
        return False
    return _changed(own, os.path.join(store, "pack"), store) <= recorded_at


def _rests(path: str, line: Line, since: float) -> bool:
    """Say whether nothing happened to a ref since a time. A push that is read at once is told by its file."""
    table = os.path.join(path, "reftable")
    place = table if os.path.isdir(table) else _place(path, line.ref)
    return _changed(place, os.path.join(path, "packed-refs")) < since


def _changed(*paths: str) -> float:
    """Give when the youngest of some paths changed, in seconds since 1970; 0 where none is there."""
    times = [0.0]
    for path in paths:
        try:
            times.append(os.stat(path).st_mtime)
        except OSError:
            continue
    return max(times)
