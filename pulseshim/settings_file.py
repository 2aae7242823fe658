"""Which settings file counts. It is not read here: `emit` needs little of it, and must start fast."""

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE, _OF_THE_MACHINE = "pulseshim.toml", "/etc/pulseshim/pulseshim.toml"


class ForeignFile(Exception):
    """The settings file of the current directory may be somebody else's: problem and remedy."""


def find_file(config: str | None, environ: "Mapping[str, str]") -> str | None:
    """Give the settings file: the one named, else ./pulseshim.toml, else /etc/pulseshim/pulseshim.toml.

    The one in the current directory says where passwords are read and sent to. It counts where it and the
    directory belong to root or to who asks, and not everybody may write to it; else `ForeignFile` is raised.
    """
    named = config or environ.get("PULSESHIM_CONFIG")
    if named:
        return named
    if os.path.exists(_HERE):
        _check(_HERE)
        return _HERE
    return _OF_THE_MACHINE if os.path.exists(_OF_THE_MACHINE) else None


def _check(path: str) -> None:
    for place in (path, os.path.dirname(path) or os.curdir):
        status = os.stat(place)
        who = None
        if status.st_uid not in (0, os.geteuid()):
            who = f"user {status.st_uid}"
        elif place == path and status.st_mode & stat.S_IWOTH:
            who = "everybody"
        if who:
            problem = f"{os.path.abspath(path)} can be written by {who}"
            raise ForeignFile(problem, "name it with --config if it is to be used")
