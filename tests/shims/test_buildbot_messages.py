"""From what was read of a Buildbot master to the messages that announce it."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseshim import Exchange, Message
from pulseshim.envelope import seal
from pulseshim.testing import check_shim
from pulseshim_shims.buildbot import buildbot_messages
from pulseshim_shims.buildbot_event import (
    BuildbotEvent,
    BuildEvent,
    ChangeEvent,
    Heartbeat,
    Master,
    RequestEvent,
    StepEvent,
    WorkerEvent,
)
from pulseshim_shims.buildbot_message import (
    MESSAGES,
    BuildFinishedMessage,
    BuildStartedMessage,
    LogUploadedMessage,
)
from pulseshim_shims.buildbot_words import WORD_BYTES, beginning, word

EXCHANGE = Exchange("exchange/build/", "", "", MESSAGES)
MASTER = Master(
    server="ci.example.org",
    url="https://ci.example.org/",
    name="ci:/srv/master",
    incarnation="boot1795000000",
)
CHANGE: dict[str, Any] = {
    "changeid": 3,
    "author": "Ada <ada@example.org>",
    "branch": "main",
    "category": None,
    "codebase": "",
    "comments": "Fix",
    "files": ["a.py"],
    "project": "",
    "properties": {"api_key": ["hidden", "Change"]},
    "repository": "https://git.example.org/r",
    "revision": "abc",
    "revlink": "",
    "when_timestamp": 1795479151,
}
BUILD: dict[str, Any] = {
    "buildid": 11,
    "number": 7,
    "buildrequestid": 5,
    "builderid": 1,
    "workerid": 1,
    "masterid": 1,
    "started_at": 1795479019,
    "complete_at": 1795479020,
    "complete": True,
    "state_string": "build successful",
    "results": 0,
    "properties": {"branch": ["main", "Build"], "DB_Password": ["hidden", "x"], "big": [2**70, "x"]},
}
STEP: dict[str, Any] = {
    "stepid": 21,
    "number": 1,
    "name": "compile it",
    "started_at": 1795479019,
    "complete_at": 1795479020,
    "complete": True,
    "state_string": "'make'",
    "results": 0,
    "urls": [{"name": "report", "url": "https://example.org/r"}],
}
BUILDSET: dict[str, Any] = {
    "reason": "A build was forced",
    "sourcestamps": [
        {"branch": "main", "codebase": "", "revision": "abc", "project": "", "repository": "r", "patch": None}
    ],
}
REQUEST: dict[str, Any] = {"buildrequestid": 5, "submitted_at": 1795479018, "results": 6, "complete": True}
WORKER: dict[str, Any] = {
    "workerid": 1,
    "name": "w1",
    "connected_to": [{"masterid": 1}],
    "workerinfo": {"host": "a host\n", "admin": "Ada\n", "version": "4.3.0", "access_uri": "ssh://u:p@h"},
}
FINISHED = BuildEvent(
    master=MASTER,
    state="finished",
    build=BUILD,
    builder="linux x86.64",
    worker="w1",
    buildset=BUILDSET,
    changes=[CHANGE],
    steps=[STEP],
)


def wire(message: Message) -> Any:
    """Give the payload of a message as its consumer reads it."""
    return msgspec.json.decode(msgspec.json.encode(message.payload()))


def test_a_build_that_ended_has_the_shape_that_consumers_know() -> None:
    """Every field is where the consumers of `exchange/build/` have looked for it since Buildbot 0.8."""
    (message,) = check_shim(buildbot_messages, [FINISHED], EXCHANGE)

    build = wire(message)["build"]

    assert message.routing_key == "build.linux_x86_64.7.finished"
    assert message.event_id == "ci.example.org/builds/11/finished"
    assert message.payload()["results"] == 0
    assert message.payload()["request_ids"] == [5]
    assert build["slave"] == "w1"
    assert build["builderName"] == "linux x86.64"
    assert build["text"] == ["build successful"]
    assert (build["number"], build["results"], build["currentStep"], build["eta"]) == (7, 0, None, None)
    assert build["blame"] == ["Ada <ada@example.org>"]
    assert build["reason"] == "A build was forced"
    assert build["times"] == ["2026-11-24T00:10:19+0000", "2026-11-24T00:10:20+0000"]
    assert build["properties"] == [["big", str(2**70), "x"], ["branch", "main", "Build"]]
    assert build["sourceStamp"]["revision"] == "abc"
    assert build["sourceStamp"]["hasPatch"] is False
    assert build["sourceStamp"]["changes"][0]["at"] == "Tue 24 Nov 2026 00:12:31"
    assert build["sourceStamp"]["changes"][0]["files"] == [{"name": "a.py", "url": None}]
    assert build["steps"] == [
        {
            "name": "compile it",
            "step_number": 1,
            "text": ["'make'"],
            "results": [0, []],
            "isStarted": True,
            "isFinished": True,
            "times": [1795479019.0, 1795479020.0],
            "eta": None,
            "urls": {"report": "https://example.org/r"},
            "statistics": {},
            "expectations": [],
        }
    ]


def test_a_start_that_is_told_late_looks_as_it_would_have_at_the_time() -> None:
    """It has no results, no texts, no steps and no second time, though the build has ended."""
    (message,) = check_shim(buildbot_messages, [replace(FINISHED, state="started")], EXCHANGE)

    assert isinstance(message, BuildStartedMessage)
    assert message.build.results is None
    assert (message.build.text, message.build.steps) == ([], [])
    assert message.build.times == ("2026-11-24T00:10:19+0000", None)


def test_complete_logs_are_named_with_where_to_read_them() -> None:
    """`log_uploaded` says for each step where the content of its logs is."""
    logs = {21: [{"logid": 4, "name": "stdio", "complete": True}]}

    (message,) = check_shim(buildbot_messages, [replace(FINISHED, state="log_uploaded", logs=logs)], EXCHANGE)

    assert isinstance(message, LogUploadedMessage)
    assert message.build.steps[0].logs == [("stdio", "https://ci.example.org/api/v2/logs/4/raw")]


def test_the_other_messages_have_the_keys_that_pulse_had() -> None:
    """Changes, requests, workers, steps and heartbeats, each with an identity of its own."""
    events: list[BuildbotEvent] = [
        ChangeEvent(master=MASTER, change=CHANGE),
        RequestEvent(master=MASTER, state="submitted", request=REQUEST, builder="a b", buildset=BUILDSET),
        RequestEvent(master=MASTER, state="cancelled", request=REQUEST, builder="a b", buildset=BUILDSET),
        WorkerEvent(master=MASTER, state="connected", number=1, worker=WORKER),
        WorkerEvent(master=MASTER, state="disconnected", number=1, worker=WORKER),
        WorkerEvent(master=MASTER, state="connected", number=2, worker=WORKER),
        StepEvent(master=MASTER, state="started", build=BUILD, builder="a b", step=STEP),
        StepEvent(master=MASTER, state="finished", build=BUILD, builder="a b", step=STEP),
        Heartbeat(master=MASTER, number=12),
    ]

    messages = check_shim(buildbot_messages, events, EXCHANGE)

    assert [message.routing_key for message in messages] == [
        "change.3.added",
        "request.a_b.submitted",
        "request.a_b.cancelled",
        "slave.w1.connected",
        "slave.w1.disconnected",
        "slave.w1.connected",
        "build.a_b.7.step.compile_it.started",
        "build.a_b.7.step.compile_it.finished",
        "heartbeat",
    ]
    bodies = [wire(message) for message in messages]
    assert "results" not in bodies[1]["request"]
    assert bodies[2]["request"]["results"] == 6
    assert bodies[3]["slave"]["host"] == "a host"
    assert "u:p" not in repr(bodies)
    assert bodies[4] == {"slavename": "w1"}
    assert bodies[6]["step"]["results"] == [None, []]
    assert "hidden" not in repr(bodies)
    assert bodies[8] == {}


def test_the_master_stands_in_meta_and_not_in_the_payload() -> None:
    """`_meta` has `master_name` and `master_incarnation` beside what stands in every message."""
    (message,) = buildbot_messages(FINISHED)

    body = msgspec.json.decode(seal(message, EXCHANGE, sequence=1, sent=0).body)

    assert body["_meta"]["master_name"] == "ci:/srv/master"
    assert body["_meta"]["master_incarnation"] == "boot1795000000"
    assert body["_meta"]["message_id"] == message.message_id
    assert set(body["payload"]) == {"build", "results", "request_ids"}


def test_a_build_of_several_codebases_has_all_their_source_stamps() -> None:
    """`sourceStamp` is the first by the name of its codebase; a patch is only said to be there."""
    stamps = [
        {"codebase": "tools", "branch": "x", "patch": {"body": "secret"}, "repository": "t", "project": ""},
        {"codebase": "app", "branch": "y", "patch": None, "repository": "a", "project": ""},
    ]
    event = replace(FINISHED, buildset={"reason": "", "sourcestamps": stamps}, changes=[])

    (message,) = check_shim(buildbot_messages, [event], EXCHANGE)

    build = wire(message)["build"]
    assert [stamp["codebase"] for stamp in build["sourceStamps"]] == ["app", "tools"]
    assert build["sourceStamp"]["codebase"] == "app"
    assert build["sourceStamps"][1]["hasPatch"] is True
    assert "secret" not in repr(build)


def test_patterns_of_ones_own_hide_properties() -> None:
    """Patterns replace the usual ones, and case does not matter."""
    (message,) = buildbot_messages(FINISHED, hide=["BRANCH"])

    assert isinstance(message, BuildFinishedMessage)
    assert [name for name, _, _ in message.build.properties] == ["DB_Password", "big"]


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_a_large_message_is_cut_to_the_limit_and_says_so(size: int) -> None:
    """Whatever is large in a build, its envelope stays under the limit, and what identifies it is whole."""
    nested: Any = "x" * size
    for _ in range(30):
        nested = [nested, {"y" * 50: nested}][:1]
    build = {
        **BUILD,
        "state_string": "\x01" * size,
        "properties": {f"p{n}": ["ü" * size, "s"] for n in range(50)} | {"nested": [nested, "s"]},
    }
    changes = [{**CHANGE, "comments": "c" * size, "files": [f"f{n}" for n in range(size)]}] * 3
    event = replace(FINISHED, build=build, changes=changes, steps=[STEP] * 500, builder="b" * size)

    for limit in (16384, 100_000):
        (message,) = buildbot_messages(event, max_bytes=limit)

        assert len(seal(message, EXCHANGE, sequence=1, sent=0).body) <= limit
        assert isinstance(message, BuildFinishedMessage)
        assert message.truncated is True
        assert (message.build.number, message.results) == (7, 0)


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=300))
def test_any_name_is_a_word_of_a_routing_key(name: str) -> None:
    """It has no dot and no space, is at most 90 bytes long, and a plain name is itself."""
    found = word(name)

    assert 1 <= len(found.encode()) <= WORD_BYTES
    assert not set(". ") & set(found)
    if name and not set("._ ") & set(name) and "://" not in name and len(name.encode()) <= WORD_BYTES:
        assert found == name


def test_long_names_stay_apart() -> None:
    """Names that begin alike and are too long end in digests of the whole."""
    assert word("b" * 300) != word("b" * 301)


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=200), st.integers(min_value=2, max_value=100))
def test_a_beginning_takes_no_more_than_it_may(text: str, limit: int) -> None:
    """It is a beginning of the text, in at most so many bytes of JSON."""
    found = beginning(text, limit)

    assert text.startswith(found)
    assert len(msgspec.json.encode(found)) <= limit
