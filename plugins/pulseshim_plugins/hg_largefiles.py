"""An extension of Mercurial, loaded into its process alone: repositories with large files may be read.

A large file stands in the history as a pointer below `.hglf/`, which is a file like any other. To read the
history, nothing has to be known but that.
"""

from typing import Any


def uisetup(_ui: Any) -> None:
    """Say that the requirement is understood: Mercurial calls this as it loads the extension."""
    from mercurial import localrepo  # type: ignore[import-untyped]  # noqa: PLC0415 - only Mercurial has it loaded

    localrepo.featuresetupfuncs.add(_support)


def _support(_ui: Any, supported: set[bytes]) -> None:
    supported.add(b"largefiles")
