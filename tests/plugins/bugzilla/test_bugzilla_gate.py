"""The privacy gate: nothing that is not public at this moment goes through, whatever was read before."""

from collections.abc import Callable

import pytest

from pulseshim import Checkpoint, Envelope, Exchange, SourceUnavailable
from pulseshim.envelope import seal
from pulseshim.testing import MemoryState
from pulseshim_plugins.bugzilla_admit import Gatekeeper
from pulseshim_plugins.bugzilla_client import Client
from pulseshim_plugins.bugzilla_gate import Candidate, public_now, read_candidates, still_public
from pulseshim_plugins.bugzilla_poll import Poller
from pulseshim_shims.bugzilla import CHANGES, BugChange, BugClosedMessage, PublicBug
from tests.bugzilla_server import KEY, BugzillaServer, Reply, Request, page
from tests.plugins.bugzilla.polling import Configure

LONG_AGO = "2000-01-01T00:00:00"
SECRET = "the secret plan"


@pytest.fixture(params=["rest", "xmlrpc"])
def anonymous(bugzilla: BugzillaServer, configure: Configure, request: pytest.FixtureRequest) -> Client:
    """Give a client without a key."""
    client = Client(configure(bugzilla.url, protocol=request.param), "")
    client.connect()
    return client


def gate(client: Client, candidates: list[Candidate]) -> list[PublicBug]:
    """Give what goes through."""
    return list(public_now(client, "bugzilla.test", candidates, LONG_AGO))


def envelopes(*bugs: int) -> list[Envelope]:
    """Give an envelope for each bug, as it would wait to be published."""
    exchange = Exchange("exchange/bugzilla/", "Changes", "Of the tests.", CHANGES)
    messages = [
        BugClosedMessage(routing_key="bug.closed", event_id=f"{n} {bug}", who="a", when="b", bug=bug)
        for n, bug in enumerate(bugs)
    ]
    return [seal(message, exchange, sequence=n, sent=0) for n, message in enumerate(messages, 1)]


def test_a_public_bug_goes_through_with_its_history(bugzilla: BugzillaServer, anonymous: Client) -> None:
    """Who filed it, and what changed in which field."""
    bugzilla.file()
    bugzilla.change(1, "priority", "P3", "P1")

    (bug,) = gate(anonymous, list(read_candidates(anonymous, [1])))

    assert (bug.id, bug.creator, bug.created) == (1, "dev@bugzilla.test", "2026-11-24T12:00:00")
    (change,) = bug.changes
    assert (change.field, change.removed, change.added) == ("priority", "P3", "P1")


def test_what_happened_before_the_last_poll_is_left_out(bugzilla: BugzillaServer, anonymous: Client) -> None:
    """Filing and changes are told from a time on."""
    bugzilla.file()
    bugzilla.change(1, added="old")
    bugzilla.pass_time(10)
    bugzilla.change(1, added="new")

    (bug,) = public_now(anonymous, "s", read_candidates(anonymous, [1]), "2026-11-24T12:00:05")

    assert bug.creator is None
    assert [change.added for change in bug.changes] == ["new"]


def test_a_private_bug_is_not_even_read(bugzilla: BugzillaServer, anonymous: Client) -> None:
    """Nor is one that does not exist."""
    bugzilla.file(private=True)

    assert list(read_candidates(anonymous, [1, 99])) == []


def test_a_bug_that_turned_private_after_it_was_read_is_kept_back(
    bugzilla: BugzillaServer, anonymous: Client
) -> None:
    """What counts is who may see it when it is let through."""
    bugzilla.file(count=2)
    bugzilla.change(1, added=SECRET)
    candidates = list(read_candidates(anonymous, [1, 2]))
    bugzilla.hide(1)

    through = gate(anonymous, candidates)

    assert SECRET in str(candidates)
    assert [bug.id for bug in through] == [2]


def test_a_bug_that_turns_private_between_two_questions_is_passed_over(
    bugzilla: BugzillaServer, anonymous: Client
) -> None:
    """The history is refused then: that is no failure of the poll."""
    bugzilla.file(count=2)

    def hide(request: Request) -> None:
        if "istory" in request.path and not bugzilla.bugs[1].private:
            bugzilla.hide(1)

    bugzilla.before = hide

    assert [candidate.id for candidate in read_candidates(anonymous, [1, 2])] == [2]


def test_a_bug_that_is_in_a_group_is_kept_back_though_it_is_shown(
    bugzilla: BugzillaServer, anonymous: Client
) -> None:
    """A server that shows a restricted bug to all by mistake does not make us tell of it."""
    bugzilla.file(private=True)
    bugzilla.users = {"": "a guest who sees all"}

    assert gate(anonymous, list(read_candidates(anonymous, [1]))) == []


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("attachments.description", {"attachment_id": 7}),
        ("flagtypes.name", {"attachment_id": 7}),
        ("longdesc", {"comment_id": 3}),
        ("comment_revision", {}),
        ("longdescs.isprivate", {}),
        ("groups", {}),
        ("bug_group", {}),
    ],
)
def test_what_a_history_says_of_attachments_comments_and_groups_stays_behind(
    bugzilla: BugzillaServer, anonymous: Client, field: str, more: dict[str, int]
) -> None:
    """They have a visibility of their own, which the bug's does not tell."""
    bugzilla.file()
    bugzilla.change(1, field, "", SECRET, **more)

    (bug,) = gate(anonymous, list(read_candidates(anonymous, [1])))

    assert bug.changes == ()


def test_where_everybody_must_log_in_nothing_is_public(bugzilla: BugzillaServer, anonymous: Client) -> None:
    """The simple feed goes on with its key; there is nothing else to tell."""
    bugzilla.file()
    candidates = list(read_candidates(anonymous, [1]))
    bugzilla.requires_login = True

    assert list(read_candidates(anonymous, [1])) == []
    assert gate(anonymous, candidates) == []


def test_what_waits_goes_where_its_bug_is_public_still(bugzilla: BugzillaServer, anonymous: Client) -> None:
    """One request for all, one more for what it lacks: neither what turned private goes, nor what is gone."""
    bugzilla.file(count=3)
    waiting = envelopes(1, 2, 1, 99, 3)
    bugzilla.hide(2)
    bugzilla.requests.clear()

    free = still_public(anonymous, waiting)

    assert free == [waiting[0], waiting[2], waiting[4]]
    assert len(bugzilla.requests) == 2


def test_a_bug_that_is_public_again_goes(bugzilla: BugzillaServer, anonymous: Client) -> None:
    """What counts is this moment."""
    bugzilla.file()
    bugzilla.hide(1)
    bugzilla.hide(1, private=False)

    assert still_public(anonymous, envelopes(1)) == envelopes(1)


def test_a_gatekeeper_that_cannot_ask_says_so_and_asks_anew(
    bugzilla: BugzillaServer, configure: Configure, key_file: str
) -> None:
    """An outage is no answer; and the key of the poller is never used."""
    bugzilla.file()
    gatekeeper = Gatekeeper(configure(bugzilla.url, changes=True, api_key_file=key_file))
    bugzilla.faults = lambda request: page(503) if request.path == "/rest/bug" else None

    with pytest.raises(SourceUnavailable, match="is down"):
        gatekeeper.admit(envelopes(1))
    bugzilla.faults = lambda _: None
    free = gatekeeper.admit(envelopes(1))

    assert free == envelopes(1)
    assert KEY not in str(bugzilla.requests)


def test_a_client_with_a_key_is_no_judge(bugzilla: BugzillaServer, configure: Configure) -> None:
    """It would see too much: the gate does not take it."""
    bugzilla.file()
    client = Client(configure(bugzilla.url), KEY)

    with pytest.raises(ValueError, match="key"):
        gate(client, [Candidate(1, [])])
    with pytest.raises(ValueError, match="key"):
        still_public(client, envelopes(1))


def test_many_bugs_are_asked_for_in_urls_of_bearable_length(
    bugzilla: BugzillaServer, configure: Configure
) -> None:
    """Servers refuse a URL of more than 8 KB."""
    bugzilla.file(count=450)
    client = Client(configure(bugzilla.url), "")
    client.connect()
    candidates = [Candidate(number, []) for number in range(1, 451)]

    through = gate(client, candidates)

    assert len(through) == 450
    assert max(len(request.url) for request in bugzilla.requests) < 8000


@pytest.mark.parametrize("maximum", [1, 2, 7, 60, 100, 150])
def test_no_public_bug_is_kept_back_by_a_server_that_cuts_its_answers(
    make_bugzilla: Callable[..., BugzillaServer], configure: Configure, maximum: int
) -> None:
    """Not seen in an answer that may have been cut is not private; and what is private stays behind."""
    server = make_bugzilla(maximum=maximum)
    server.file(count=60)
    server.file(private=True, count=30)
    server.file(count=60)
    client = Client(configure(server.url), "")
    client.connect()
    waiting = envelopes(*range(1, 151))

    free = still_public(client, waiting)

    assert free == waiting[:60] + waiting[90:]


def test_a_server_that_limits_what_it_is_not_told_to_limit_keeps_nothing_back(
    bugzilla: BugzillaServer, anonymous: Client
) -> None:
    """Each question says how many bugs may come, so that no default of the server cuts the answer."""
    bugzilla.file(count=3)

    still_public(anonymous, envelopes(1, 2, 3))

    assert bugzilla.requests[-1].query["limit"] in ("3", 3)


def test_half_a_character_becomes_a_question_mark(bugzilla: BugzillaServer, configure: Configure) -> None:
    """JSON can carry a lone surrogate, a message cannot: one odd bug does not stop the poll."""
    bugzilla.file()
    bugzilla.change(1, added="odd \ud83d")
    client = Client(configure(bugzilla.url), "")
    client.connect()

    (bug,) = gate(client, list(read_candidates(client, [1])))

    assert bug.changes[0].added == "odd ?"


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
