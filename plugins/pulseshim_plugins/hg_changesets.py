"""Changesets as they are announced one by one: read in batches, so that memory does not grow with a push.

However many files a changeset has, a batch holds a few MiB of them at a time.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pulseshim_plugins.hg_repository import Repository
from pulseshim_shims.hg_payload import FileChange, file_change

_BATCH = 2000
_MOST_HELD = 8 * 1024 * 1024
_TEXT_BYTES = 64  # what a text takes in memory beside its characters
_NULL = "0"
TEMPLATE = (
    "[{node|json},{p1node|json},{p2node|json},{branch|json},{author|json},{desc|json},{date|hgdate|json},"
    "{file_adds|json},{file_mods|json},{file_dels|json},{file_copies|json}]\n"
)
"""What Mercurial is asked about each changeset: a line of JSON."""

_STATUS = "[{status|json},{path|json},{source|json}]\n"


def changesets(repository: Repository, revset: str) -> Iterator[dict[str, Any]]:
    """Give the changesets of a set in the order they came: what stands in the repository about each.

    The keys are node, parents, branch, author, text, date (seconds since 1970) and files.
    """
    offset = count = 0
    while count == offset:
        for some in _pieces(repository.log(f"limit({revset}, {_BATCH}, {offset})", TEMPLATE)):
            count += len(some)
            for fields in some:
                yield _changeset(repository, fields)
        offset += _BATCH


def _pieces(batch: Iterator[list[Any]]) -> Iterator[list[list[Any]]]:
    """Give a batch at once, so that its merges are asked about when it is read; in pieces, if it is large.

    What is asked meanwhile takes another command server.
    """
    some, held = [], 0
    for fields in batch:
        some.append(fields)
        held += _held(fields)
        if held > _MOST_HELD:
            yield some
            some, held = [], 0
    yield some


def _held(fields: list[Any]) -> int:
    """Say about how many bytes of memory the texts and files of a changeset take."""
    *_, branch, author, text, _, added, modified, removed, copies = fields
    texts = (branch, author, text, *added, *modified, *removed, *copies, *copies.values())
    return sum(map(len, texts)) + _TEXT_BYTES * len(texts)


def _changeset(repository: Repository, fields: list[Any]) -> dict[str, Any]:
    node, p1, p2, branch, author, text, date, added, modified, removed, copies = fields
    parents = tuple(parent for parent in (p1, p2) if parent.strip(_NULL))
    if len(parents) > 1:
        files = [file for parent in parents for file in _against(repository, parent, node)]
    else:
        files = _files(added, modified, removed, copies)
    return {
        "node": node,
        "parents": parents,
        "branch": branch,
        "author": author,
        "text": text,
        "date": float(date.split()[0]),
        "files": files,
    }


def _against(repository: Repository, parent: str, node: str) -> list[FileChange]:
    """Give the files of a merge that differ from one of its parents."""
    listed: dict[str, list[str]] = {"A": [], "M": [], "R": []}
    copies = {}
    arguments = ("status", "--rev", f"id({parent})", "--rev", f"id({node})", "-C", "-T", _STATUS)
    for status, path, source in repository.lines(*arguments):
        listed[status].append(path)
        if source:
            copies[path] = source
    return _files(listed["A"], listed["M"], listed["R"], copies, parent)


def _files(
    added: Iterable[str],
    modified: Iterable[str],
    removed: Iterable[str],
    copies: Mapping[str, str],
    parent: str | None = None,
) -> list[FileChange]:
    """Give changed files, sorted by path. The first copy of a removed file is that file renamed."""
    gone = set(removed)
    files = [file_change("modified", path, parent=parent) for path in modified if path not in copies]
    files += [file_change("added", path, parent=parent) for path in added if path not in copies]
    present = {*added, *modified}
    for path in sorted(copies.keys() & present):
        renamed = copies[path] in gone
        gone.discard(copies[path])
        files.append(file_change("renamed" if renamed else "copied", path, copies[path], parent=parent))
    files += [file_change("removed", path, parent=parent) for path in gone]
    return sorted(files, key=lambda file: file.path)
