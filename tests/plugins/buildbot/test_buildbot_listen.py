"""The listener beside a real master: by what it hears, and what it makes of the master's state."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trustme

from pulseshim import Checkpoint
from pulseshim.testing import MemoryState
from pulseshim_plugins.buildbot_listen import catch_up, listen, rewind
from pulseshim_plugins.buildbot_options import MasterOptions
from pulseshim_shims.buildbot import buildbot_messages
from pulseshim_shims.buildbot_event import Heartbeat
from tests.buildbot_master import BuildbotMaster

if TYPE_CHECKING:
    from tests.conftest import TcpProxy


def states(builder: str, number: int) -> list[str]:
    """Give the routing keys of a whole build."""
    return [f"build.{builder}.{number}.{state}" for state in ("started", "finished", "log_uploaded")]


@pytest.mark.parametrize("way", ["websocket", "sse"])
def test_a_build_is_announced_as_it_happens(master: BuildbotMaster, listening: Any, way: Any) -> None:
    """By websocket and by SSE, what happens is told long before the next look is due."""
    options = MasterOptions(url=master.url, events=way, every="1h")

    with listening(options) as ear:
        number = master.build("good")["number"]
        ear.wait_for(*states("good", number))

    assert ear.keys() == ["request.good.submitted", *states("good", number)]


def test_without_events_a_build_is_found_by_looking(master: BuildbotMaster, listening: Any) -> None:
    """A master whose events cannot be heard is read each time `every` has passed."""
    options = MasterOptions(url=master.url, events="none", every="200ms")

    with listening(options) as ear:
        number = master.build("good")["number"]
        ear.wait_for(*states("good", number))

    assert ear.keys() == ["request.good.submitted", *states("good", number)]


def test_steps_are_announced_where_that_is_wanted(master: BuildbotMaster, listening: Any) -> None:
    """Each step starts and finishes once, between the start and the end of its build."""
    options = MasterOptions(url=master.url, steps=True, every="1h")

    with listening(options) as ear:
        number = master.build("good")["number"]
        ear.wait_for(*states("good", number))

    start, *steps, end, _ = [key for key in ear.keys() if key.startswith("build.")]  # noqa: SIM118
    assert (start, end) == (f"build.good.{number}.started", f"build.good.{number}.finished")
    assert steps == [
        f"build.good.{number}.step.{name}.{state}"
        for name in ("worker_preparation", "compile", "test")
        for state in ("started", "finished")
    ]


def test_a_build_that_runs_at_the_first_start_is_announced(master: BuildbotMaster, listening: Any) -> None:
    """The first look takes what runs, and nothing that ended before."""
    before = master.build("good")["number"]
    row = master.running("slow")

    with listening(MasterOptions(url=master.url)) as ear:
        first = ear.keys()
        master.control(f"builds/{row['buildid']}", "stop")
        ear.wait_for(*states("slow", row["number"]))

    assert first == [f"build.slow.{row['number']}.started"]
    assert f"build.good.{before}.finished" not in ear.keys()  # noqa: SIM118 - they are those of messages


def test_what_happened_in_between_is_caught_up(master: BuildbotMaster, listening: Any) -> None:
    """A second start tells of the time between the two, once."""
    state = MemoryState()
    options = MasterOptions(url=master.url)
    with listening(options, state) as ear:
        number = master.build("bad")["number"]
        ear.wait_for(*states("bad", number))
    away = [master.build("bad")["number"] for _ in range(3)]

    with listening(options, state) as again:
        caught_up = again.keys()
    with listening(options, state) as third:
        nothing = third.keys()

    assert [key for key in caught_up if key.startswith("build.")] == [
        key for number in away for key in states("bad", number)
    ]
    assert nothing == []


def told(session: Any) -> list[str]:
    """Give the routing keys of what a look at a master gives, without heartbeats."""
    events = [event for event in session if not isinstance(event, Checkpoint | Heartbeat)]
    return [message.routing_key for event in events for message in buildbot_messages(event)]


def test_one_look_tells_what_happened_since_the_last(master: BuildbotMaster) -> None:
    """As `poll` does it from cron: the first begins from now, each other goes on behind the one before."""
    state, options = MemoryState(), MasterOptions(url=master.url)
    first = told(catch_up(state, options))
    number = master.build("warn")["number"]

    second, third = told(catch_up(state, options)), told(catch_up(state, options))

    assert first == []
    assert second == ["request.warn.submitted", *states("warn", number)]
    assert third == []


def test_what_ended_from_an_earlier_time_on_is_told_again(master: BuildbotMaster) -> None:
    """As `poll --since` does it: builds, requests and changes, also those of before the first start."""
    master.send_change(author="ada", comments="x", revision="1", when=str(int(time.time())))
    build = master.build("bad")
    master.wait_until(lambda: not master.rows("buildrequests?complete=false"), "built")
    state, options = MemoryState(), MasterOptions(url=master.url)
    change = master.rows("changes?order=-changeid&limit=1")[0]
    since = datetime.fromtimestamp(min(build["complete_at"], change["when_timestamp"]), UTC)

    rewind(state, since, options)
    found = told(catch_up(state, options))
    rewind(state, datetime.fromtimestamp(time.time() + 3600, UTC), options)
    nothing = told(catch_up(state, options))

    assert {*states("bad", build["number"]), f"change.{change['changeid']}.added"} <= set(found)
    assert "request.bad.submitted" in found
    assert nothing == []


def test_a_crash_in_the_middle_of_a_page_loses_nothing(master: BuildbotMaster, listening: Any) -> None:
    """The state that stands at any event leads to all the events behind it."""
    state = MemoryState()
    options = MasterOptions(url=master.url, heartbeat="0s")
    with listening(options, state):
        pass
    master.send_change(author="ada", comments="x", revision="1")
    for _ in range(3):
        master.build("bad")
    master.wait_until(lambda: not master.rows("buildrequests?complete=false"), "built")
    with listening(options, MemoryState(state.entries)) as ear:
        whole = [message.message_id for message in ear.messages]

    found = []
    for _ in whole:
        session: Any = listen(state, Event(), options)
        event = next(event for event in session if not isinstance(event, Checkpoint))
        session.close()
        found += [message.message_id for message in buildbot_messages(event)]

    assert sorted(found) == sorted(whole)


def test_properties_that_are_secrets_stay_out(master: BuildbotMaster, listening: Any) -> None:
    """What the patterns name is in no message; a message over the limit is cut to it and says so."""
    options = MasterOptions(url=master.url, max_bytes=16384)

    with listening(options) as ear:
        number = master.build("props")["number"]
        ear.wait_for(*states("props", number))

    finished = next(m for m in ear.messages if m.routing_key == f"build.props.{number}.finished")
    names = [name for name, _, _ in finished.build.properties]
    assert "artifact" in names
    assert not {"deploy_password", "api_key"} & set(names)
    assert "do-not-tell" not in repr(ear.messages)
    assert finished.truncated is True


def test_a_login_in_the_url_of_a_repository_stays_out(master: BuildbotMaster, listening: Any) -> None:
    """Buildbot keeps the URL that a poller was given, and shows it with each change, request and build."""
    url = "https://bot:s3cr3t@git.example.org/org/x.git"

    with listening(MasterOptions(url=master.url)) as ear:
        master.send_change(author="ada", comments=f"see {url}", revision="1", repository=url, revlink=url)
        ear.wait_until(lambda: any(key.endswith(".log_uploaded") for key in ear.keys()), "built")  # noqa: SIM118

    told = [msgspec.json.encode(message) for message in ear.messages if message.routing_key != "heartbeat"]
    assert url in str(master.rows("changes?order=-changeid&limit=1"))
    assert all(b"https://git.example.org/org/x.git" in text for text in told)
    assert not any(b"s3cr3t" in text or b"bot" in text.replace(b"buildbot", b"") for text in told)


def test_a_master_behind_tls_is_followed(
    master: BuildbotMaster, listening: Any, tcp_proxy: Callable[..., "TcpProxy"], tmp_path: Path
) -> None:
    """REST and websocket go by TLS where the URL says so, and only to whom `ca_file` vouches for."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    proxy = tcp_proxy(master.port, authority.issue_cert("127.0.0.1"))
    url = f"https://127.0.0.1:{proxy.port}/"

    with listening(MasterOptions(url=url, ca_file=str(tmp_path / "ca.pem"), events="websocket")) as ear:
        number = master.build("good")["number"]
        ear.wait_for(*states("good", number))
    with listening(MasterOptions(url=url)) as stranger:
        pass

    assert ear.failure is None
    assert "certificate" in str(stranger.failure)


def test_a_connection_that_breaks_ends_the_session(
    master: BuildbotMaster, listening: Any, tcp_proxy: Callable[..., "TcpProxy"]
) -> None:
    """A lost connection is noticed; the next session catches up and gives the master another incarnation."""
    proxy = tcp_proxy(master.port)
    options = MasterOptions(url=f"http://127.0.0.1:{proxy.port}/", every="1h", events="websocket")
    state = MemoryState()

    with listening(options, state) as ear:
        proxy.cut()
        ear.wait_until(lambda: ear.ended, "noticed")
        number = master.build("good")["number"]
    with listening(options, state, now=lambda: 1_800_000_000.0) as again:
        caught_up = again.keys()

    assert caught_up == ["request.good.submitted", *states("good", number)]
    assert {message.master_incarnation for message in again.messages} == {"boot1800000000"}
