"""The plan: a pure function from what shall be and what is to steps, each with what it changes."""

from dataclasses import replace
from typing import Any

import pytest

from pulseshim.errors import SettingsError
from pulseshim.grant import Grant
from pulseshim.inventory import Found, User, Wanted
from pulseshim.password import PasswordHash
from pulseshim.plan import Plan, plan
from pulseshim.settings import ProvisionSettings

GIT = Grant(user="git", prefixes=("git",), password_file="/etc/git", source="broker.password_file")
READER = Grant(user="reader", password_file="/etc/reader", source="--passwords")
WANTED = Wanted(vhost="pulse", grants=[GIT], exchanges=["exchange/git/v1"], limits=ProvisionSettings())
EMPTY = Found(
    administrator="admin",
    has_vhost=False,
    users={"admin": User(tags=("administrator",))},
    permissions={},
    topic_permissions={},
    user_limits={},
    vhost_limits={},
    policies={},
    passwords={"git": "none"},
)


def reached(wanted: Wanted = WANTED) -> Found:
    """Give what is found where a plan was carried out to its end."""
    definition = {"max-length": 100_000, "max-length-bytes": 1 << 30, "expires": 14 * 86_400_000}
    return replace(
        EMPTY,
        has_vhost=True,
        users={**EMPTY.users, **{grant.user: User(hash=PasswordHash("hash")) for grant in wanted.grants}},
        permissions={grant.user: grant.permissions for grant in wanted.grants},
        user_limits={grant.user: {"max-connections": 20, "max-channels": 200} for grant in wanted.grants},
        vhost_limits={"max-queues": 1000},
        policies={
            "pulseshim": {
                "pattern": "^queue/",
                "apply-to": "queues",
                "priority": 0,
                "definition": definition,
            }
        },
        passwords=dict.fromkeys((grant.user for grant in wanted.grants), "right"),
    )


def said(made: Plan) -> list[str]:
    """Give what the steps do and to what."""
    return [f"{step.action} {step.subject}" for step in made.steps]


def test_on_an_empty_broker_everything_is_made_in_an_order_that_works() -> None:
    """The virtual host before what is in it, a user before its rights."""
    made = plan(WANTED, EMPTY)

    assert said(made) == [
        "create virtual host pulse",
        "create limits of virtual host pulse",
        "create operator policy pulseshim",
        "create user git",
        "create permissions of git",
        "create limits of git",
    ]
    assert made.problems == []


def test_where_everything_is_there_is_nothing_to_do() -> None:
    """The plan of what a plan leads to is empty: provisioning ends."""
    assert plan(WANTED, reached()) == Plan([], [])


def test_only_the_limits_that_differ_are_set() -> None:
    """Each takes a request of its own; what was there is told."""
    found = replace(reached(), user_limits={"git": {"max-connections": 1, "max-channels": 200}})

    (step,) = plan(WANTED, found).steps

    assert step.requests == [("PUT", ("user-limits", "git", "max-connections"), {"value": 20})]
    assert str(step) == "change limits of git: max-connections 1 becomes 20"


def test_taking_tags_away_keeps_the_password() -> None:
    """The hash that the broker has goes back to it, and stands in no text."""
    found = replace(reached(), users={"git": User(tags=("management",), hash=PasswordHash("the hash"))})

    (step,) = plan(WANTED, found).steps
    ((_, _, content),) = step.requests

    assert content == {
        "password_hash": "the hash",
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "",
    }
    assert "the hash" not in repr(step) + str(step)


@pytest.mark.parametrize(("found", "rotate"), [(EMPTY, []), (reached(), ["git"])])
def test_no_password_is_made_for_nobody_knows_whom(found: Found, rotate: list[str]) -> None:
    """Without a store, root cannot tell whose the file shall be; one that is there says so."""
    unknown = replace(found, missing_store="/var/lib/pulseshim", readers={"reader": "owner root, mode 0600"})
    known = replace(unknown, readers={"git": "owner git, mode 0640"})
    wanted = replace(WANTED, grants=[GIT, READER])

    left, made = plan(wanted, unknown, rotate=rotate), plan(WANTED, known, rotate=rotate)

    assert [step.user for step in left.steps if step.login] == ["reader"]
    assert not any("git" in step.subject for step in left.steps)
    assert [problem.subject for problem in left.problems] == ["password of git"]
    assert [step.becomes for step in made.steps if step.login] == [
        "a new password goes to /etc/git (owner git, mode 0640)"
    ]
    assert made.problems == []


def test_a_rotation_takes_no_tags_untold() -> None:
    """They go in a step of their own, before the password is renewed, which leaves none."""
    found = replace(reached(), users={"git": User(tags=("management",), hash=PasswordHash("hash"))})

    steps = plan(WANTED, found, rotate=["git"]).steps

    assert [str(step) for step in steps] == [
        "change user git: tags management becomes none",
        "renew password of git: a new password goes to /etc/git",
    ]


@pytest.mark.parametrize("rotate", [[], ["git"]])
@pytest.mark.parametrize("standing", ["none", "right", "renewed", "wrong"])
def test_an_administrator_is_left_as_it_is(rotate: list[str], standing: Any) -> None:
    """No tag, right, limit or password of one is touched, whatever was found: it is a person's to judge."""
    users = {**reached().users, "git": User(tags=("policymaker", "administrator"))}
    found = replace(reached(), users=users, permissions={}, user_limits={}, passwords={"git": standing})

    made = plan(WANTED, found, rotate=rotate)

    assert made.steps == []
    assert [(each.subject, each.severity) for each in made.problems] == [("user git", "error")]
    assert made.problems[0].remedy.endswith("rabbitmqctl set_user_tags git")


def test_who_provisions_is_no_account() -> None:
    """Its grant would take its own right to go on: nothing at all is planned."""
    with pytest.raises(SettingsError, match="git is the administrator who provisions"):
        plan(WANTED, replace(EMPTY, administrator="git"))


def test_a_rotation_renews_each_password_once() -> None:
    """Also where it was half renewed before, which is ended first."""
    half = replace(reached(), passwords={"git": "renewed"})

    assert said(plan(WANTED, reached(), rotate=["git"])) == ["renew password of git"]
    assert [step.login for step in plan(WANTED, half, rotate=["git"]).steps] == ["renewed", "new"]


def test_a_rotation_renews_the_password_of_whom_it_is_for() -> None:
    """Of several, those alone; the trouble of another is still told, with what would end it."""
    wanted = replace(WANTED, grants=[GIT, READER, replace(GIT, user="hg", password_file="/etc/hg")])
    found = replace(reached(wanted), passwords={"git": "right", "reader": "right", "hg": "wrong"})

    made = plan(wanted, found, rotate=["reader", "git"])

    assert said(made) == ["renew password of git", "renew password of reader"]
    assert [(each.subject, each.remedy.rpartition(": ")[2]) for each in made.problems] == [
        ("password of hg", "pulseshim provision --rotate-only hg")
    ]


def test_a_password_of_the_environment_is_not_renewed() -> None:
    """Nobody could tell the service: it is a problem, and the broker keeps what it has."""
    wanted = replace(WANTED, grants=[replace(GIT, password_file="", password="given", source="$VARIABLE")])

    made = plan(wanted, reached(), rotate=["git"])

    assert made.steps == []
    assert [problem.text for problem in made.problems] == ["it comes from $VARIABLE and cannot be renewed"]


def test_the_password_of_a_consumer_need_not_be_known() -> None:
    """It was handed over; that of a publisher whose file is gone is a problem."""
    wanted = replace(WANTED, grants=[GIT, READER])
    found = replace(reached(wanted), passwords={"git": "none", "reader": "none"})

    made = plan(wanted, found)

    assert made.steps == []
    assert [problem.subject for problem in made.problems] == ["password of git"]


def test_guest_is_a_warning_until_it_is_to_be_deleted() -> None:
    """Deleting is a step like any other, and never one that was not asked for."""
    found = replace(reached(), users={**reached().users, "guest": User(tags=("administrator",))})

    kept, gone = plan(WANTED, found), plan(WANTED, found, delete_guest=True)

    assert (kept.steps, [problem.severity for problem in kept.problems]) == ([], ["warning"])
    assert [step.requests for step in gone.steps] == [[("DELETE", ("users", "guest"), {})]]
    assert gone.problems == []


def test_a_pattern_that_cannot_be_read_is_taken_to_reach_us() -> None:
    """Erlang has patterns that Python has not: better one question too many."""
    strange = {"configure": "", "write": "(?|exchange)", "read": ""}
    found = replace(reached(), permissions={**reached().permissions, "other": strange})

    (problem,) = plan(WANTED, found).problems

    assert problem.subject == "user other"


def test_another_operator_policy_that_stands_before_ours_is_a_warning() -> None:
    """Of several that fit, RabbitMQ applies one alone."""
    mine: dict[str, Any] = {"pattern": ".*", "apply-to": "all", "priority": 1, "definition": {}}
    policies = {**reached().policies, "other": mine, "exchanges": {**mine, "apply-to": "exchanges"}}

    (problem,) = plan(WANTED, replace(reached(), policies=policies)).problems

    assert problem.subject == "operator policy other"


def test_our_operator_policy_is_as_we_set_it_and_no_more() -> None:
    """Its priority counts, and so does what it says beside: each is told, and put back."""
    ours = reached().policies["pulseshim"]
    drifted = {**ours, "priority": -9, "definition": {**ours["definition"], "message-ttl": 1}}
    ahead = {"pattern": ".*", "apply-to": "queues", "priority": -5, "definition": {}}
    found = replace(reached(), policies={"pulseshim": drifted, "ahead": ahead})

    made = plan(WANTED, found)

    assert [str(step) for step in made.steps] == [
        "change operator policy pulseshim: priority -9 becomes 0, message-ttl 1 becomes none"
    ]
    assert [content for step in made.steps for _, _, content in step.requests] == [ours]
    assert made.problems == []


@pytest.mark.parametrize(
    ("user", "exchange", "write", "read", "severities"),
    [
        ("git", "exchange/git/v1", "^git", ".*", ["error"]),
        ("git", "exchange/git/v1", "", "", ["error"]),
        ("git", "exchange/git/v1", ".*", "^git", ["warning"]),
        ("git", "exchange/git/v1", ".*", ".*", []),
        ("reader", "exchange/git/v1", "^git", "^git", ["warning"]),
        ("git", "exchange/other/v1", "^git", "^git", []),
        ("stranger", "exchange/git/v1", "^git", "^git", []),
    ],
)
def test_a_topic_permission_that_refuses_routing_keys_is_a_problem(
    user: str, exchange: str, write: str, read: str, severities: list[str]
) -> None:
    """An error where it is for who publishes there; where it limits what can be bound, a warning."""
    wanted = replace(WANTED, grants=[GIT, READER])
    found = replace(reached(wanted), topic_permissions={(user, exchange): {"write": write, "read": read}})

    made = plan(wanted, found)

    assert made.steps == []
    assert [problem.severity for problem in made.problems] == severities


def test_a_password_that_others_may_read_is_a_problem() -> None:
    """What they have read may be used: it takes a new one."""
    (problem,) = plan(WANTED, replace(reached(), open_files=frozenset({"/etc/git"}))).problems

    assert "chmod 600 /etc/git" in problem.remedy
    assert "--rotate" in problem.remedy
