"""The types of the messages on `exchange/build/`."""

from typing import ClassVar, Literal

from msgspec import UNSET, UnsetType

from pulseshim import Message
from pulseshim_shims.buildbot_payload import Build, Change, Property, Request, Step, Worker


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
