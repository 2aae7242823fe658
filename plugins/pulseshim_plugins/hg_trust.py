"""Whose hgrc Mercurial uses when it is run by whom: hooks and extensions only of those whom it trusts."""

import os
import pwd
import re
import subprocess
from collections.abc import Collection
from pathlib import Path

from pulseshim_plugins.hg_server import program


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
