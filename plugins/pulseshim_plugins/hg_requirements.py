"""What a repository requires of the Mercurial that reads it, beyond what that always can.

A repository names what it needs in `.hg/requires`, and in `.hg/store/requires`. Mercurial would load what
meets it by itself, but only along with the repository's hgrc, which is not read. Nothing but the extensions
that are named here is loaded, whatever the files say.
"""

import os
import stat
from pathlib import Path

_LONGEST = 1 << 16
_PLACES = ("requires", os.path.join("store", "requires"))
_EXTENSIONS = {
    "lfs": "lfs=",
    "narrowhg-experimental": "narrow=",
    # Mercurial's own would make `hg status` write into the repository.
    "largefiles": f"pulseshim_largefiles={Path(__file__).with_name('hg_largefiles.py')}",
}


def needed_extensions(path: str) -> list[str]:
    """Give the settings of Mercurial that load what the repository at a path needs to be read."""
    required = set()
    for place in _PLACES:
        required.update(_lines(os.path.join(path, ".hg", place)))
    return [f"extensions.{setting}" for name, setting in _EXTENSIONS.items() if name in required]


def _lines(file: str) -> list[str]:
    """Give the lines of a file; none where it is not there or no plain file, of which Mercurial complains."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return []
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return []
        return os.fsdecode(stream.read(_LONGEST)).splitlines()
