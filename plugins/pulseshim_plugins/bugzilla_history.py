"""The histories of changed bugs, read a few at a time: what was read stays, whatever comes of the rest.

The state under `recent` is which bugs were read, at which of their times, and when. Under `aside` are bugs
whose history cannot be read while the server answers all else: from when on it is wanted, when it was asked
for first and when last. All times are the server's.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from pulseshim import Checkpoint, PulseshimError, State
from pulseshim_plugins.bugzilla_client import Client, Row
from pulseshim_plugins.bugzilla_gate import public_now, read_candidates
from pulseshim_plugins.bugzilla_options import Server
from pulseshim_shims.bugzilla import PublicBug

log = logging.getLogger(__name__)

_RECENT = "recent"
_ASIDE = "aside"
_STEP = 10
"""So many bugs are read and let through at once: a server that allows few requests allows at least these."""

_MOST_IN_A_POLL = 5
_MOST = 100
"""Where more bugs than these cannot be read, it is the server's trouble: the poll fails and goes on later."""

_LONGEST_WAIT = timedelta(hours=1)
_GIVEN_UP_AFTER = timedelta(days=7)


class Histories:
    """Reads histories in one poll, by a client without a key; `now` is the server's time as it began.

    `connect` gives that client, and is called when there is something to read.
    """

    def __init__(self, server: Server, connect: Callable[[], Client], state: State, now: str) -> None:
        self._server = server
        self._connect = connect
        self._state = state
        self._now = now
        self._failed: set[int] = set()

    def read(self, page: list[Row], since: str) -> Iterator[PublicBug | Checkpoint]:
        """Give what changed since a time in public bugs of a page that were not read yet, step by step.

        Raises `PulseshimError` where the server cannot be asked; a checkpoint comes before it.
        """
        recent, aside = self._state.get(_RECENT), self._state.get(_ASIDE)
        times = {
            bug: at
            for at, bug in page
            if str(bug) not in aside and not _is_read(recent.get(str(bug), ""), at, self._now)
        }

        def unreadable(bug: int, error: PulseshimError) -> None:
            self._set_aside(bug, since, error)

        if not times:
            return
        try:
            anonymous = self._connect()
            candidates = read_candidates(anonymous, times, unreadable)
            while step := list(islice(candidates, _STEP)):
                shown = {}
                for bug in public_now(anonymous, self._server.identity, step, since):
                    shown[str(bug.id)] = f"{times[bug.id]} {self._now}"
                    yield bug
                # What the next poll meets again need not be read again. But what was not shown is asked for
                # again: a replica may not know yet that it is there, or public.
                self._state.set(_RECENT, self._state.get(_RECENT) | shown)
                if len(step) == _STEP:
                    yield Checkpoint()
        except Exception:
            # Ids and times go out, and the next poll goes on behind what was read.
            yield Checkpoint()
            raise

    def read_again(self) -> Iterator[PublicBug | Checkpoint]:
        """Give what changed in bugs that were set aside and can be read now. Raises as `read`.

        After a failure as much time passes as since the first one, an hour at most.
        """
        for bug, noted in self._state.get(_ASIDE).items():
            since, first, asked = noted.split()
            if int(bug) not in self._failed and _is_due(first, asked, self._now):
                # The walk is done, and must not be repeated for this one's sake.
                yield Checkpoint()
                yield from self._read_again(int(bug), since, first, asked)

    def _read_again(self, bug: int, since: str, first: str, asked: str) -> Iterator[PublicBug]:
        def unreadable(bug: int, error: PulseshimError) -> None:
            if _later(asked, first) > _GIVEN_UP_AFTER:
                self._state.count("missed")
                log.error("bug given up", extra={**self._named(bug), "error": str(error)})
            else:
                left[str(bug)] = f"{since} {first} {self._now}"

        left: dict[str, str] = {}
        anonymous = self._connect()
        candidates = list(read_candidates(anonymous, [bug], unreadable))
        yield from public_now(anonymous, self._server.identity, candidates, since)
        aside = self._state.get(_ASIDE)
        del aside[str(bug)]
        self._state.set(_ASIDE, aside | left)

    def _set_aside(self, bug: int, since: str, error: PulseshimError) -> None:
        """Set a bug aside whose history cannot be read. Raises the error where that befalls many."""
        aside = self._state.get(_ASIDE)
        if len(self._failed) == _MOST_IN_A_POLL or len(aside) >= _MOST:
            raise error
        self._failed.add(bug)
        self._state.set(_ASIDE, aside | {str(bug): f"{since} {self._now} {self._now}"})
        self._state.count("unreadable")
        log.warning("bug set aside", extra={**self._named(bug), "error": str(error)})

    def _named(self, bug: int) -> dict[str, object]:
        return {"feed": f"bugzilla.{self._server.name}", "bug": bug}


def forget_read(state: State, before: str) -> None:
    """Forget which bugs were read before a time: no poll meets them again as they were."""
    state.set(_RECENT, {bug: noted for bug, noted in state.get(_RECENT).items() if noted >= before})


def want_again(state: State, since: str) -> None:
    """Let the next poll read all that changed since a time, whether it was read or not."""
    state.set(_RECENT, {})
    aside = {bug: noted.split() for bug, noted in state.get(_ASIDE).items()}
    state.set(_ASIDE, {bug: f"{min(at, since)} {first} {first}" for bug, (at, first, _) in aside.items()})


def _is_read(noted: str, at: str, now: str) -> bool:
    """Say whether a bug that changed at a time need not be read, by the note of that time and of its reading.

    In the second of its change it may change once more: when that is over, it is read again.
    """
    changed, _, read = noted.partition(" ")
    return changed == at and (at < read or now <= at)


def _is_due(first: str, asked: str, now: str) -> bool:
    """Say whether a bug is asked for again; at once where the server's clock was set back."""
    wait = min(_later(asked, first), _LONGEST_WAIT)
    return not timedelta() <= _later(now, asked) < wait


def _later(at: str, than: str) -> timedelta:
    return datetime.fromisoformat(at) - datetime.fromisoformat(than)
