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

from pulseshim import Invocation, State, readable, seconds
from pulseshim_plugins.git_belief import check_history, check_push
from pulseshim_plugins.git_description import describe
from pulseshim_plugins.git_gap import fill
from pulseshim_plugins.git_objects import current_refs
from pulseshim_plugins.git_options import GitOptions
from pulseshim_plugins.git_repository import GitFailed, Repository
from pulseshim_plugins.git_update import Line, parse_baseline, parse_updates
from pulseshim_plugins.git_url import public_url, url_path
from pulseshim_plugins.trust import check_url, pusher, remember_believed, was_believed
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
    count as announced. Without one, those that the first push finds do, but for its own and for those that
    changed since: what a server had packed since then is taken to have been there before.
    """
    repository = Repository(git_directory(invocation.cwd), time.monotonic() + seconds(options.timeout))
    path = readable(repository.path)
    record = state.get(f"repository:{path}")
    baseline = "baseline" in invocation.arguments
    lines = [] if baseline else parse_updates(invocation.stdin)
    refs = parse_baseline(invocation.stdin) if baseline else {}
    url = _url(invocation, repository, record, options)
    if not url:
        if not baseline:
            state.count("private")
        if record or (repository.exists and public_url(repository.path, None, options.repositories)):
            # Remembered, so that it is private when it is gone, too. What it announced is not kept up
            # meanwhile: its refs are looked at again when it no longer is private.
            state.set(f"repository:{path}", {**record, "url": ""})
            state.set(f"refs:{path}", {})
        return []
    if repository.exists or not was_believed(invocation, state, path):
        check_push(invocation, repository, lines, options)
        remember_believed(invocation, state, path, options.trusted_users)
    if baseline:
        late, latest = _order(record, _recorded_at(invocation), time.time_ns() // 1000)
        if not (late and record.get("url")):
            state.set(f"refs:{path}", refs)
        remembered = {"push_id": "0", **record, "url": url, "recorded_at": str(latest)}
        state.set(f"repository:{path}", remembered)
        return []
    return [_next_push(invocation, state, repository, lines, url, options)] if lines else []


def _next_push(
    invocation: Invocation,
    state: State,
    repository: Repository,
    lines: list[Line],
    url: str,
    options: GitOptions,
) -> GitPush:
    """Give the next push of a repository that is public, and remember what it announces."""
    path = readable(repository.path)
    record = state.get(f"repository:{path}")
    known = bool(record.get("url"))
    announced = state.get(f"refs:{path}") if known else _refs_before(repository, invocation, lines)
    recorded_at = _recorded_at(invocation)
    late, latest = _order(record, recorded_at, time.time_ns() // 1000)
    elsewhere = {line.ref for line in lines if known and announced.get(readable(line.ref)) != line.old}
    if elsewhere and not late:
        state.count("unannounced")
        log.info("refs changed unannounced", extra={"repository": path, "refs": len(elsewhere)})
    claimed = next((user for name in _USERS if (user := invocation.environ.get(name))), "")
    updates = describe(repository, lines, announced, options.max_bytes)
    check_history(invocation, repository, options)
    push_id = int(record.get("push_id", "0")) + 1
    # A push that was parked and comes late must not set back what later ones have announced.
    news = [line for line in lines if not (late and line.ref in elsewhere)]
    told, gaps = (announced, state.get(f"gaps:{path}")) if known else ({}, {})
    ahead, gaps = fill(gaps, told, news, recorded_at, late=late)
    state.set(f"gaps:{path}", gaps)
    state.set(f"refs:{path}", _after(announced, ahead))
    state.set(f"repository:{path}", {"push_id": str(push_id), "url": url, "recorded_at": str(latest)})
    return GitPush(
        id=invocation.id,
        url=url,
        path=url_path(url),
        push_id=push_id,
        time=int(invocation.recorded_at.timestamp()),
        user=pusher(invocation, claimed, repository.path, options.trusted_users),
        options=_push_options(invocation.environ),
        updates=updates,
    )


def _recorded_at(invocation: Invocation) -> int:
    """Give when an invocation was recorded, in microseconds since 1970."""
    return int(invocation.recorded_at.timestamp() * 1_000_000)


def _order(record: Mapping[str, str], recorded_at: int, now: int) -> tuple[bool, int]:
    """Say whether a push comes after one that was recorded later, and give when the latest was recorded.

    All times are in microseconds since 1970. None counts as later than now: where a clock was ahead and was
    set back, each push would come late until then.
    """
    latest = int(record.get("recorded_at", "0"))
    if latest > now:
        latest = 0
    return recorded_at < latest, max(min(recorded_at, now), latest)


def drift(path: str, announced: Refs, *, timeout: float) -> list[Drift]:
    """Give the refs of a git directory that are not what was announced; `timeout` is in seconds."""
    repository = Repository(path, time.monotonic() + timeout)
    actual, symbolic = current_refs(repository) if repository.exists else ({}, set())
    return [
        Drift(ref, announced.get(ref), actual.get(ref))
        for ref in sorted((announced.keys() | actual.keys()) - symbolic)
        if announced.get(ref) != actual.get(ref)
    ]


def _after(announced: Refs, lines: Iterable[Line]) -> dict[str, str]:
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


def _url(
    invocation: Invocation, repository: Repository, record: Mapping[str, str], options: GitOptions
) -> str:
    """Give the public URL of a repository; of one that is gone, the last that is known, "" where none is."""
    if not repository.exists:
        return record.get("url", "")
    file = os.path.join(repository.path, "config")
    before = os.lstat(file) if os.path.lexists(file) else None
    own = repository.setting("pulseshim.url")
    try:
        url = public_url(repository.path, own, options.repositories)
        if own and before and invocation.owner is not None and url != _mapped(repository.path, options):
            check_url(url, file, before, options.repositories, options.trusted_users)
        return url
    except ValueError as error:
        raise GitFailed(
            f"{readable(repository.path)} has a public URL without host or path ({error})",
            "correct pulseshim.url in its configuration, or plugins.git.repositories, and retry",
        ) from error


def _mapped(path: str, options: GitOptions) -> str:
    """Give the URL that the settings give a repository, whatever it says itself; "" for none."""
    try:
        return public_url(path, None, options.repositories)
    except ValueError:
        return ""


def _refs_before(repository: Repository, invocation: Invocation, lines: Iterable[Line]) -> dict[str, str]:
    """Give the refs that a repository which was never looked at had before a push, as far as can be known.

    A ref whose file is newer than the push was set by a later one: what it was before, nobody knows.
    """
    refs = {readable(line.ref): line.old for line in lines}
    now = current_refs(repository)[0] if repository.exists else {}
    for ref, value in now.items():
        if ref not in refs and not _is_newer(os.path.join(repository.path, ref), invocation):
            refs[ref] = value
    return {ref: value for ref, value in refs.items() if value is not None}


def _is_newer(file: str, invocation: Invocation) -> bool:
    try:
        return os.stat(file).st_mtime > invocation.recorded_at.timestamp()
    except OSError:
        return False


def _push_options(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Give the options of `git push -o`, as git numbers them in the environment."""
    count = environ.get("GIT_PUSH_OPTION_COUNT", "")
    if not (count.isascii() and count.isdigit()):
        return ()
    names = (f"GIT_PUSH_OPTION_{number}" for number in range(min(int(count), len(environ))))
    return tuple(environ[name] for name in names if name in environ)
