"""What the reporter inside a master recorded: the same events that the listener finds."""

import json
from collections.abc import Iterator

from pulseshim import Invocation, State
from pulseshim_plugins.buildbot_options import MasterOptions, base, server
from pulseshim_shims.buildbot_event import BuildEvent, Master


def read_build(invocation: Invocation, _state: State, options: MasterOptions) -> Iterator[BuildEvent]:
    """Give what an invocation of the reporter tells of: a build that started (`new`) or ended (`finished`).

    The end of a build tells of its start, too, in case that was not recorded; that all logs are complete
    follows, if they are. What the listener has announced already is not announced twice.
    """
    found = json.loads(invocation.stdin)
    master = Master(
        server=server(options.url),
        url=base(options.url),
        name=found["master_name"],
        incarnation=found["master_incarnation"],
    )
    told = {name: found[name] for name in ("build", "builder", "worker", "buildset", "changes")}
    yield BuildEvent(master=master, state="started", **told)
    if "finished" not in invocation.arguments:
        return
    logs = {int(number): rows for number, rows in found["logs"].items()}
    yield BuildEvent(master=master, state="finished", steps=found["steps"], **told)
    if all(log["complete"] for rows in logs.values() for log in rows):
        yield BuildEvent(master=master, state="log_uploaded", steps=found["steps"], logs=logs, **told)
