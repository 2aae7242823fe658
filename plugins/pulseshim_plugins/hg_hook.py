"""Putting Mercurial's hook into a repository's hgrc, taking out only that, and telling how it stands.

The lines stand in `.hg/hgrc` between two marks, beside whatever else is there. The hook itself is a copy of
the file that is shipped, `.hg/pulseshim_hg.py`: the server's Python may be another than the one of pulseshim.
Both files appear by rename: a push meets the old or the new one.

Mercurial loads it as an extension: a hook whose file is gone fails each push, an extension only warns. A
process that serves several repositories keeps extensions by name, those that failed, too. So the name is that
of this file in this repository.
"""

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pulseshim.errors import CommandFailed
from pulseshim_plugins.hg_repository import hgrc_setting, hgrc_settings, settings_in
from pulseshim_plugins.hg_trust import untrusted
from pulseshim_plugins.installation import (
    file_status,
    open_directory,
    read_file,
    read_hook,
    replace_file,
    shipped,
)

HOOK_FILE = "pulseshim_hg.py"
"""The name of the copy of the hook in `.hg`."""

_BEGIN = "# pulseshim's hook: `pulseshim hook remove hg` takes these lines out again."
_END = "# end of pulseshim's hook"
_BLOCK = re.compile(rf"^{re.escape(_BEGIN)}\n.*?^{re.escape(_END)}\n", re.MULTILINE | re.DOTALL)
_NAME = "pulseshim"
_MODE = 0o644
_SHIPPED = "hooks/hg/pulseshim_hg.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookState:
    """How the hook of a repository stands.

    `version` is `current`, `outdated` (the file is not the one this pulseshim ships, or a line of `[hooks]`
    names it), `missing` (the file is not there) or `absent`. `file` and `spool` are what hgrc names.
    `untrusted` names the users whom Mercurial does not let use this hgrc; empty: none.
    """

    repository: Path
    hgrc: Path
    version: Literal["current", "outdated", "missing", "absent"]
    file: str = ""
    spool: str = ""
    untrusted: str = ""


def show(place: Path) -> HookState:
    """Tell how the hook of a repository stands. Raises `CommandFailed` where there is no repository."""
    repository = find_repository(place)
    hgrc = repository / ".hg" / "hgrc"
    extensions = hgrc_settings(str(hgrc), "extensions").items()
    files = [file for name, file in extensions if name.startswith(_NAME)]
    hook = hgrc_setting(str(hgrc), "hooks", f"txnclose.{_NAME}") or ""
    if not files and not hook:
        return HookState(repository=repository, hgrc=hgrc, version="absent")
    file = files[-1] if files else hook.removeprefix("python:").rpartition(":")[0]
    try:
        is_current = bool(files) and read_hook(Path(file)) == shipped(_SHIPPED)
    except (OSError, ValueError):  # a null byte in a path
        is_current = False
    return HookState(
        repository=repository,
        hgrc=hgrc,
        version="current" if is_current else "outdated" if os.path.exists(file) else "missing",
        file=file,
        spool=hgrc_setting(str(hgrc), "pulseshim", "spool") or "",
        untrusted=untrusted(hgrc),
    )


def install(place: Path, *, spool: Path, url: str | None = None) -> HookState:
    """Put the hook in place, or bring the one that is there up to date; give how it stands then.

    The files keep their modes. Raises `CommandFailed` where one is a link.
    """
    with _opened(place) as (repository, directory):
        hgrc, hook = repository / ".hg" / "hgrc", repository / ".hg" / HOOK_FILE
        there, old = read_file(directory, hgrc.name)
        kept = os.fsdecode(there)
        before = settings_in(kept, "pulseshim").get("url") if url is None else url
        lines = [_BEGIN, "[extensions]", f"{_extension(hook)} = {hook}", "[pulseshim]"]
        lines += [f"spool = {spool.absolute()}", *([] if before is None else [f"url = {before}"]), _END, ""]
        if any("\n" in line for line in lines):
            raise CommandFailed(f"{str(repository)!r} cannot be named in hgrc", "rename the repository")
        rest = _BLOCK.sub("", kept)
        text = rest + ("\n" if rest and not rest.endswith("\n") else "") + "\n".join(lines)
        of_hook = file_status(directory, hook.name)
        replace_file(directory, hook.name, shipped(_SHIPPED), mode=_MODE, like=of_hook)
        replace_file(directory, hgrc.name, os.fsencode(text), mode=_MODE, like=old)
    return show(repository)


def remove(place: Path) -> HookState:
    """Take the hook out, and leave everything else; give how things stood before.

    Raises `CommandFailed` where the lines are not there, or were not put there by `install`.
    """
    with _opened(place) as (repository, directory):
        before = show(repository)
        there, old = read_file(directory, before.hgrc.name)
        text = os.fsdecode(there)
        url = settings_in(text, "pulseshim").get("url")
        rest = _BLOCK.sub("", text)
        if rest == text:
            raise _nothing_to_remove(before)
        if rest or url is not None:
            kept = "" if url is None or "[pulseshim]" in rest else f"[pulseshim]\nurl = {url}\n"
            replace_file(directory, before.hgrc.name, os.fsencode(rest + kept), mode=_MODE, like=old)
        else:
            os.unlink(before.hgrc.name, dir_fd=directory)
        with suppress(FileNotFoundError):
            os.unlink(HOOK_FILE, dir_fd=directory)
    return before


def _nothing_to_remove(state: HookState) -> CommandFailed:
    remedy = "nothing is to be done" if state.version == "absent" else "take its lines out by hand"
    return CommandFailed(f"{state.hgrc} has no lines that pulseshim put there", remedy)


def _extension(hook: Path) -> str:
    """Give the name of the extension: another for each file and each place."""
    return f"{_NAME}_{hashlib.sha256(os.fsencode(hook) + shipped(_SHIPPED)).hexdigest()[:8]}"


def find_repository(place: Path) -> Path:
    """Give the directory that holds the `.hg` of a repository: of a share, the one it shares the store of."""
    hg = place / ".hg"
    try:
        shared = os.fsdecode(read_hook(hg / "sharedpath")).rstrip("\n")
        hg = hg / shared
    except OSError:
        pass
    if not (hg / "requires").is_file():
        raise CommandFailed(f"{place} is no Mercurial repository", "name the directory that holds .hg")
    return hg.resolve().parent


@contextmanager
def _opened(place: Path) -> Iterator[tuple[Path, int]]:
    """Give a repository as `find_repository` does, and its `.hg`, open, for what is to be changed there.

    Raises `CommandFailed` for each `OSError`, and where a share leads to a repository of another owner.
    """
    named = place.resolve() / ".hg"
    repository = find_repository(named.parent)
    if named.is_symlink():
        raise CommandFailed(f"{place / '.hg'} is a link", f"name {repository} itself")
    try:
        with open_directory(named) as own, open_directory(repository / ".hg") as directory:
            if os.fstat(own).st_uid != os.fstat(directory).st_uid:
                raise CommandFailed(
                    f"{place} is a share of {repository}, which belongs to another user",
                    "name the latter itself",
                )
            yield repository, directory
    except OSError as error:
        raise _failed(repository / ".hg" / "hgrc", error) from error


def _failed(path: Path, error: OSError) -> CommandFailed:
    where = path.parent / os.fsdecode(error.filename or path)
    remedy = "run this as the owner of the repository"
    if error.errno == errno.ELOOP:
        remedy = "put the file or directory itself there, then install the hook again"
    return CommandFailed(f"{path} cannot be changed ({error.strerror}: {where})", remedy)
