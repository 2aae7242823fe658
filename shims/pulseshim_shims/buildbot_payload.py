"""What builds, steps, changes, requests and workers look like in a message.

The shapes are those of Buildbot 0.8, which the consumers of `exchange/build/` were written for, filled from
the rows that a Buildbot of today gives in its REST API (times in seconds since 1970).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from pulseshim_shims.buildbot_secrets import is_hidden

Row: TypeAlias = Mapping[str, Any]
"""A row of Buildbot's REST API."""

Property: TypeAlias = tuple[str, Any, str]
"""Name, value and source of a property."""

_LARGEST = 2**63
_DEEPEST = 50
_LATEST = 253402300799


class ChangedFile(msgspec.Struct, frozen=True):
    """A file of a change; `url` is always null, as it was with most repositories."""

    name: str
    url: str | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change: `when` in seconds since 1970, `at` the same in words (UTC), `rev` the same as `revision`."""

    number: int
    who: str
    when: int | None
    at: str
    branch: str | None
    revision: str | None
    rev: str | None
    comments: str
    files: list[ChangedFile]
    properties: list[Property]
    category: str | None
    project: str
    repository: str
    revlink: str | None
    codebase: str


class SourceStamp(msgspec.Struct, frozen=True, kw_only=True):
    """What was to be built. A patch is not published, only that there is one."""

    branch: str | None
    revision: str | None
    repository: str
    project: str
    codebase: str
    has_patch: bool = msgspec.field(name="hasPatch")
    changes: list[Change]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step. `results` is code and texts, `times` are in seconds since 1970, `urls` by their names.

    `logs` is there in `log_uploaded` alone: name and URL of the content of each log. `statistics` and
    `expectations` are always empty, `eta` null: Buildbot has them no more.
    """

    name: str
    step_number: int
    text: list[str]
    results: tuple[int | None, list[str]]
    is_started: bool = msgspec.field(name="isStarted")
    is_finished: bool = msgspec.field(name="isFinished")
    times: tuple[float | None, float | None]
    eta: None = None
    urls: dict[str, str]
    statistics: dict[str, Any]
    expectations: list[Any]
    logs: list[tuple[str, str]] | UnsetType = UNSET


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """A build. `builderName` is the plain name, `blame` names who wrote the changes.

    `times` are written `2026-11-24T11:04:24+0000`; the second is null where the build has not ended. A build
    that starts has no results, no texts and no steps yet. `sourceStamp` is that of the codebase `''`, else
    the first; `sourceStamps` is there where it has several. `currentStep` and `eta` are always null.
    """

    slave: str
    builder_name: str = msgspec.field(name="builderName")
    text: list[str]
    number: int
    current_step: None = msgspec.field(name="currentStep", default=None)
    results: int | None
    blame: list[str]
    reason: str
    eta: None = None
    steps: list[Step]
    source_stamp: SourceStamp = msgspec.field(name="sourceStamp")
    source_stamps: list[SourceStamp] | UnsetType = msgspec.field(name="sourceStamps", default=UNSET)
    times: tuple[str | None, str | None]
    properties: list[Property]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a build; one that ended without a build has `results`: 6 cancelled, 3 collapsed."""

    id: int
    builder_name: str = msgspec.field(name="builderName")
    reason: str
    source: SourceStamp
    submitted_at: int | None = msgspec.field(name="submittedAt")
    builds: list[Any]
    results: int | UnsetType = UNSET


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that connected, with what it says of itself."""

    name: str
    host: str
    admin: str
    version: str
    connected: bool


def properties(found: Row | None, hide: Sequence[str]) -> list[Property]:
    """Give properties as triples in the order of their names, without those whose name a pattern fits."""
    return [
        (name, plain(value, hide), str(source))
        for name, (value, source) in sorted((found or {}).items())
        if not is_hidden(name, hide)
    ]


def plain(value: Any, hide: Sequence[str], depth: int = _DEEPEST) -> Any:
    """Give a value of a property as JSON can hold it: numbers beyond 64 bits become texts.

    Of an object, what a pattern fits the name of is left out. What is nested deeper than fifty levels becomes
    null.
    """
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return str(value)
    if isinstance(value, Mapping | list | tuple) and depth <= 0:
        return None
    if isinstance(value, Mapping):
        return {
            str(key): plain(part, hide, depth - 1)
            for key, part in value.items()
            if not is_hidden(str(key), hide)
        }
    if isinstance(value, list | tuple):
        return [plain(part, hide, depth - 1) for part in value]
    return value


def change(row: Row, hide: Sequence[str]) -> Change:
    """Give a change from its row."""
    revision = _maybe(row.get("revision"))
    when = _seconds(row.get("when_timestamp"))
    return Change(
        number=row["changeid"],
        who=_text(row.get("author")),
        when=when,
        at="" if when is None else datetime.fromtimestamp(when, UTC).strftime("%a %d %b %Y %H:%M:%S"),
        branch=_maybe(row.get("branch")),
        revision=revision,
        rev=revision,
        comments=_text(row.get("comments")),
        files=[ChangedFile(_text(name)) for name in row.get("files") or ()],
        properties=properties(row.get("properties"), hide),
        category=_maybe(row.get("category")),
        project=_text(row.get("project")),
        repository=_text(row.get("repository")),
        revlink=_maybe(row.get("revlink")),
        codebase=_text(row.get("codebase")),
    )


def source_stamps(buildset: Row, changes: Sequence[Change]) -> list[SourceStamp]:
    """Give the source stamps of a buildset, that of the codebase `''` first, each with its changes."""
    rows = buildset.get("sourcestamps") or [{}]
    return [
        SourceStamp(
            branch=_maybe(row.get("branch")),
            revision=_maybe(row.get("revision")),
            repository=_text(row.get("repository")),
            project=_text(row.get("project")),
            codebase=_text(row.get("codebase")),
            has_patch=row.get("patch") is not None,
            changes=[each for each in changes if each.codebase == _text(row.get("codebase"))],
        )
        for row in sorted(rows, key=lambda row: _text(row.get("codebase")))
    ]


def step(row: Row, logs: Sequence[Row] | None, url: str) -> Step:
    """Give a step from its row; `logs` are those of its logs, `url` is that of the master."""
    results = row.get("results")
    return Step(
        name=_text(row.get("name")),
        step_number=row.get("number") or 0,
        text=[_text(row["state_string"])] if row.get("state_string") else [],
        results=(results, []),
        is_started=row.get("started_at") is not None,
        is_finished=bool(row.get("complete")),
        times=(_float(row.get("started_at")), _float(row.get("complete_at"))),
        urls={_text(each.get("name")): _text(each.get("url")) for each in row.get("urls") or ()},
        statistics={},
        expectations=[],
        logs=UNSET
        if logs is None
        else [(_text(log.get("name")), f"{url}api/v2/logs/{log['logid']}/raw") for log in logs],
    )


def begun(row: Row) -> Row:
    """Give the row of a step as it was when it began."""
    return {**row, "complete": False, "complete_at": None, "results": None, "urls": [], "state_string": ""}


def request(row: Row, builder: str, buildset: Row) -> Request:
    """Give a request from its row."""
    return Request(
        id=row["buildrequestid"],
        builder_name=builder,
        reason=_text(buildset.get("reason")),
        source=source_stamps(buildset, [])[0],
        submitted_at=_seconds(row.get("submitted_at")),
        builds=[],
    )


def worker(row: Row) -> Worker:
    """Give a worker from its row."""
    info = row.get("workerinfo") or {}
    return Worker(
        name=_text(row.get("name")),
        host=_text(info.get("host")).strip(),
        admin=_text(info.get("admin")).strip(),
        version=_text(info.get("version")),
        connected=bool(row.get("connected_to")),
    )


def written(seconds: Any) -> str | None:
    """Give a time as Pulse's consumers know it: `2026-11-24T11:04:24+0000`."""
    at = _seconds(seconds)
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def _seconds(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and 0 <= value <= _LATEST else None


def _float(value: Any) -> float | None:
    at = _seconds(value)
    return None if at is None else float(at)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _maybe(value: Any) -> str | None:
    return None if value is None else str(value)
