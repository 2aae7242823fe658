"""What happens at a Buildbot master: from what was read of it to the messages that announce it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from pulseshim import Message
from pulseshim_shims.buildbot_fitting import fitted
from pulseshim_shims.buildbot_payload import (
    Build,
    Change,
    Property,
    Request,
    Row,
    Step,
    Worker,
    begun,
    change,
    properties,
    request,
    source_stamps,
    step,
    worker,
    written,
)
from pulseshim_shims.buildbot_words import word

MAX_BYTES = 1024 * 1024
"""The limit for the encoded envelope of a message, in bytes, where no other is set."""

HIDDEN = ("*password*", "*secret*", "*token*", "*credential*", "*_key")
"""Patterns of the names of properties that are not published, where no others are set."""

_IDS = 100


BuildState: TypeAlias = Literal["started", "finished", "log_uploaded"]
StepState: TypeAlias = Literal["started", "finished"]
RequestState: TypeAlias = Literal["submitted", "cancelled"]
WorkerState: TypeAlias = Literal["connected", "disconnected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Master:
    """A master: `server` is its URL without scheme and trailing slash, `url` ends with a slash.

    `incarnation` says which run of the master it is, as far as can be known from outside.
    """

    server: str
    url: str
    name: str
    incarnation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildEvent:
    """What became of a build, with all that it is joined with. `logs` are rows by the id of their step."""

    master: Master
    state: BuildState
    build: Row
    builder: str
    worker: str
    buildset: Row
    changes: Sequence[Row]
    steps: Sequence[Row] = ()
    logs: Mapping[int, Sequence[Row]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent:
    """A step of a build that started or finished."""

    master: Master
    state: StepState
    build: Row
    builder: str
    step: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEvent:
    """A change that the master was told of."""

    master: Master
    change: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvent:
    """A request that was submitted, or that ended without a build."""

    master: Master
    state: RequestState
    request: Row
    builder: str
    buildset: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEvent:
    """A worker that connected or disconnected; `number` counts these for each worker."""

    master: Master
    state: WorkerState
    number: int
    worker: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A master that answers; `number` is that of the interval since 1970."""

    master: Master
    number: int


BuildbotEvent: TypeAlias = BuildEvent | StepEvent | ChangeEvent | RequestEvent | WorkerEvent | Heartbeat


class BuildbotMessage(Message, frozen=True, kw_only=True):
    """What all messages of a master have: two names in `_meta`, and `truncated` where they were cut."""

    in_meta: ClassVar[frozenset[str]] = frozenset({"master_name", "master_incarnation"})

    master_name: str
    master_incarnation: str
    truncated: Literal[True] | UnsetType = UNSET


class BuildStartedMessage(BuildbotMessage, frozen=True, kw_only=True):
    """A build started."""

    type: ClassVar[str] = "buildbot.build-started"

    build: Build
    request_ids: list[int]


class BuildFinishedMessage(BuildbotMessage, frozen=True, kw_only=True):
    """A build ended.

    `results`: 0 success, 1 warnings, 2 failure, 3 skipped, 4 exception, 5 retry, 6 cancelled.
    """

    type: ClassVar[str] = "buildbot.build-finished"

    build: Build
    results: int | None
    request_ids: list[int]


class LogUploadedMessage(BuildbotMessage, frozen=True, kw_only=True):
    """A build ended and all its logs are complete: who reads them from the master now gets all of them."""

    type: ClassVar[str] = "buildbot.log-uploaded"

    build: Build


class StepStartedMessage(BuildbotMessage, frozen=True, kw_only=True):
    """A step of a build started. `properties` are those of the build."""

    type: ClassVar[str] = "buildbot.step-started"

    properties: list[Property]
    step: Step


class StepFinishedMessage(BuildbotMessage, frozen=True, kw_only=True):
    """A step of a build ended. `properties` are those of the build."""

    type: ClassVar[str] = "buildbot.step-finished"

    properties: list[Property]
    step: Step
    results: int | None


class ChangeAddedMessage(BuildbotMessage, frozen=True, kw_only=True):
    """The master was told of a change."""

    type: ClassVar[str] = "buildbot.change-added"

    change: Change


class RequestSubmittedMessage(BuildbotMessage, frozen=True, kw_only=True):
    """A build was asked for."""

    type: ClassVar[str] = "buildbot.request-submitted"

    request: Request


class RequestCancelledMessage(BuildbotMessage, frozen=True, kw_only=True):
    """A request ended without a build: it was cancelled, or collapsed into another."""

    type: ClassVar[str] = "buildbot.request-cancelled"

    request: Request


class WorkerConnectedMessage(BuildbotMessage, frozen=True, kw_only=True):
    """A worker connected to a master."""

    type: ClassVar[str] = "buildbot.worker-connected"

    slave: Worker


class WorkerDisconnectedMessage(BuildbotMessage, frozen=True, kw_only=True):
    """A worker is connected to no master any more."""

    type: ClassVar[str] = "buildbot.worker-disconnected"

    slavename: str


class HeartbeatMessage(BuildbotMessage, frozen=True, kw_only=True):
    """The master answered."""

    type: ClassVar[str] = "buildbot.heartbeat"


MESSAGES: tuple[type[BuildbotMessage], ...] = (
    BuildStartedMessage,
    BuildFinishedMessage,
    LogUploadedMessage,
    StepStartedMessage,
    StepFinishedMessage,
    ChangeAddedMessage,
    RequestSubmittedMessage,
    RequestCancelledMessage,
    WorkerConnectedMessage,
    WorkerDisconnectedMessage,
    HeartbeatMessage,
)


def buildbot_messages(
    event: BuildbotEvent, hide: Sequence[str] = HIDDEN, max_bytes: int = MAX_BYTES
) -> Iterator[BuildbotMessage]:
    """Give the message of an event, without the properties that `hide` has patterns for.

    Its envelope has at most `max_bytes` (16 KiB or more).
    """
    yield fitted(_message(event, hide), max_bytes)


def _message(event: BuildbotEvent, hide: Sequence[str]) -> BuildbotMessage:
    match event:
        case BuildEvent():
            return _build_message(event, hide)
        case StepEvent():
            return _step_message(event, hide)
        case ChangeEvent():
            number = event.change["changeid"]
            place = _place(event.master, f"change.{number}.added", f"changes/{number}")
            return ChangeAddedMessage(**place, change=change(event.change, hide))
        case RequestEvent():
            return _request_message(event)
        case WorkerEvent():
            return _worker_message(event)
        case Heartbeat():
            place = _place(event.master, "heartbeat", f"heartbeat/{event.number}")
            return HeartbeatMessage(**place)


def _place(master: Master, routing_key: str, event_id: str) -> dict[str, Any]:
    """Give what addresses and identifies a message."""
    return {
        "routing_key": routing_key,
        "event_id": f"{master.server}/{event_id}",
        "master_name": master.name,
        "master_incarnation": master.incarnation,
    }


def _build_message(event: BuildEvent, hide: Sequence[str]) -> BuildbotMessage:
    row = event.build
    key = f"build.{word(event.builder)}.{row['number']}.{event.state}"
    place = _place(event.master, key, f"builds/{row['buildid']}/{event.state}")
    request_ids = [row["buildrequestid"]][:_IDS]
    build = _build(event, hide)
    match event.state:
        case "started":
            return BuildStartedMessage(**place, build=build, request_ids=request_ids)
        case "finished":
            return BuildFinishedMessage(**place, build=build, results=build.results, request_ids=request_ids)
        case "log_uploaded":
            return LogUploadedMessage(**place, build=build)


def _build(event: BuildEvent, hide: Sequence[str]) -> Build:
    """Give a build as it was when it came into the state that the event tells of."""
    row, ended = event.build, event.state != "started"
    changes = [change(each, hide) for each in event.changes]
    stamps = source_stamps(event.buildset, changes)
    with_logs = event.state == "log_uploaded"
    return Build(
        slave=event.worker,
        builder_name=event.builder,
        text=[str(row["state_string"])] if ended and row.get("state_string") else [],
        number=row["number"],
        results=row.get("results") if ended else None,
        blame=sorted({each.who for each in changes}),
        reason=str(event.buildset.get("reason") or ""),
        steps=[
            step(each, event.logs.get(each["stepid"], ()) if with_logs else None, event.master.url)
            for each in (event.steps if ended else ())
        ],
        source_stamp=stamps[0],
        source_stamps=stamps if len(stamps) > 1 else UNSET,
        times=(written(row.get("started_at")), written(row.get("complete_at")) if ended else None),
        properties=properties(row.get("properties"), hide),
    )


def _step_message(event: StepEvent, hide: Sequence[str]) -> BuildbotMessage:
    row = event.step
    key = f"build.{word(event.builder)}.{event.build['number']}.step.{word(str(row['name']))}.{event.state}"
    place = _place(event.master, key, f"steps/{row['stepid']}/{event.state}")
    shown = properties(event.build.get("properties"), hide)
    if event.state == "started":
        return StepStartedMessage(**place, properties=shown, step=step(begun(row), None, event.master.url))
    done = step(row, None, event.master.url)
    return StepFinishedMessage(**place, properties=shown, step=done, results=row.get("results"))


def _request_message(event: RequestEvent) -> BuildbotMessage:
    row = event.request
    key = f"request.{word(event.builder)}.{event.state}"
    place = _place(event.master, key, f"buildrequests/{row['buildrequestid']}/{event.state}")
    asked = request(row, event.builder, event.buildset)
    if event.state == "submitted":
        return RequestSubmittedMessage(**place, request=asked)
    return RequestCancelledMessage(**place, request=replace(asked, results=row.get("results")))


def _worker_message(event: WorkerEvent) -> BuildbotMessage:
    name = str(event.worker["name"])
    identity = f"workers/{event.worker['workerid']}/{event.number}/{event.state}"
    place = _place(event.master, f"slave.{word(name)}.{event.state}", identity)
    if event.state == "connected":
        return WorkerConnectedMessage(**place, slave=worker(event.worker))
    return WorkerDisconnectedMessage(**place, slavename=name)
