"""Putting Mercurial's hook into a repository's hgrc, taking out only that, and telling how it stands.

The lines stand in `.hg/hgrc` between two marks, beside whatever else is there. The hook itself is a copy of
the file that is shipped, `.hg/pulseshim_hg.py`: the server's Python may be another than the one of pulseshim.
Both files appear by rename: a push meets the old or the new one.
"""

import os
import pwd
import re
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pulseshim.errors import CommandFailed
from pulseshim_plugins.hg_repository import hgrc_setting
from pulseshim_plugins.hg_server import program
from pulseshim_plugins.installation import read_hook, shipped

HOOK_FILE = "pulseshim_hg.py"
"""The name of the copy of the hook in `.hg`."""

_BEGIN = "# pulseshim's hook: `pulseshim hook remove hg` takes these lines out again."
_END = "# end of pulseshim's hook"
_BLOCK = re.compile(rf"^{re.escape(_BEGIN)}\n.*?^{re.escape(_END)}\n", re.MULTILINE | re.DOTALL)
_ENTRY = "record_transaction"
_SHIPPED = "hooks/hg/pulseshim_hg.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookState:
    """How the hook of a repository stands.

    `version` is `current`, `outdated` (the file is not the one this pulseshim ships) or `absent`. `spool` is
    what hgrc names. `untrusted` names the users whom Mercurial does not let use this hgrc; empty: none.
    """

    repository: Path
    hgrc: Path
    version: Literal["current", "outdated", "absent"]
    spool: str = ""
    untrusted: str = ""


def show(place: Path) -> HookState:
    """Tell how the hook of a repository stands. Raises `CommandFailed` where there is no repository."""
    repository = find_repository(place)
    hgrc = repository / ".hg" / "hgrc"
    value = hgrc_setting(str(hgrc), "hooks", "txnclose.pulseshim") or ""
    if not value:
        return HookState(repository=repository, hgrc=hgrc, version="absent")
    file = Path(value.removeprefix("python:").rpartition(":")[0])
    try:
        current = read_hook(file) == shipped(_SHIPPED)
    except OSError:
        current = False
    return HookState(
        repository=repository,
        hgrc=hgrc,
        version="current" if current else "outdated",
        spool=hgrc_setting(str(hgrc), "pulseshim", "spool") or "",
        untrusted=untrusted(hgrc),
    )


def install(place: Path, *, spool: Path, url: str | None = None) -> HookState:
    """Put the hook in place, or bring the one that is there up to date; give how it stands then."""
    repository = find_repository(place)
    hgrc, hook = repository / ".hg" / "hgrc", repository / ".hg" / HOOK_FILE
    before = hgrc_setting(str(hgrc), "pulseshim", "url") if url is None else url
    lines = [_BEGIN, "[hooks]", f"txnclose.pulseshim = python:{hook}:{_ENTRY}", "[pulseshim]"]
    lines += [f"spool = {spool.absolute()}", *([] if before is None else [f"url = {before}"]), _END, ""]
    if any("\n" in line for line in lines):
        raise CommandFailed(f"{str(repository)!r} cannot be named in hgrc", "rename the repository")
    text = _text(hgrc)
    rest = _BLOCK.sub("", text)
    try:
        _write(hook, shipped(_SHIPPED))
        _write(
            hgrc, os.fsencode(rest + ("\n" if rest and not rest.endswith("\n") else "") + "\n".join(lines))
        )
    except OSError as error:
        raise _failed(hgrc, error) from error
    return show(repository)


def remove(place: Path) -> HookState:
    """Take the hook out, and leave everything else; give how things stood before.

    Raises `CommandFailed` where the lines are not there, or were not put there by `install`.
    """
    before = show(place)
    text = _text(before.hgrc)
    rest = _BLOCK.sub("", text)
    if rest == text:
        remedy = "nothing is to be done" if before.version == "absent" else "take its lines out by hand"
        raise CommandFailed(f"{before.hgrc} has no lines that pulseshim put there", remedy)
    url = hgrc_setting(str(before.hgrc), "pulseshim", "url")
    try:
        if rest or url is not None:
            kept = "" if url is None or "[pulseshim]" in rest else f"[pulseshim]\nurl = {url}\n"
            _write(before.hgrc, os.fsencode(rest + kept))
        else:
            before.hgrc.unlink()
        (before.repository / ".hg" / HOOK_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise _failed(before.hgrc, error) from error
    return before


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


def untrusted(hgrc: Path) -> str:
    """Say whom Mercurial does not let use an hgrc; empty where it is nobody who matters."""
    status, store = hgrc.stat(), (hgrc.parent / "store").stat()
    owners = user_name(status.st_uid), user_name(store.st_uid)
    return distrusting(*owners, shared=bool(store.st_mode & 0o022), trusted=_trusted_by_system())


def distrusting(owner: str, of_store: str, *, shared: bool, trusted: Collection[str]) -> str:
    """Say who would not trust an hgrc of a user in a repository of a user, which others may write to or not.

    Mercurial trusts files of who runs it, and of those whom the configuration of the system trusts.
    """
    if "*" in trusted or owner in trusted:
        return ""
    if owner != of_store:
        return f"{of_store}, who owns the repository, and all others but {owner}"
    return f"all others but {owner}" if shared else ""


def _trusted_by_system() -> list[str]:
    environ = {name: value for name, value in os.environ.items() if name != "HGRCPATH"}
    command = [program(), "config", "trusted.users"]
    done = subprocess.run(command, cwd="/", env=environ, capture_output=True, text=True, check=False)
    return [name for name in re.split(r"[,\s]+", done.stdout) if name]


def user_name(number: int) -> str:
    """Give the name of a user, the number where there is none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _text(hgrc: Path) -> str:
    try:
        return os.fsdecode(read_hook(hgrc))
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _failed(hgrc, error) from error


def _write(path: Path, text: bytes) -> None:
    """Write a file, whole or not at all, for the owner that it has, else that of the directory."""
    real = path.resolve()
    owner = real.stat() if real.exists() else real.parent.stat()
    mode = owner.st_mode & 0o777 if real.exists() else 0o644
    file, written = tempfile.mkstemp(prefix=".pulseshim-", dir=real.parent)
    try:
        with open(file, "wb") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(file, mode | 0o444)
            if os.geteuid() == 0:
                os.fchown(file, owner.st_uid, owner.st_gid)
            os.fsync(file)
        os.rename(written, real)
    except BaseException:
        os.unlink(written)
        raise


def _failed(path: Path, error: OSError) -> CommandFailed:
    return CommandFailed(
        f"{path} cannot be changed ({error.strerror}: {error.filename})",
        "run this as the owner of the repository",
    )
