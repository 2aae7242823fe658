"""What the updates of a push did, as the repository tells: objects, commits, what was discarded."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest

from pulseshim import readable
from pulseshim_plugins.git_history import COMMIT_BYTES, Brought, brought, descending, discarded, read_commits
from pulseshim_plugins.git_objects import Found, find, read_tags
from pulseshim_plugins.git_repository import ObjectsGone, Repository
from pulseshim_plugins.git_update import Line
from pulseshim_shims.git import RefUpdate
from pulseshim_shims.git_payload import Commit, ObjectType

log = logging.getLogger(__name__)


def describe(
    repository: Repository, lines: Sequence[Line], announced: Mapping[str, str], max_bytes: int
) -> tuple[RefUpdate, ...]:
    """Describe the updates of a push, with commits enough to fill a message of `max_bytes`.

    `announced` are the refs as they were last announced. Where objects are gone, what is known is given.
    """
    if not repository.exists:
        return tuple(_known(line, {}) for line in lines)
    found = find(repository, (value for line in lines for value in (line.old, line.new) if value))
    try:
        return _described(repository, lines, announced, found, max_bytes)
    except ObjectsGone as error:
        log.warning("objects gone", extra={"repository": readable(repository.path), "error": str(error)})
        return tuple(_known(line, found) for line in lines)


def _described(
    repository: Repository,
    lines: Sequence[Line],
    announced: Mapping[str, str],
    found: Mapping[str, Found],
    max_bytes: int,
) -> tuple[RefUpdate, ...]:
    pushed = {readable(line.ref) for line in lines}
    others = [value for ref, value in announced.items() if ref not in pushed]
    lacking = {index for index, line in enumerate(lines) if _lacks(line, found)}
    complete = {index: line for index, line in enumerate(lines) if index not in lacking}
    tips = {index: commit for index, line in enumerate(lines) if (commit := _commit(line.new, found))}
    old = {index: commit for index, line in complete.items() if (commit := _commit(line.old, found))}
    before = dict.fromkeys(chain(others, (line.old for line in lines if line.old)))
    history = brought(repository, tips, old, before, max_bytes // COMMIT_BYTES)
    if endless := tips.keys() & lacking - history.bounded:
        # An old value is gone, and no other ref says what was there before: all of history would be told.
        tips = {index: commit for index, commit in tips.items() if index not in endless}
        history = brought(repository, tips, old, before, max_bytes // COMMIT_BYTES)
    doubtful = {index: commit for index, commit in old.items() if index not in history.descending}
    kept = dict.fromkeys(chain(others, (line.new for line in lines if line.new)))
    lost = discarded(repository, doubtful.values(), kept)
    forced = _forced(repository, complete, old, tips, doubtful, lost)
    commits = _commits(repository, history, max_bytes)
    annotated = (line.new for line in lines if line.new and _type(line.new, found) == "tag")
    tags = read_tags(repository, annotated, max_bytes // 8, 4 * max_bytes)
    return tuple(
        replace(
            _known(line, found) if index in lacking else _whole(line, found, forced=index in forced),
            tag=tags.get(line.new or ""),
            commits=tuple(commits.get(index, ())),
            commit_count=history.counts.get(index, 0),
            discarded_count=lost.get(doubtful.get(index, ""), 0),
        )
        for index, line in enumerate(lines)
    )


def _commits(repository: Repository, history: Brought, max_bytes: int) -> dict[int, list[Commit]]:
    """Read the newest commits of each update, one update after the other, until they fill a message."""
    turns = chain.from_iterable(zip_longest(*history.newest.values()))
    ids = list(islice((commit for commit in turns if commit is not None), max_bytes // COMMIT_BYTES))
    owners = {commit: index for index, own in history.newest.items() for commit in own}
    commits: dict[int, list[Commit]] = {}
    try:
        for commit in read_commits(repository, ids, max_bytes) if ids else ():
            commits.setdefault(owners[commit.id], []).append(commit)
    except ObjectsGone as error:
        # Files or trees are gone, the commits are not: those that could be read are told, all are counted.
        log.warning("objects gone", extra={"repository": readable(repository.path), "error": str(error)})
    return commits


def _forced(
    repository: Repository,
    complete: Mapping[int, Line],
    old: Mapping[int, str],
    new: Mapping[int, str],
    doubtful: Mapping[int, str],
    lost: Mapping[str, int],
) -> set[int]:
    """Say which updates were forced: tags that moved, and values that do not descend from those before."""
    forced = set()
    asked = {}
    for index, line in complete.items():
        if line.old is None or line.new is None or line.old == line.new:
            continue
        if line.ref.startswith("refs/tags/") or index not in old or index not in new or old[index] in lost:
            forced.add(index)
        elif index in doubtful:
            asked[index] = (old[index], new[index])
    sound = descending(repository, asked.values())
    return forced | {index for index, pair in asked.items() if pair not in sound}


def _lacks(line: Line, found: Mapping[str, Found]) -> bool:
    return any(value is not None and value not in found for value in (line.old, line.new))


def _commit(value: str | None, found: Mapping[str, Found]) -> str | None:
    there = found.get(value or "")
    return there.commit if there else None


def _type(value: str | None, found: Mapping[str, Found]) -> ObjectType | None:
    there = found.get(value or "")
    return there.type if there else None


def _whole(line: Line, found: Mapping[str, Found], *, forced: bool) -> RefUpdate:
    return RefUpdate(ref=line.ref, old=line.old, new=line.new, forced=forced, object=_type(line.new, found))


def _known(line: Line, found: Mapping[str, Found]) -> RefUpdate:
    """Describe an update of which objects are gone by what the hook recorded, and by the type of the new one.

    An old value that is gone while the new one is there was no ancestor of it.
    """
    moved = line.old is not None and line.new is not None
    return RefUpdate(
        ref=line.ref,
        old=line.old,
        new=line.new,
        forced=moved and (line.ref.startswith("refs/tags/") or (line.new in found and line.old not in found)),
        object=_type(line.new, found),
        incomplete=True,
    )
