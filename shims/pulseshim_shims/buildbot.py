"""What happens at a Buildbot master: from what was read of it to the messages that announce it."""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from pulseshim_shims.buildbot_event import (
    BuildbotEvent,
    BuildEvent,
    ChangeEvent,
    Heartbeat,
    Master,
    RequestEvent,
    StepEvent,
    WorkerEvent,
)
from pulseshim_shims.buildbot_fitting import fitted
from pulseshim_shims.buildbot_message import (
    BuildbotMessage,
    BuildFinishedMessage,
    BuildStartedMessage,
    ChangeAddedMessage,
    HeartbeatMessage,
    LogUploadedMessage,
    RequestCancelledMessage,
    RequestSubmittedMessage,
    StepFinishedMessage,
    StepStartedMessage,
    WorkerConnectedMessage,
    WorkerDisconnectedMessage,
)
from pulseshim_shims.buildbot_payload import (
    Build,
    begun,
    change,
    properties,
    request,
    source_stamps,
    step,
    worker,
    written,
)
from pulseshim_shims.buildbot_secrets import HIDDEN, without_logins
from pulseshim_shims.buildbot_words import word

MAX_BYTES = 1024 * 1024
"""The limit for the encoded envelope of a message, in bytes, where no other is set."""

_IDS = 100


def buildbot_messages(
    event: BuildbotEvent, hide: Sequence[str] = HIDDEN, max_bytes: int = MAX_BYTES
) -> Iterator[BuildbotMessage]:
    """Give the message of an event, without the properties that `hide` has patterns for, and without logins.

    Its envelope has at most `max_bytes` (16 KiB or more).
    """
    # Before it is cut: of half a login nobody could say that it is one.
    yield fitted(without_logins(_message(event, hide)), max_bytes)


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
