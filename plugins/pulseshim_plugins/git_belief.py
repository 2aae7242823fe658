"""Whether a push that somebody recorded can have happened: who may write there, and what the repository says.

The repository is asked only for what cannot be true, never for what need not be any more: refs move on, and
objects are collected. What changed leaves a younger time behind: on the directory of a ref that was set or
deleted, and on those of objects that came or went.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence

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
_LINKS = 1000
# Where git looks for packs, loose objects and graphs of commits.
_PARTS = ("pack", "pack/multi-pack-index.d", "info", "info/commit-graphs", *(f"{n:02x}" for n in range(256)))


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
    check_history(invocation, repository, options)
    problem = _contradiction(repository, lines, invocation.recorded_at.timestamp())
    if problem:
        raise Suspicious(
            f"{readable(repository.path)} {problem}, recorded by user {invocation.owner}",
            "if the repository was restored from a copy, this may be true all the same",
        )


def check_history(invocation: Invocation, repository: Repository, options: GitOptions) -> None:
    """Raise `Suspicious` where a repository takes its history from what who recorded this may not read.

    It is to be asked before and after that is read, since the repository may be changed in between.
    """
    check_reader(invocation, _lenders(repository.path), options.trusted_users)


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


def _lenders(path: str) -> Iterator[str]:
    """Give the places outside of a repository that it takes objects and refs from, as they are found."""
    found = [os.path.join(path, "objects"), os.path.join(path, "refs")]
    yield from _outside(path, found)
    stores, links = found[:1], 0
    for store in stores:
        for lent in _alternates(store):
            if lent not in stores:
                stores.append(lent)
                yield lent
            if len(stores) > _LENDERS:
                raise Suspicious(
                    f"{readable(path)} takes objects from more than {_LENDERS} others", "discard it"
                )
        for place in _outside(path, _links(store)):
            yield place
            links += 1
            if links > _LINKS:
                raise Suspicious(
                    f"{readable(path)} has more than {_LINKS} links among its objects", "discard it"
                )


def _outside(path: str, places: Iterable[str]) -> Iterator[str]:
    """Give the real paths of those places that are not within a directory."""
    return (place for place in map(os.path.realpath, places) if not place.startswith(path + "/"))


def _links(store: str) -> Iterator[str]:
    """Give the links that git would follow in an object store."""
    for part in _PARTS:
        place = os.path.join(store, part)
        if os.path.islink(place):
            yield place
        try:
            with os.scandir(place) as entries:
                yield from (entry.path for entry in entries if entry.is_symlink())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            # What cannot be listed may hold a link all the same, and git opens objects by their names.
            raise Suspicious(
                f"{readable(place)} cannot be looked through ({error.strerror})", "correct that, then retry"
            ) from error


def _alternates(store: str) -> Iterator[str]:
    """Give the stores that another one names; refuse a list in which git could see others."""
    store = os.path.realpath(store)
    file = os.path.join(store, "info", "alternates")
    try:
        with open(file, "rb", opener=_open_file) as stream:
            regular = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            text = stream.read(_LONGEST_LIST + 1) if regular else b""
    except OSError:
        return
    lines = text.partition(b"\0")[0].split(b"\n")
    if not regular or len(text) > _LONGEST_LIST or any(line.startswith(b'"') for line in lines):
        raise Suspicious(
            f"{readable(file)} is longer than {_LONGEST_LIST} bytes, has quoted lines or is no file",
            "name the other repositories there plainly, one a line, then retry",
        )
    for line in lines:
        if line and not line.startswith(b"#"):
            place = os.path.join(store, os.fsdecode(line))
            yield os.path.realpath(place)
            # Older git leaves out `..` and what is before it, be that a link or not.
            yield os.path.realpath(os.path.normpath(place))


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
