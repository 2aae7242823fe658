"""What stands in the spool as a master's: who is believed, and what is taken for a build."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pulseshim import Settings, SettingsError, Suspicious
from pulseshim.testing import MemoryState, invocation
from pulseshim_plugins.buildbot_options import MasterOptions, masters
from pulseshim_plugins.buildbot_recorded import NotABuild, read_build
from tests.buildbot_rows import ROWS

# Users that every Debian has.
DAEMON, GAMES = 1, 5
STATES = ["started", "finished", "log_uploaded"]
WHOLE: dict[str, Any] = {
    "master_name": "m",
    "master_incarnation": "pid1-boot1",
    "build": ROWS["builds"][0],
    "buildset": ROWS["buildsets"][0],
    "builder": "b",
    "worker": "w",
    "changes": ROWS["changes"],
    "steps": ROWS["steps"],
    "logs": {"1": ROWS["logs"]},
}


def read(content: Any, owner: int | None, *trusted: str) -> list[str]:
    """Give the states of a build that a user recorded the end of."""
    stdin = content if isinstance(content, bytes) else json.dumps(content).encode()
    recorded = invocation("buildbot.ci", "finished", stdin=stdin, owner=owner)
    options = MasterOptions(url="https://ci.example.org/", trusted_users=trusted)
    return [event.state for event in read_build(recorded, MemoryState(), options)]


@contextmanager
def effective(uid: int) -> Iterator[None]:
    """Be a user for a while."""
    before = os.geteuid()
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_build_that_somebody_else_than_the_master_recorded_is_suspicious() -> None:
    """Anybody may write to the spool, and a forged build would take the place of the true one."""
    with pytest.raises(Suspicious, match=r"user 5 \(games\) recorded this") as raised:
        read(WHOLE, GAMES, "daemon")

    assert "trusted_users" in raised.value.remedy


def test_a_build_is_believed_of_the_account_that_the_master_runs_as() -> None:
    """By name or number; without a setting of root and the account of pulseshim, and on a person's word."""
    told = [read(WHOLE, GAMES, "games"), read(WHOLE, GAMES, "5"), read(WHOLE, 0), read(WHOLE, None)]
    with effective(DAEMON):
        told.append(read(WHOLE, DAEMON))

    assert told == [STATES] * 5


def test_an_account_that_is_not_there_is_a_wrong_setting() -> None:
    """A mistyped name would set aside what it was to let through."""
    table = {"url": "https://ci.example.org/", "trusted_users": ["gmaes"]}

    with pytest.raises(SettingsError, match=r"masters\.ci\.trusted_users: there is no user 'gmaes'"):
        masters(Settings(plugins={"buildbot": {"masters": {"ci": table}}}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"build":',
        b"[" * 100_000,
        [],
        {**WHOLE, "build": [WHOLE["build"]]},
        {**WHOLE, "build": {**WHOLE["build"], "buildid": "s3cr3t"}},
        {**WHOLE, "build": {**WHOLE["build"], "properties": {"p": "s3cr3t"}}},
        {**WHOLE, "buildset": {**WHOLE["buildset"], "sourcestamps": ["s3cr3t"]}},
        {**WHOLE, "builder": 7},
        {**WHOLE, "master_name": None},
        {**WHOLE, "changes": [{"author": "s3cr3t"}]},
        {**WHOLE, "steps": [{**WHOLE["steps"][0], "urls": "s3cr3t"}]},
        {**WHOLE, "logs": {"one": []}},
        {**WHOLE, "logs": {"1": [{"name": "s3cr3t"}]}},
        {name: part for name, part in WHOLE.items() if name != "worker"},
    ],
)
def test_what_is_no_build_is_an_error_that_says_why_and_nothing_of_it_is_told(content: Any) -> None:
    """By the names and types of fields: what stands in them is nobody's business."""
    with pytest.raises(NotABuild, match=r"this is no build of a Buildbot: .+") as raised:
        read(content, 0)

    assert "s3cr3t" not in str(raised.value)


def test_half_a_surrogate_pair_in_a_record_becomes_a_question_mark() -> None:
    """JSON may hold what UTF-8, which messages are written in, may not."""
    stdin = json.dumps({**WHOLE, "builder": "a\ud800b"}).encode()
    options = MasterOptions(url="https://ci.example.org/")

    (event,) = read_build(invocation("buildbot.ci", "new", stdin=stdin, owner=0), MemoryState(), options)

    assert (event.state, event.builder) == ("started", "a?b")
