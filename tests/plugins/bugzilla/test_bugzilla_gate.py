"""The privacy gate: nothing that is not public at this moment goes through, whatever was read before."""

from collections.abc import Callable

import pytest

from pulseshim import Envelope, Exchange, SourceUnavailable
from pulseshim.envelope import seal
from pulseshim_plugins.bugzilla_admit import Gatekeeper
from pulseshim_plugins.bugzilla_client import Client
from pulseshim_plugins.bugzilla_gate import Candidate, public_now, read_candidates, still_public
from pulseshim_shims.bugzilla import CHANGES, BugClosedMessage, PublicBug
from tests.bugzilla_server import KEY, BugzillaServer, Request, page
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
