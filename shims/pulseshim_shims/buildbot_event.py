"""What happened at a Buildbot master, as it was read there: the events that the shim makes messages of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pulseshim_shims.buildbot_payload import Row

BuildState: TypeAlias = Literal["started", "finished", "log_uploaded"]
StepState: TypeAlias = Literal["started", "finished"]
RequestState: TypeAlias = Literal["submitted", "cancelled"]
WorkerState: TypeAlias = Literal["connected", "disconnected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Master:
    """A master: `server` is its URL without scheme and trailing slash, `url` ends with a slash.

    Where its database was seen to be another, `#` and when (in seconds since 1970) end `server`.
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
    """A worker that connected or disconnected; `number` is larger each time that this one does."""

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
