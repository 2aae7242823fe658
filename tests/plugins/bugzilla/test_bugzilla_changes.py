"""Polls with `changes`: each change of a public bug is told, once, and nothing of any other."""

from pulseshim import Checkpoint
from pulseshim.testing import MemoryState
from pulseshim_plugins.bugzilla_poll import Poller
from pulseshim_shims.bugzilla import BugChange, PublicBug
from tests.bugzilla_server import BugzillaServer, Reply, Request
from tests.plugins.bugzilla.polling import Configure

LONG_AGO = "2000-01-01T00:00:00"
SECRET = "the secret plan"


def test_a_poll_tells_each_change_of_a_public_bug_once(
    bugzilla: BugzillaServer, configure: Configure, key_file: str
) -> None:
    """What the overlap shows again is not read again; the private bug is told by id and time alone."""
    bugzilla.file()
    bugzilla.file(private=True)
    bugzilla.pass_time(60)
    poller, state = Poller(configure(bugzilla.url, changes=True, api_key_file=key_file)), MemoryState()
    list(poller.poll(state))
    bugzilla.pass_time(60)
    bugzilla.change(1, added="open")
    bugzilla.change(2, added=SECRET)
    bugzilla.pass_time()

    first = list(poller.poll(state))
    second = list(poller.poll(state))

    assert [event.id for event in first if isinstance(event, BugChange)] == [1, 2]
    assert [event.id for event in first if isinstance(event, PublicBug)] == [1]
    assert [event for event in second if isinstance(event, PublicBug)] == []
    assert SECRET not in f"{first}{second}{state.entries}"


def test_each_of_the_changes_that_a_public_bug_has_in_one_second_is_told(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """Also one that came after a poll of that second: the bug is read once more when the second is over."""
    bugzilla.file()
    bugzilla.pass_time(60)
    poller, state = Poller(configure(bugzilla.url, changes=True)), MemoryState()
    list(poller.poll(state))
    bugzilla.pass_time(60)

    def told() -> list[list[str]]:
        events = [event for event in poller.poll(state) if isinstance(event, PublicBug)]
        return [[change.field for change in event.changes] for event in events]

    bugzilla.change(1, "priority")
    first = told()
    bugzilla.change(1, "severity")
    within = told()
    bugzilla.pass_time(10)
    after = told()
    bugzilla.pass_time(10)
    later = told()

    assert (first, within, after, later) == ([["priority"]], [], [["priority", "severity"]], [])


def test_a_public_bug_that_a_replica_does_not_show_yet_is_asked_for_again(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """Id and time are told at once, what changed with the next poll; a rewound poll reads it once more."""
    poller, state = Poller(configure(bugzilla.url, changes=True)), MemoryState()
    list(poller.poll(state))
    bugzilla.file()
    nothing = Reply(body=b'{"bugs":[]}')
    bugzilla.faults = lambda request: nothing if "id" in request.query else None
    first = list(poller.poll(state))
    bugzilla.faults = lambda _: None

    second, third = list(poller.poll(state)), list(poller.poll(state))
    poller.rewind(state, bugzilla.now)
    fourth = list(poller.poll(state))

    kinds = [{type(event) for event in events} - {Checkpoint} for events in (first, second, third, fourth)]
    assert kinds == [{BugChange}, {BugChange, PublicBug}, {BugChange}, {BugChange, PublicBug}]


def test_a_bug_that_turns_private_between_the_poll_and_the_reading_is_told_by_id_alone(
    bugzilla: BugzillaServer, configure: Configure, key_file: str
) -> None:
    """At whatever request it turns private, none of its words is in what the poll gives or keeps."""
    for at_request in range(8):
        number = bugzilla.file()
        poller, state = Poller(configure(bugzilla.url, changes=True, api_key_file=key_file)), MemoryState()
        list(poller.poll(state))
        bugzilla.pass_time(60)
        bugzilla.change(number, added=f"{SECRET} {number}")
        left = [at_request]

        def hide(_: Request, number: int = number, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                bugzilla.hide(number)

        bugzilla.before = hide
        events = list(poller.poll(state))
        bugzilla.before = lambda _: None

        hidden_in_time = bugzilla.bugs[number].private
        assert number in [event.id for event in events if isinstance(event, BugChange)]
        assert (f"{SECRET} {number}" in f"{events}{state.entries}") is not hidden_in_time
