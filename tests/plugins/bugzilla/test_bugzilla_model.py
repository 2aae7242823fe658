"""A model that changes bugs at random instants, and a poller that must not miss one of them."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pulseshim import Checkpoint, PulseshimError, Settings
from pulseshim.testing import MemoryState
from pulseshim_plugins.bugzilla_options import read_servers
from pulseshim_plugins.bugzilla_poll import Poller
from pulseshim_shims.bugzilla import BugChange, BugChangedMessage, BugEvent, change_messages, simple_messages
from tests.bugzilla_server import KEY, BugzillaServer, Reply, Request, page
from tests.plugins.bugzilla.polling import history_of

if TYPE_CHECKING:
    from pulseshim_plugins.bugzilla_options import Server

BUGS = 8
bugs = st.integers(1, BUGS)


class Tracker(RuleBasedStateMachine):
    """Bugs that change, hide and show themselves; a poller that is started, cut short and killed."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = ExitStack()
        self.directory = self.ends.enter_context(TemporaryDirectory())
        self.begun = False
        self.stored: dict[str, dict[str, str]] = {}
        self.announced: dict[tuple[int, str], str] = {}
        self.told: dict[tuple[int, str, str], str] = {}
        self.public: set[tuple[int, str, str]] = set()
        self.made = 0
        self.during: list[Callable[[], Any]] = []
        self.broken: set[int] = set()

    @initialize(
        maximum=st.sampled_from([1, 2, 3, 5, 100]),
        keyed=st.booleans(),
        changes=st.sampled_from([True, True, False]),
        header=st.booleans(),
        protocol=st.sampled_from(["rest", "xmlrpc"]),
        overlap=st.sampled_from(["0s", "3s", "1m"]),
        zone=st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"]),
    )
    def begin(
        self, maximum: int, keyed: bool, changes: bool, header: bool, protocol: str, overlap: str, zone: str
    ) -> None:
        """Start from now: what was filed before is not looked for."""
        self.server = BugzillaServer(zone=zone, maximum=maximum)
        self.ends.callback(self.server.close)
        self.server.takes_header = header
        self.server.before = lambda _: self._between()
        self.server.amid = self._between
        self.server.faults = self._fault
        self.server.file(count=BUGS)
        self.server.pass_time(100)
        key = Path(self.directory) / "key"
        key.write_text(KEY)
        table = {"url": self.server.url, "protocol": protocol, "overlap": overlap, "changes": changes}
        table |= {"api_key_file": str(key)} if keyed else {}
        self.keyed = keyed
        (self.settings,) = read_servers(Settings(plugins={"bugzilla": {"servers": {"main": table}}}))
        self.started = self.server.now
        self.poller = Poller(self.settings)
        self.begun = True
        self.poll()

    settings: "Server"

    def _between(self) -> None:
        if self.during:
            self.during.pop(0)()

    def _fault(self, request: Request) -> Reply | None:
        return page(500) if history_of(request) in self.broken else None

    @rule(bug=bugs)
    def change(self, bug: int) -> None:
        """Change a bug in this second."""
        self.made += 1
        when = self.server.change(bug, added=str(self.made))
        if not self.server.bugs[bug].private:
            self.public.add((bug, when, str(self.made)))

    @rule(bug=bugs)
    def change_around_a_poll(self, bug: int) -> None:
        """Change a bug before and after a poll, within one second if the poll takes none, and poll again."""
        self.change(bug)
        self.poll()
        self.change(bug)
        self.server.pass_time(1)
        self.poll()

    @rule(seconds=st.sampled_from([1, 2, 30, 400, 3_000_000]))
    def wait(self, seconds: int) -> None:
        """Let time pass: the poller is down meanwhile."""
        self.server.pass_time(seconds)

    @rule(bug=bugs, private=st.booleans())
    def hide(self, bug: int, private: bool) -> None:
        """Make a bug private or public: what it kept to itself once need not be told."""
        self.server.hide(bug, private=private)
        if private:
            self.public = {change for change in self.public if change[0] != bug}

    @precondition(lambda self: len(self.during) < 6)
    @rule(bug=bugs, later=st.booleans(), private=st.none() | st.booleans())
    def change_during_the_walk(self, bug: int, later: bool, private: bool | None) -> None:
        """Change a bug before the next request is answered: a field, or who may see it."""

        def act() -> None:
            self.server.pass_time(1 if later else 0)
            if private is None:
                self.change(bug)
            else:
                self.hide(bug, private=private)

        self.during.append(act)

    @precondition(lambda self: len(self.broken) < 3)
    @rule(bug=bugs)
    def break_history(self, bug: int) -> None:
        """Let the server fail whenever it is asked for the history of a bug."""
        self.broken.add(bug)

    @rule()
    def mend_histories(self) -> None:
        """Let it answer again."""
        self.broken.clear()

    @rule(steps=st.integers(0, 12))
    def be_killed(self, steps: int) -> None:
        """Poll, and die before the end: what is not stored yet is gone."""
        state = MemoryState(self.stored)
        pending: list[BugEvent] = []
        for event, _ in zip(self.poller.poll(state), range(steps), strict=False):
            if not isinstance(event, Checkpoint):
                pending.append(event)
            else:
                self._store(pending, state)
                pending = []
        self.poller = Poller(self.settings)

    @rule(requests=st.integers(0, 5))
    def fail(self, requests: int) -> None:
        """Poll a server that goes down after some requests."""
        self.during = [lambda: None] * requests + [lambda: self.server.replies.append(page(503))]
        state = MemoryState(self.stored)
        pending: list[BugEvent] = []
        try:
            for event in self.poller.poll(state):
                if not isinstance(event, Checkpoint):
                    pending.append(event)
                else:
                    self._store(pending, state)
                    pending = []
        except PulseshimError:
            pass
        else:
            self._store(pending, state)
        self.during = []
        self.server.replies = []

    @rule()
    def poll(self) -> None:
        """Poll to the end; then every change that was there when it began has been announced."""
        there = {(bug.id, bug.changed) for bug in self._visible() if bug.changed >= self.started}
        now = self.server.now.strftime("%Y-%m-%dT%H:%M:%S")
        public = {change for change in self.public if change[1] < now}
        state = MemoryState(self.stored)
        events = list(self.poller.poll(state))
        self._store([event for event in events if not isinstance(event, Checkpoint)], state)
        still = {(bug.id, bug.changed) for bug in self._visible()}
        for number, changed in there & still:
            assert (number, changed.strftime("%Y-%m-%dT%H:%M:%S")) in self.announced
        if self.settings.options.changes:
            aside = self.broken | {int(bug) for bug in state.get("aside")}
            assert {c for c in public & self.public if c[0] not in aside} <= self.told.keys()

    def _visible(self) -> list[Any]:
        return [bug for bug in self.server.bugs.values() if self.keyed or not bug.private]

    def _store(self, events: list[BugEvent], state: MemoryState) -> None:
        for event in events:
            if isinstance(event, BugChange):
                (message,) = simple_messages(event)
                known = self.announced.setdefault((event.id, event.time), message.message_id)
                assert known == message.message_id
            for told in change_messages(event):
                if isinstance(told, BugChangedMessage):
                    known = self.told.setdefault((told.bug, told.when, told.after), told.message_id)
                    assert known == told.message_id
        assert len(set(self.announced.values())) == len(self.announced)
        assert len(set(self.told.values())) == len(self.told)
        if state.counts["missed"]:
            given_up = self.stored.get("aside", {}).keys() - state.get("aside").keys()
            self.public = {change for change in self.public if str(change[0]) not in given_up}
        self.stored = MemoryState(state.entries).entries

    def teardown(self) -> None:
        """Poll a last time, and see that nothing was made up."""
        with self.ends:
            if not self.begun:  # Hypothesis had not enough left to do it
                return
            self.during = []
            self.broken.clear()
            self.server.pass_time(3600)
            self.poll()
            assert not self.stored.get("aside")
            made = {
                (bug.id, entry["when"].removesuffix("Z"))
                for bug in self.server.bugs.values()
                for entry in bug.history
            }
            assert self.announced.keys() <= made


def test_every_change_is_announced_at_least_once_and_each_id_is_stable() -> None:
    """Whenever bugs change, be it within one second, during a walk, or while nobody polls."""
    run_state_machine_as_test(
        Tracker,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
