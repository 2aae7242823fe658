"""What a row of a master's REST API must have, for all that is done with it to be possible.

Fields that are not relied on are not looked at. https://docs.buildbot.net/latest/developer/rest.html
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Results = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)] | None
Properties = Mapping[str, tuple[Any, Any]] | None
Objects = Sequence[Mapping[str, Any]] | None


class _MasterRow(TypedDict):
    masterid: Number
    name: str
    active: Any


class _BuilderRow(TypedDict):
    builderid: Number
    name: str


class _WorkerRow(TypedDict):
    workerid: Number
    name: str
    connected_to: Any
    workerinfo: NotRequired[Mapping[str, Any] | None]


class _BuildRow(TypedDict):
    buildid: Number
    number: Number
    builderid: Number
    buildrequestid: Number
    workerid: Number | None
    masterid: Number | None
    complete: Any
    results: NotRequired[Results]
    properties: NotRequired[Properties]


class _RequestRow(TypedDict):
    buildrequestid: Number
    buildsetid: Number
    builderid: Number
    complete: Any
    claimed_by_masterid: Number | None
    results: NotRequired[Results]


class _BuildsetRow(TypedDict):
    bsid: Number
    sourcestamps: NotRequired[Objects]


class _ChangeRow(TypedDict):
    changeid: Number
    files: NotRequired[Sequence[Any] | None]
    properties: NotRequired[Properties]


class _StepRow(TypedDict):
    stepid: Number
    name: Any
    started_at: Any
    complete: Any
    number: NotRequired[Number | None]
    results: NotRequired[Results]
    urls: NotRequired[Objects]


class _LogRow(TypedDict):
    logid: Number
    complete: Any


_SHAPES: Mapping[str, Any] = {
    "masters": _MasterRow,
    "builders": _BuilderRow,
    "workers": _WorkerRow,
    "builds": _BuildRow,
    "buildrequests": _RequestRow,
    "buildsets": _BuildsetRow,
    "changes": _ChangeRow,
    "steps": _StepRow,
    "logs": _LogRow,
}


def misshapen(path: str, rows: Any, fields: Sequence[str] = ()) -> str:
    """Give what keeps the rows at a path such as `builds/7/steps` from being rows of it; empty: nothing.

    Where only some fields were asked for, they are numbers. What it says is of names and types, never of
    what stands in a row.
    """
    resource = next((part for part in reversed(path.split("/")) if part in _SHAPES), "")
    shape: Any = list[dict[str, Number]] if fields else list[_SHAPES.get(resource, dict)]  # type: ignore[misc]
    try:
        found = msgspec.convert(rows, shape)
    except msgspec.ValidationError as error:
        return str(error)
    return f"no {', '.join(fields)}" if any(set(fields) - row.keys() for row in found) else ""
