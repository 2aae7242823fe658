"""From what the hook recorded, and what was announced before, to the push.

What a push brought is worked out from its own lines and from the values that were announced, never from what
the refs are by the time it is read. So nothing is announced twice, and nothing is missed because of a later
push.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pulseshim import Invocation, State, readable
from pulseshim_plugins.git_description import describe
from pulseshim_plugins.git_objects import current_refs
from pulseshim_plugins.git_options import GitOptions, seconds
from pulseshim_plugins.git_repository import GitFailed, Repository
from pulseshim_plugins.git_update import Line, parse_baseline, parse_updates
from pulseshim_plugins.git_url import public_url, url_path
from pulseshim_shims.git import GitPush

Refs: TypeAlias = Mapping[str, str]

log = logging.getLogger(__name__)

_USERS = ("GL_USERNAME", "GL_USER", "GITEA_PUSHER_NAME", "REMOTE_USER", "USER", "LOGNAME")


@dataclass(frozen=True, slots=True)
class Drift:
    """A ref that no longer is what was announced: something changed it that no hook told of.

    A value is None where the ref was never announced, or is not there.
    """

    ref: str
    announced: str | None
    actual: str | None


def read_push(invocation: Invocation, state: State, options: GitOptions) -> list[GitPush]:
    """Give the push that an invocation of the hook recorded: one, or none of a private repository.

    An invocation with the argument `baseline` holds the refs as they were when the hook was installed: they
    count as announced. Without one, the refs that the first push finds do, but for its own; what was pushed
    between it and its reading is then taken to have been there before.
    """
    path = git_directory(invocation.cwd)
    repository = Repository(path, time.monotonic() + seconds(options.timeout))
    history = f"repository:{readable(path)}"
    baseline = "baseline" in invocation.arguments
    lines = [] if baseline else parse_updates(invocation.stdin)
    refs = parse_baseline(invocation.stdin) if baseline else {}
    record = state.get(history)
    url = _url(repository, record, options)
    if not url:
        if not baseline:
            state.count("private")
        if record or public_url(path, None, options.repositories):
            # Remembered, so that it is private when it is gone, too; and what it has announced is not kept up
            # while it is private, so that its refs are looked at again when it no longer is.
            state.set(history, {**record, "url": ""})
        return []
    if baseline:
        state.set(f"refs:{readable(path)}", refs)
        state.set(history, {"push_id": "0", **record, "url": url})
        return []
    if not lines:
        return []
    known = bool(record.get("url"))
    announced = state.get(f"refs:{readable(path)}") if known else _refs_before(repository, lines)
    recorded_at = int(invocation.recorded_at.timestamp() * 1_000_000)
    late = recorded_at < int(record.get("recorded_at", "0"))
    unannounced = {line.ref for line in lines if known and announced.get(readable(line.ref)) != line.old}
    if unannounced and not late:
        state.count("unannounced")
        log.info("refs changed unannounced", extra={"repository": readable(path), "refs": len(unannounced)})
    updates = describe(repository, lines, announced, options.max_bytes)
    push_id = int(record.get("push_id", "0")) + 1
    # A push that was parked and comes late must not set back what later ones have announced.
    news = [line for line in lines if not (late and line.ref in unannounced)]
    state.set(f"refs:{readable(path)}", after(announced, news))
    latest = max(recorded_at, int(record.get("recorded_at", "0")))
    state.set(history, {"push_id": str(push_id), "url": url, "recorded_at": str(latest)})
    return [
        GitPush(
            id=invocation.id,
            url=url,
            path=url_path(url),
            push_id=push_id,
            time=int(invocation.recorded_at.timestamp()),
            user=next((user for name in _USERS if (user := invocation.environ.get(name))), ""),
            options=_push_options(invocation.environ),
            updates=updates,
        )
    ]


def drift(path: str, announced: Refs, *, timeout: float) -> list[Drift]:
    """Give the refs of a git directory that are not what was announced; `timeout` is in seconds."""
    repository = Repository(path, time.monotonic() + timeout)
    actual, symbolic = current_refs(repository) if repository.exists else ({}, set())
    return [
        Drift(ref, announced.get(ref), actual.get(ref))
        for ref in sorted((announced.keys() | actual.keys()) - symbolic)
        if announced.get(ref) != actual.get(ref)
    ]


def after(announced: Refs, lines: Iterable[Line]) -> dict[str, str]:
    """Give the announced refs as a push leaves them."""
    refs = dict(announced)
    for line in lines:
        if line.new is None:
            refs.pop(readable(line.ref), None)
        else:
            refs[readable(line.ref)] = line.new
    return refs


def git_directory(cwd: str) -> str:
    """Give the real path of the git directory a hook ran in: of linked worktrees, the common one."""
    path = os.path.realpath(cwd)
    worktrees = os.path.dirname(path)
    if os.path.basename(worktrees) == "worktrees" and os.path.isfile(os.path.join(path, "commondir")):
        return os.path.dirname(worktrees)
    return path


def _url(repository: Repository, record: Mapping[str, str], options: GitOptions) -> str:
    """Give the public URL of a repository; of one that is gone, the last that is known."""
    if not repository.exists and "url" in record:
        return record["url"]
    own = repository.setting("pulseshim.url") if repository.exists else None
    try:
        return public_url(repository.path, own, options.repositories)
    except ValueError as error:
        raise GitFailed(
            f"{readable(repository.path)} has a public URL without host or path ({error})",
            "correct pulseshim.url in its configuration, or plugins.git.repositories, and retry",
        ) from error


def _refs_before(repository: Repository, lines: Iterable[Line]) -> dict[str, str]:
    """Give the refs that a repository which was never looked at had before a push, as far as can be known."""
    refs = {readable(line.ref): line.old for line in lines}
    now = current_refs(repository)[0] if repository.exists else {}
    others = {ref: value for ref, value in now.items() if ref not in refs}
    return others | {ref: old for ref, old in refs.items() if old is not None}


def _push_options(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Give the options of `git push -o`, as git numbers them in the environment."""
    count = environ.get("GIT_PUSH_OPTION_COUNT", "")
    if not (count.isascii() and count.isdigit()):
        return ()
    names = (f"GIT_PUSH_OPTION_{number}" for number in range(min(int(count), len(environ))))
    return tuple(environ[name] for name in names if name in environ)
