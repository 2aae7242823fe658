"""What the reporter inside a master recorded: the same events that the listener finds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import msgspec

from pulseshim import Invocation, PulseshimError, State, Suspicious, User
from pulseshim_plugins.buildbot_frames import decoded
from pulseshim_plugins.buildbot_history import identity
from pulseshim_plugins.buildbot_options import MasterOptions, base, server
from pulseshim_plugins.buildbot_shape import Number, misshapen
from pulseshim_plugins.trust import is_trusted
from pulseshim_shims.buildbot_event import BuildEvent, Master
from pulseshim_shims.buildbot_payload import Row


class NotABuild(PulseshimError):
    """What an invocation holds is none that a reporter wrote: look at what did."""


class _Record(TypedDict):
    master_name: str
    master_incarnation: str
    build: Row
    buildset: Row
    builder: str
    worker: str
    changes: Sequence[Row]
    steps: Sequence[Row]
    logs: Mapping[Number, Sequence[Row]]


def read_build(invocation: Invocation, state: State, options: MasterOptions) -> Iterator[BuildEvent]:
    """Give what an invocation of the reporter tells of: a build that started (`new`) or ended (`finished`).

    The end of a build tells of its start, too, in case that was not recorded; that all logs are complete
    follows, if they are. What the listener has announced already is not announced twice. Raises
    `Suspicious` where the master did not write it, `NotABuild` where it is none.
    """
    _check_writer(invocation, options)
    found = _record(invocation.stdin)
    master = Master(
        server=identity(state, server(options.url)),
        url=base(options.url),
        name=found["master_name"],
        incarnation=found["master_incarnation"],
    )
    told: Any = {name: found[name] for name in ("build", "builder", "worker", "buildset", "changes")}
    yield BuildEvent(master=master, state="started", **told)
    if "finished" not in invocation.arguments:
        return
    steps, logs = found["steps"], found["logs"]
    yield BuildEvent(master=master, state="finished", steps=steps, **told)
    if all(log["complete"] for rows in logs.values() for log in rows):
        yield BuildEvent(master=master, state="log_uploaded", steps=steps, logs=logs, **told)


def _check_writer(invocation: Invocation, options: MasterOptions) -> None:
    """Raise `Suspicious` where somebody else than the master wrote an invocation.

    What they tell would take the identity of a build that is yet to come, and keep it from being told.
    """
    owner = invocation.owner
    if owner is not None and not is_trusted(owner, options.trusted_users):
        raise Suspicious(
            f"user {User(owner)} recorded this, who is not known as the account of the master",
            "if the master runs as that user, name it in the master's trusted_users",
        )


def _record(content: bytes) -> _Record:
    try:
        found = msgspec.convert(decoded(content), _Record, str_keys=True)
    except ValueError as error:  # msgspec's own are such, too
        raise _no_build(str(error)) from error
    rows: dict[str, Sequence[Row]] = {
        "builds": [found["build"]],
        "buildsets": [found["buildset"]],
        "changes": found["changes"],
        "steps": found["steps"],
        "logs": [log for rows in found["logs"].values() for log in rows],
    }
    for resource, those in rows.items():
        if fault := misshapen(resource, those):
            raise _no_build(f"{resource}: {fault}")
    return found


def _no_build(problem: str) -> NotABuild:
    return NotABuild(
        f"this is no build of a Buildbot: {problem}", "look at what recorded it, then discard it"
    )
