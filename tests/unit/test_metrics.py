"""Metrics: what Prometheus reads, and whether the service says that it is alive and ready."""

import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pulseshim import (
    Exchange,
    Feed,
    HookSource,
    Invocation,
    Message,
    PollSource,
    SettingsError,
    State,
    hookimpl,
)
from pulseshim.metrics import is_ready, serve
from pulseshim.plugin_manager import PluginManager
from pulseshim.recorder import record
from pulseshim.runtime import Runtime
from pulseshim.settings import MetricsSettings, Settings, StoreSettings
from pulseshim.store import held_store
from pulseshim.testing import MemoryPublisher

PATIENCE = 30.0
ANY_PORT = MetricsSettings(port=0)


class Landed(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.landed"


EXCHANGE = Exchange('exchange/tests/"quoted"\\', "Tests", "Of the tests.", (Landed,))


def shim(text: str) -> Iterator[Landed]:
    """Make a message of each text; "bad" is more than it can bear."""
    if text == "bad":
        raise ValueError(text)
    yield Landed(routing_key="main", event_id=text)


def words(invocation: Invocation, state: State) -> Iterable[str]:
    state.count("private")
    return invocation.arguments


class Plugin:
    """A plugin that reads what hooks record, and polls."""

    @hookimpl
    def pulseshim_feeds(self) -> Iterable[Feed[str]]:
        """Give its feeds."""
        return [
            Feed("tests", HookSource(words), shim, EXCHANGE),
            Feed("polled", PollSource(lambda _state: [], timedelta(hours=1)), shim, EXCHANGE),
        ]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, and fail when it does not come true."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


class Site:
    """A runtime with a broker in memory, and the address of its metrics."""

    def __init__(self, runtime: Runtime, publisher: MemoryPublisher, port: int) -> None:
        self.runtime = runtime
        self.publisher = publisher
        self.port = port
        self._number = 0

    def record(self, *texts: str) -> None:
        """Record an invocation with these arguments."""
        self._number += 1
        spool = os.fsencode(self.runtime.store.spool.directory)
        arguments = [os.fsencode(text) for text in texts]
        now, random = time.time_ns() - 60 * 10**9 + self._number, self._number.to_bytes(16, "big")
        record(spool, b"tests", arguments, [], b"", b"/", now, random)  # type: ignore[no-untyped-call] # typing costs a hook

    def get(self, path: str) -> tuple[int, str]:
        """Give status and body of an answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def samples(self) -> dict[str, float]:
        """Give all samples by name and labels, as Prometheus reads them."""
        status, text = self.get("/metrics")
        assert status == 200
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    settings = Settings(store=StoreSettings(directory=str(tmp_path / "store")))
    manager, publisher = PluginManager(), MemoryPublisher()
    manager.register("tests", Plugin())

    def publish(_account: str, _exchanges: Sequence[str]) -> MemoryPublisher:
        return publisher

    with ExitStack() as stack:
        store = stack.enter_context(held_store(settings, "run"))
        runtime = Runtime(settings, store, manager, publish, random=lambda: 0.0)
        port = stack.enter_context(serve(ANY_PORT, runtime))
        assert port is not None
        yield Site(runtime, publisher, port)
        runtime.stop()


def start(site: Site) -> None:
    """Start the relay and read what is there."""
    site.runtime.start(watching=False)
    site.runtime.reader.read_all()
    wait_until(lambda: site.runtime.left().work == 0 and is_ready(site.runtime))


def test_what_waits_is_shown_with_its_age(site: Site) -> None:
    """Spool, outbox and parked items, before anything is published."""
    site.record("a", "b")
    site.record("bad")
    site.runtime.reader.read_all()
    site.record("c")

    samples = site.samples()

    assert samples["pulseshim_spool_invocations"] == 1
    assert 59 < samples["pulseshim_spool_oldest_seconds"] < 59 + PATIENCE
    assert samples[f"pulseshim_pending {EXCHANGE.name}"] == 2
    assert 0 <= samples[f"pulseshim_pending_oldest_seconds {EXCHANGE.name}"] < PATIENCE
    assert [samples[f"pulseshim_parked {kind}"] for kind in ("envelope", "file", "invocation")] == [0, 0, 1]
    assert samples["pulseshim_source_total tests private"] == 1


def test_what_was_done_is_counted(site: Site) -> None:
    """Counters grow with what the broker said, and stay when the store is opened again."""
    site.publisher.unbound.add(EXCHANGE.name)
    (message,) = shim("a")
    site.publisher.nack[message.message_id] = 1
    site.record("a", "b")

    start(site)
    samples = site.samples()

    assert samples[f"pulseshim_confirmed_total {EXCHANGE.name}"] == 2
    assert samples[f"pulseshim_pending {EXCHANGE.name}"] == 0
    assert time.time() - samples[f"pulseshim_last_confirm_timestamp_seconds {EXCHANGE.name}"] < PATIENCE
    assert samples["pulseshim_connected "] == 1
    assert samples["pulseshim_nacked_total "] == 1
    assert samples["pulseshim_returned_total "] == 2
    assert samples["pulseshim_connections_total "] == 1


def test_a_store_in_which_nothing_has_happened_has_metrics(site: Site) -> None:
    """Zeros, so that an alarm can be written before the first event."""
    samples = site.samples()

    assert samples["pulseshim_spool_invocations"] == 0
    assert samples["pulseshim_spool_oldest_seconds"] == 0
    assert samples[f"pulseshim_confirmed_total {EXCHANGE.name}"] == 0


def test_a_service_is_ready_once_its_broker_is_connected_and_alive_all_along(site: Site) -> None:
    """A broker that is down is no reason to start the service anew."""
    before = site.get("/ready"), site.get("/live")

    start(site)
    connected = site.get("/ready"), site.get("/live")
    site.publisher.block("low on disk")
    wait_until(lambda: not is_ready(site.runtime))
    blocked = site.get("/ready"), site.get("/live")

    yes, no = (200, "yes\n"), (503, "no\n")
    assert (before, connected, blocked) == ((no, yes), (yes, yes), (no, yes))


def test_a_service_whose_thread_has_ended_is_not_alive(site: Site) -> None:
    """Then it is to be started anew."""
    start(site)
    site.runtime.stop()

    answers = site.get("/live"), site.get("/ready")

    assert answers == ((503, "no\n"), (503, "no\n"))


def test_a_poll_that_fails_leaves_the_service_ready(site: Site) -> None:
    """What can be published is; `status` tells of the poll."""
    start(site)

    site.runtime.conditions.set("poll polled", "failed", "no route")

    assert site.get("/ready") == (200, "yes\n")


@pytest.mark.parametrize("path", ["/", "/metric", "/live/", "/../etc/passwd"])
def test_another_path_is_answered_with_those_there_are(site: Site, path: str) -> None:
    """Nothing else is served."""
    assert site.get(path) == (404, "there are /metrics, /live and /ready\n")


def test_scrapes_beside_the_working_service_are_whole(site: Site) -> None:
    """Each is read from the store at one moment."""
    site.runtime.start(watching=False)
    for number in range(5):
        site.record(*(f"{number} {other}" for other in range(20)))
    reader = threading.Thread(target=site.runtime.reader.read_all)
    reader.start()

    scrapes = [site.samples() for _ in range(5)]
    reader.join(PATIENCE)
    wait_until(lambda: site.runtime.left().work == 0)

    confirmed = [samples[f"pulseshim_confirmed_total {EXCHANGE.name}"] for samples in scrapes]
    assert confirmed == sorted(confirmed)
    assert site.samples()[f"pulseshim_confirmed_total {EXCHANGE.name}"] == 100


def test_silent_connections_keep_nobody_waiting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither who asks beside them, nor the service that ends: however many there are."""
    monkeypatch.setattr("pulseshim.metrics._Quiet.timeout", 10 * PATIENCE)
    before = set(threading.enumerate())  # whatever servers other tests have left
    with ExitStack() as stack, serve(ANY_PORT, site.runtime) as port:
        for number in range(100):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            idle.sendall(b"GET /live HTTP/1.1\r\n"[: number % 20])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/live", timeout=PATIENCE) as answer:
            live = answer.status
        wait_until(lambda: len(set(threading.enumerate()) - before) <= 1 + 32)

    assert live == 200


def test_a_connection_that_says_nothing_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of a client that has gone without a word."""
    monkeypatch.setattr("pulseshim.metrics._Quiet.timeout", 0.05)
    with socket.create_connection(("127.0.0.1", site.port), PATIENCE) as idle:
        idle.sendall(b"GET /li")

        assert idle.recv(1) == b""


def test_a_store_that_cannot_be_read_is_said(site: Site) -> None:
    """Prometheus sees a failed scrape."""
    with site.runtime.store.database.step() as connection:
        connection.execute("ALTER TABLE counters RENAME TO lost")

    assert site.get("/metrics") == (503, "the store cannot be read\n")


def test_without_a_port_nothing_is_served(site: Site) -> None:
    """Metrics are off unless they are asked for."""
    with serve(MetricsSettings(), site.runtime) as port:
        assert port is None


def test_a_port_that_is_taken_is_named(site: Site) -> None:
    """An error of the settings, before anything is published."""
    with (
        pytest.raises(
            SettingsError, match=rf"metrics\.port {site.port} on 127\.0\.0\.1 cannot be used \(Address"
        ),
        serve(MetricsSettings(port=site.port), site.runtime),
    ):
        pass


def test_an_address_that_is_not_ours_is_named(site: Site) -> None:
    """A host name that does not resolve is as wrong as a port that is taken."""
    with (
        pytest.raises(SettingsError, match=r"metrics\.port 0 on no\.such\.host\.invalid cannot be used"),
        serve(MetricsSettings(host="no.such.host.invalid", port=0), site.runtime),
    ):
        pass
