"""A Mercurial repository that is read and never trusted: its owner may wish the runtime harm.

Its hgrc is not read by Mercurial. Where its store, or what holds its history, is a link, it is refused: it
could lead to a repository that the runtime may read and its owner may not.
"""

import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pulseshim_plugins.hg_server import HgFailed, RevisionsGone, Servers

_LONGEST_HGRC = 1 << 20
_AT_ONCE = 200
_SECTION = re.compile(r"\[([^\[]+)\]")
_ITEM = re.compile(r"([^=\s][^=]*?)\s*=\s*(.*)")
_HISTORY = ("00changelog.i", "00changelog.d", "00manifest.i", "00manifest.d", "data", "meta", "phaseroots")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository by the directory that holds its `.hg`, read until `deadline` (of `time.monotonic`)."""

    path: str
    deadline: float
    servers: Servers

    @property
    def exists(self) -> bool:
        """Say whether it is still there. Raises `HgFailed` where it is but cannot or must not be read."""
        try:
            os.stat(os.path.join(self.path, ".hg"))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise HgFailed(
                f"the repository {self.path} cannot be read ({error.strerror})",
                "let the account of the runtime read it, then retry what was parked",
            ) from error
        self._check_links()
        return True

    @property
    def url(self) -> str | None:
        """Give `pulseshim.url` of its own hgrc, None where there is none; includes are not read."""
        return hgrc_setting(os.path.join(self.path, ".hg", "hgrc"), "pulseshim", "url")

    def ask(self, *arguments: str) -> bytes:
        """Give all that a command prints."""
        return b"".join(self.servers.run(self.path, arguments, self.deadline))

    def lines(self, *arguments: str) -> Iterator[Any]:
        """Give what a command prints as JSON, line by line, as it comes."""
        rest = b""
        for piece in self.servers.run(self.path, arguments, self.deadline):
            *whole, rest = (rest + piece).split(b"\n") if b"\n" in piece else (rest + piece,)
            yield from map(json.loads, whole)

    def log(self, revset: str, template: str) -> Iterator[Any]:
        """Give what a template of one line of JSON says of each changeset of a set, in its order."""
        return self.lines("log", "-r", revset, "-T", template)

    def nodes(self, revset: str) -> list[str]:
        """Give the nodes of a set of changesets."""
        return self.ask("log", "-r", revset, "-T", "{node}\n").decode().split()

    def revisions(self, nodes: Iterable[str]) -> dict[str, int]:
        """Give the numbers of those revisions of some nodes that are in the repository, in their order."""
        found: dict[str, int] = {}
        wanted = sorted(set(nodes))
        for start in range(0, len(wanted), _AT_ONCE):
            some = " or ".join(f"id({node})" for node in wanted[start : start + _AT_ONCE])
            found.update(self.log(some, "[{node|json},{rev|json}]\n"))
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def known(self, nodes: Iterable[str], revset: str = "%s") -> set[str]:
        """Give those of some nodes that are in the repository, and in the revset that is laid around them."""
        found: set[str] = set()
        wanted = sorted(set(nodes))
        for start in range(0, len(wanted), _AT_ONCE):
            some = " or ".join(f"id({node})" for node in wanted[start : start + _AT_ONCE])
            found.update(self.nodes(revset % f"({some})"))
        return found

    def descriptions(self, nodes: Sequence[str]) -> dict[str, str]:
        """Give the texts of changesets that are there."""
        texts: dict[str, str] = {}
        for start in range(0, len(nodes), _AT_ONCE):
            some = " or ".join(f"id({node})" for node in nodes[start : start + _AT_ONCE])
            texts.update(self.log(some, "[{node|json},{desc|json}]\n"))
        return texts

    def tags(self) -> dict[str, list[str]]:
        """Give the global tags by the node they name, without those that secret changesets make.

        Mercurial reads the tags of all heads. What is to be left out has to be so when the repository is
        opened: where anything is secret, the command server opens it once more.
        """
        command = ["tags", "-T", "[{tag|json},{node|json},{type|json}]\n"]
        if self.nodes("limit(_notpublic() - draft(), 1)"):
            command += ["-R", self.path, "--config", "experimental.extra-filter-revs=_notpublic() - draft()"]
        found: dict[str, list[str]] = {}
        for name, node, kind in self.lines(*command):
            if name != "tip" and kind != "local":
                found.setdefault(node, []).append(name)
        return found

    def _check_links(self) -> None:
        store = os.path.join(self.path, ".hg", "store")
        places = [os.path.dirname(store), store, *(os.path.join(store, name) for name in _HISTORY)]
        if os.path.exists(os.path.join(self.path, ".hg", "sharedpath")):
            places.append(os.path.join(self.path, ".hg", "sharedpath"))
        for place in places:
            if os.path.islink(place) or place.endswith("sharedpath"):
                raise HgFailed(
                    f"{place} leads out of the repository, whose history may be another's",
                    "announce the repository that it leads to instead",
                )


def repository(path: str, timeout: float, servers: Servers) -> Repository:
    """Give the repository at a path, to be read within `timeout` seconds."""
    return Repository(os.path.realpath(path), time.monotonic() + timeout, servers)


def hgrc_setting(file: str, section: str, name: str) -> str | None:
    """Give a setting that stands in an hgrc file itself, None where none does."""
    return hgrc_settings(file, section).get(name)


def hgrc_settings(file: str, section: str) -> dict[str, str]:
    """Give the settings of a section that stand in an hgrc file itself."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return {}
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return {}
        return settings_in(os.fsdecode(stream.read(_LONGEST_HGRC)), section)


def settings_in(text: str, section: str) -> dict[str, str]:
    """Give the settings of a section that stand in the text of an hgrc file."""
    values, current = {}, ""
    for line in text.splitlines():
        if match := _SECTION.match(line):
            current = match[1]
        elif (match := _ITEM.match(line)) and current == section:
            values[match[1]] = match[2].strip()
    return values


__all__ = [
    "HgFailed",
    "Repository",
    "RevisionsGone",
    "hgrc_setting",
    "hgrc_settings",
    "repository",
    "settings_in",
]
