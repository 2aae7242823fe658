"""What a poll of a Bugzilla gives."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pulseshim.testing import MemoryState
from pulseshim_plugins.bugzilla_poll import Poller
from pulseshim_shims.bugzilla import BugChange
from tests.bugzilla_server import Request

if TYPE_CHECKING:
    from pulseshim_plugins.bugzilla_options import Server

Configure = Callable[..., "Server"]


def poll(poller: Poller, state: MemoryState) -> list[tuple[int, str]]:
    """Give id and time of the bugs that one poll gives, in their order."""
    return [(event.id, event.time) for event in poller.poll(state) if isinstance(event, BugChange)]


def history_of(request: Request) -> int:
    """Give the bug whose history is asked for, 0 where none is."""
    if request.path == "Bug.history":
        return int(request.query["ids"][0])
    return int(request.path.split("/")[3]) if request.path.endswith("/history") else 0
