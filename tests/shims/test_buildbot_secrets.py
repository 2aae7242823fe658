"""What of a master's data is for nobody else, wherever in it it stands."""

import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseshim_shims.buildbot import buildbot_messages
from pulseshim_shims.buildbot_event import (
    BuildEvent,
    ChangeEvent,
    Master,
    RequestEvent,
    StepEvent,
    WorkerEvent,
)
from pulseshim_shims.buildbot_secrets import without_logins

URL = "https://bot:s3cr3t@example.org/x"
MASTER = Master(server="ci", url="https://ci/", name=URL, incarnation=URL)
CHANGE: dict[str, Any] = {
    "changeid": 3,
    "author": URL,
    "branch": URL,
    "category": URL,
    "codebase": URL,
    "comments": f"see {URL}, or {URL}",
    "files": [URL],
    "project": URL,
    "properties": {URL: [URL, URL]},
    "repository": URL,
    "revision": URL,
    "revlink": URL,
    "when_timestamp": 1,
}
BUILD: dict[str, Any] = {
    "buildid": 11,
    "number": 7,
    "buildrequestid": 5,
    "complete": True,
    "state_string": f"'git clone {URL}'",
    "results": 0,
    "properties": {URL: [[URL, {URL: URL}], URL]},
}
STEP: dict[str, Any] = {
    "stepid": 21,
    "number": 1,
    "name": URL,
    "complete": True,
    "state_string": URL,
    "results": 0,
    "urls": [{"name": URL, "url": URL}],
}
STAMP = dict.fromkeys(("branch", "codebase", "revision", "project", "repository"), URL)
BUILDSET: dict[str, Any] = {"reason": URL, "sourcestamps": [STAMP, {**STAMP, "codebase": ""}]}
WORKER = {"workerid": 1, "name": URL, "workerinfo": dict.fromkeys(("host", "admin", "version"), URL)}
REQUEST = {"buildrequestid": 5}
FINISHED = BuildEvent(
    master=MASTER,
    state="log_uploaded",
    build=BUILD,
    builder=URL,
    worker=URL,
    buildset=BUILDSET,
    changes=[CHANGE],
    steps=[STEP],
    logs={21: [{"logid": 4, "name": URL}]},
)


@pytest.mark.parametrize("max_bytes", [1024 * 1024, 16384])
@pytest.mark.parametrize(
    "event",
    [
        FINISHED,
        replace(FINISHED, state="started"),
        replace(FINISHED, state="finished"),
        StepEvent(master=MASTER, state="finished", build=BUILD, builder=URL, step=STEP),
        ChangeEvent(master=MASTER, change=CHANGE),
        RequestEvent(master=MASTER, state="cancelled", request=REQUEST, builder=URL, buildset=BUILDSET),
        WorkerEvent(master=MASTER, state="connected", number=1, worker=WORKER),
        WorkerEvent(master=MASTER, state="disconnected", number=1, worker=WORKER),
    ],
)
def test_no_login_is_in_any_text_of_any_message(event: Any, max_bytes: int) -> None:
    """Wherever a URL with user and password stands: in values, keys, names, and words of the routing key."""
    (message,) = buildbot_messages(event, max_bytes=max_bytes)

    told = msgspec.json.encode(message).decode()
    assert "s3cr3t" not in told
    assert "https://example.org/x" in told


def test_no_half_of_a_login_is_left_where_a_text_is_cut() -> None:
    """A message that is too large is cut after the logins are gone."""
    for length in range(65536 - 60, 65536, 3):
        change = {**CHANGE, "comments": "x" * length + URL, "files": ["f" * 60000] * 20}
        (message,) = buildbot_messages(ChangeEvent(master=MASTER, change=change))

        assert "s3" not in msgspec.json.encode(message).decode()


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("https://token@host/x", "https://host/x"),
        ("HTTP://token@host:80/x?a=b@c#d@e", "HTTP://host:80/x?a=b@c#d@e"),
        ("git+https://token@host", "git+https://host"),
        ("https://user:p@ss:w@rd@host/x@y", "https://host/x@y"),
        ("https://user:p%40ss@[::1]:8/", "https://[::1]:8/"),
        ("postgresql://user:pw@/db", "postgresql:///db"),
        ("ssh://git@host:22/x", "ssh://git@host:22/x"),
        ("svn+ssh://git@host/x", "svn+ssh://git@host/x"),
        ("ssh://git:pw@host/x", "ssh://host/x"),
        ("ssh://git:p@w@host/x", "ssh://host/x"),
        ("git@host:x", "git@host:x"),
        ("Ada <ada@example.org> of https://example.org/", "Ada <ada@example.org> of https://example.org/"),
        ("https://a:b@c,https://d:e@f", "https://c,https://f"),
        ("user:pw@host", "user:pw@host"),
    ],
)
def test_of_a_url_the_login_alone_is_left_out(text: str, without: str) -> None:
    """A user name is kept where it is no secret: with ssh, and without a password."""
    assert without_logins(text) == without


@settings(deadline=None)  # the machine may be busy
@given(st.text(), st.text(alphabet=st.characters(exclude_characters="/?#", exclude_categories=["Z", "Cc"])))
def test_any_login_that_a_url_can_have_is_left_out(around: str, login: str) -> None:
    """What stands around it stays, if it has no URL itself."""
    around = around.replace(":", "").replace("@", "")

    assert without_logins(f"{around}://{login}@host/{around}") == f"{around}://host/{around}" or (
        around.casefold().endswith("ssh") and ":" not in login
    )


def test_a_text_of_a_megabyte_costs_no_more_than_its_length() -> None:
    """However it is made up: what somebody writes into a comment must not hold up a feed."""
    for part in ("://", "a.", "://a:", "ssh://:", "@", "://@"):
        begun = time.process_time()
        without_logins("://" + part * (1_000_000 // len(part)))
        assert time.process_time() - begun < 30


SECRET = (
    "password passwd DB_Passwd passphrase apikey apiKey API-KEY api_key_2 ssh_key deploy-key"
    " AWS_ACCESS_KEY_ID privateKey clientSecret Authorization auth_token"
)


@pytest.mark.parametrize("name", SECRET.split())
def test_what_a_pattern_fits_is_left_out_at_any_depth(name: str) -> None:
    """The names of properties, and the names in what they hold, in lists as well."""
    cfg = {name: "s3cr3t", "host": "h", "all": [{name: {"x": "s3cr3t"}, "port": 1}, [{name: ["s3cr3t"]}]]}
    build = {**BUILD, "properties": {"cfg": [cfg, "s"], name: ["s3cr3t", "s"]}}

    (message,) = buildbot_messages(replace(FINISHED, build=build))

    whole: Any = msgspec.json.decode(msgspec.json.encode(message.payload()))
    assert whole["build"]["properties"] == [["cfg", {"host": "h", "all": [{"port": 1}, [{}]]}, "s"]]


@pytest.mark.parametrize(
    "name", ["author", "owner", "branch", "buildername", "got_revision", "compass", "keys", "monkey", "api"]
)
def test_what_is_no_secret_is_told(name: str) -> None:
    """Buildbot's own properties, and what only sounds like one."""
    (message,) = buildbot_messages(replace(FINISHED, build={**BUILD, "properties": {name: ["v", "s"]}}))

    assert b'["%s","v","s"]' % name.encode() in msgspec.json.encode(message)
