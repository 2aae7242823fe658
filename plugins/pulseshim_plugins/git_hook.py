"""Putting git's hook in place beside what is there, taking out only itself, and telling how it stands.

A hook that was there before is kept beside ours, untouched, as `post-receive-before-pulseshim`, and ours
turns into it after recording. (A name that begins with `post-receive.` would not do: drivers of several
hooks run or remove those.) Files appear by hard link and rename: a push meets the old hook or the new one.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pulseshim.errors import CommandFailed, StoreUnavailable
from pulseshim.recorder import record
from pulseshim_plugins.git_hook_file import HookFile, fill, is_edited, is_ours, parse
from pulseshim_plugins.git_place import HookPlace, find_place, references
from pulseshim_plugins.installation import (
    copy_file,
    make_directory,
    open_directory,
    read_hook,
    replace_file,
    shipped,
)

PREVIOUS = "post-receive-before-pulseshim"
"""The name under which a hook that was there before stays beside ours."""

_SHIPPED = "hooks/git/post-receive"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookState:
    """How the hook of a repository stands.

    `version` is `current`, `outdated` (untouched, but not the one this pulseshim ships), `edited` (ours, and
    changed by hand), `foreign` (not ours) or `absent`. The rest is empty where the hook is not ours.
    """

    place: HookPlace
    version: Literal["current", "outdated", "edited", "foreign", "absent"]
    executable: bool = False
    spool: str = ""
    drain: tuple[str, ...] = ()
    previous: Path | None = None
    interpreter: str = ""

    @property
    def is_ours(self) -> bool:
        """Say whether git, or whoever runs hooks here, would run pulseshim's."""
        return self.version in ("current", "outdated", "edited")


def show(repository: Path) -> HookState:
    """Tell where the hook of a repository runs, and what is there."""
    return _state(find_place(repository))


def install(repository: Path, *, spool: Path, interpreter: str, drain: Sequence[str] = ()) -> HookState:
    """Put the hook in place, or bring the one that is there up to date; give how it stands then.

    Raises `CommandFailed` where that would take something of somebody else's away.
    """
    place = find_place(repository)
    before = _state(place)
    if before.version == "edited":
        raise CommandFailed(f"{place.path} was edited since it was installed", _how_to_replace(before))
    if before.is_ours and place.path.is_symlink():
        raise CommandFailed(
            f"{place.path} leads to {place.path.resolve()}, which is pulseshim's and runs for others, too",
            "nothing is to be done for it to run here; to bring it up to date, install it where it is",
        )
    previous = b"" if before.previous is None else os.fsencode(before.previous.name)
    with _directory(place, make=True) as directory:
        if before.version == "foreign":
            _keep(place, directory)
            previous = os.fsencode(PREVIOUS)
        hook = HookFile(
            interpreter=interpreter,
            spool=os.fsencode(spool.absolute()),
            drain=tuple(os.fsencode(word) for word in drain),
            previous=previous,
        )
        text = fill(shipped(_SHIPPED), hook)
        replace_file(directory, place.path.name, text, mode=0o755, like=None)
    return _state(place)


def record_baseline(git_dir: Path, *, spool: Path, now: int, random: bytes) -> str:
    """Record which refs a repository has, so that later pushes are told from what was there; give the id.

    `now` (nanoseconds since 1970) must be read before: a push in between then counts as the later one.
    Raises `StoreUnavailable` where the spool cannot be written.
    """
    refs = references(git_dir)
    try:
        place = os.fsencode(git_dir)
        # It carries no annotations, since hooks carry a copy of it.
        return record(os.fsencode(spool), b"git", (b"baseline",), (), refs, place, now, random)  # type: ignore[no-untyped-call, no-any-return]
    except OSError as error:
        raise StoreUnavailable(
            f"the refs that {git_dir} has now were not recorded ({error.strerror}: {spool})",
            "install the hook again as a user who may write there",
        ) from error


def remove(repository: Path) -> HookState:
    """Take the hook out and put back the one that was there before it; give how things stood before.

    Raises `CommandFailed`, and touches nothing, where the hook is not as it was installed.
    """
    before = show(repository)
    path = before.place.path
    if before.version == "absent":
        raise CommandFailed(
            f"{path} is not there: pulseshim's hook is not installed", "nothing is to be done"
        )
    if before.version == "foreign":
        raise CommandFailed(f"{path} is not pulseshim's hook", _what_is_left(path))
    if before.version == "edited":
        raise CommandFailed(f"{path} was edited since it was installed", _how_to_replace(before))
    with _directory(before.place) as directory:
        _take_out(directory, path.name, before.previous)
    return before


def _state(place: HookPlace) -> HookState:
    try:
        text = read_hook(place.path)
    except (FileNotFoundError, NotADirectoryError):
        # A link that leads nowhere is somebody's hook too, and git runs nothing.
        return HookState(place=place, version="foreign" if place.path.is_symlink() else "absent")
    except OSError as error:
        raise _failed(place, error) from error
    executable = os.access(place.path, os.X_OK)
    if not is_ours(text):
        return HookState(place=place, version="foreign", executable=executable)
    hook = parse(text)
    edited = is_edited(text)
    return HookState(
        place=place,
        version="edited" if edited else "current" if fill(shipped(_SHIPPED), hook) == text else "outdated",
        executable=executable,
        spool=os.fsdecode(hook.spool),
        drain=tuple(os.fsdecode(word) for word in hook.drain),
        previous=place.path.resolve().with_name(os.fsdecode(hook.previous)) if hook.previous else None,
        interpreter=hook.interpreter,
    )


def _keep(place: HookPlace, directory: int) -> None:
    """Give the hook that is there a second name, under which ours finds it."""
    if not place.chains:
        raise CommandFailed(f"{place.path} is not pulseshim's", "rename that file, then install again")
    name = place.path.name
    try:
        _link(directory, name)
    except FileExistsError as error:
        there = (os.stat(each, dir_fd=directory, follow_symlinks=False) for each in (name, PREVIOUS))
        if os.path.samestat(*there):
            return  # an installation that ended half-way
        kept = place.path.with_name(PREVIOUS)
        raise CommandFailed(
            f"{place.path} was put over pulseshim's hook, and {kept} is still there from before",
            "keep one of the two hooks as post-receive, move the other away, then install again",
        ) from error
    os.fsync(directory)


def _link(directory: int, name: str) -> None:
    try:
        os.link(name, PREVIOUS, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here, or not to somebody else's file: a copy is as good.
        copy_file(directory, name, PREVIOUS)


def _take_out(directory: int, name: str, previous: Path | None) -> None:
    """Put the hook from before back over ours, or remove ours where there is none."""
    try:
        if previous is not None:
            os.rename(previous.name, name, src_dir_fd=directory, dst_dir_fd=directory)
    except FileNotFoundError:
        previous = None
    if previous is None:
        os.unlink(name, dir_fd=directory)
    os.fsync(directory)


@contextmanager
def _directory(place: HookPlace, *, make: bool = False) -> Iterator[int]:
    """Open the directory of a hook; `make` it where it is not there.

    Raises `CommandFailed` for each `OSError`, and where only a link of the repository leads there.
    """
    parent = place.path.parent
    try:
        if make and not parent.exists():
            with open_directory(parent.parent) as outer:
                _check_owner(place, parent, outer)
                make_directory(outer, parent)
        with open_directory(parent) as directory:
            _check_owner(place, parent, directory)
            yield directory
    except OSError as error:
        raise _failed(place, error) from error


def _check_owner(place: HookPlace, path: Path, directory: int) -> None:
    """Refuse, as root, a directory that the repository names and its owner does not own."""
    if os.geteuid() != 0 or not place.is_own or path.is_relative_to(place.git_dir):
        return
    with open_directory(place.git_dir) as repository:
        owner = os.fstat(repository).st_uid
    if owner not in (0, os.fstat(directory).st_uid):
        raise CommandFailed(
            f"{place.git_dir} leads to {path}, which belongs to another user",
            "install the hook as the owner of the repository, or put a directory of its own there",
        )


def _failed(place: HookPlace, error: OSError) -> CommandFailed:
    where = place.path.parent / os.fsdecode(error.filename or place.path)
    denied = error.errno in (errno.EACCES, errno.EPERM)
    return CommandFailed(
        f"the hook of {place.git_dir} cannot be read or written ({error.strerror}: {where})",
        "run this as the owner of the repository, or as root" if denied else "correct that first",
    )


def _how_to_replace(state: HookState) -> str:
    before = f"; the hook that was there before is {state.previous}" if state.previous else ""
    return f"move your lines into a hook of their own and delete that file, then install again{before}"


def _what_is_left(path: Path) -> str:
    kept = path.with_name(PREVIOUS)
    if os.path.lexists(kept):
        return f"somebody put it over pulseshim's; {kept} is the hook from before: keep the one you want"
    return "there is nothing of pulseshim's to remove"
