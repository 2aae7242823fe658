"""Prometheus metrics, and whether the service is alive and ready, on a port of its own."""

import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from pulseshim.backlog import Figures, figures
from pulseshim.errors import SettingsError, StoreError
from pulseshim.runtime import Runtime
from pulseshim.settings import MetricsSettings
from pulseshim.store import milliseconds

log = logging.getLogger(__name__)

_Family = CounterMetricFamily | GaugeMetricFamily

_CONNECTIONS = 16
_SILENCE = 10.0
_CROWDED = 2.0


class RuntimeCollector(Collector):
    """Reads store and relays each time it is scraped; nothing is counted twice."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterable[_Family]:
        """Give all metrics."""
        yield from store_metrics(figures(self._runtime.store), milliseconds())
        yield from self._relays()

    def _relays(self) -> Iterator[_Family]:
        relays = self._runtime.relays
        connected = GaugeMetricFamily(
            "pulseshim_connected", "1 while the broker is connected", labels=["account"]
        )
        for condition in self._runtime.conditions.all():
            word, _, account = condition.subject.partition(" ")
            if word == "relay":
                connected.add_metric([account], float(condition.condition == "connected"))
        yield connected
        for name, text in (
            ("nacked", "Messages that the broker nacked"),
            ("returned", "Messages that no queue was bound for"),
            ("connections", "Connections made to the broker"),
        ):
            family = CounterMetricFamily(f"pulseshim_{name}", text, labels=["account"])
            for account, relay in relays.items():
                family.add_metric([account], getattr(relay.counts, name))
            yield family


def store_metrics(now: Figures, at: int) -> Iterator[_Family]:
    """Give the metrics that stand in the store; `at` is in milliseconds since 1970."""
    yield GaugeMetricFamily("pulseshim_spool_invocations", "Invocations in the spool", value=now.spool)
    age = (at - now.spool_oldest) / 1000 if now.spool_oldest is not None else 0
    yield GaugeMetricFamily("pulseshim_spool_oldest_seconds", "Age of the oldest invocation", value=age)
    pending = GaugeMetricFamily("pulseshim_pending", "Envelopes without a confirm", labels=["exchange"])
    oldest = GaugeMetricFamily(
        "pulseshim_pending_oldest_seconds", "Age of the oldest of them", labels=["exchange"]
    )
    confirmed = CounterMetricFamily("pulseshim_confirmed", "Confirmed messages", labels=["exchange"])
    last = GaugeMetricFamily(
        "pulseshim_last_confirm_timestamp_seconds", "The last confirm", labels=["exchange"]
    )
    for exchange in now.exchanges:
        pending.add_metric([exchange.exchange], exchange.pending)
        waits = (at - exchange.oldest) / 1000 if exchange.oldest is not None else 0
        oldest.add_metric([exchange.exchange], waits)
        confirmed.add_metric([exchange.exchange], exchange.confirmed)
        last.add_metric([exchange.exchange], (exchange.confirmed_at or 0) / 1000)
    yield from (pending, oldest, confirmed, last)
    parked = GaugeMetricFamily("pulseshim_parked", "Parked items", labels=["kind"])
    for kind in ("envelope", "file", "invocation"):
        parked.add_metric([kind], now.parked.get(kind, 0))
    yield parked
    up = GaugeMetricFamily(
        "pulseshim_source_up", "1 while a stream is connected, or the last poll did not fail", labels=["feed"]
    )
    for condition in now.conditions:
        word, _, feed = condition.subject.partition(" ")
        if word in ("poll", "stream"):
            up.add_metric([feed], float(condition.condition in ("connected", "done", "going on")))
    yield up
    counters = CounterMetricFamily("pulseshim_source", "What sources count", labels=["feed", "name"])
    for feed, name, count in now.counters:
        counters.add_metric([feed, name], count)
    yield counters


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each connection in a thread of its own, so that none keeps the others, or the end, waiting.

    Of more than `_CONNECTIONS` the oldest gives way. While twice as many are being answered a new one waits,
    and is refused after `_CROWDED` seconds.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        self._open: list[socket.socket] = []
        self._changed = threading.Condition()
        super().__init__(*arguments)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the parent's
        with self._changed:
            for oldest in self._open[: len(self._open) + 1 - _CONNECTIONS]:
                with suppress(OSError):  # whoever it was may have gone
                    oldest.shutdown(socket.SHUT_RDWR)
            if not self._changed.wait_for(lambda: len(self._open) < 2 * _CONNECTIONS, _CROWDED):
                return False
            self._open.append(request)
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:  # only now, so that it is threads that are counted
            with self._changed:
                self._open.remove(request)
                self._changed.notify()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the parent's
        log.debug("metrics connection lost", extra={"error": repr(sys.exception())})


class _Quiet(WSGIRequestHandler):
    timeout = _SILENCE

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the parent's
        log.debug("metrics asked", extra={"request": format % args})


@contextmanager
def serve(settings: MetricsSettings, runtime: Runtime) -> Iterator[int | None]:
    """Serve `/metrics`, `/live` and `/ready` while inside, and give the port; None where it is off.

    Raises `SettingsError` where the port cannot be had.
    """
    if settings.port is None:
        yield None
        return
    try:
        server: WSGIServer = make_server(
            settings.host, settings.port, application(runtime), _Server, handler_class=_Quiet
        )
    except OSError as error:
        raise SettingsError(
            f"metrics.port {settings.port} on {settings.host} cannot be used ({error.strerror})",
            "name another port, or stop what listens there",
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    log.info("metrics served", extra={"address": f"{settings.host}:{server.server_port}"})
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def application(runtime: Runtime) -> Callable[..., Iterable[bytes]]:
    """Give the WSGI application."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RuntimeCollector(runtime))
    prometheus: Callable[..., Iterable[bytes]] = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            try:
                return prometheus(environ, start_response)
            except StoreError as error:
                log.error("metrics not read", extra={"error": str(error)})
                start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
                return [b"the store cannot be read\n"]
        checks: dict[str, Callable[[], bool]] = {
            "/live": runtime.is_alive,
            "/ready": lambda: runtime.is_alive() and is_ready(runtime),
        }
        if path not in checks:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"there are /metrics, /live and /ready\n"]
        good = checks[path]()
        start_response("200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"yes\n" if good else b"no\n"]

    return answer


def is_ready(runtime: Runtime) -> bool:
    """Say whether each relay is connected and the store can be read."""
    try:
        conditions = {c.subject: c.condition for c in runtime.conditions.all()}
    except StoreError:
        return False
    return all(conditions.get(f"relay {account}".rstrip()) == "connected" for account in runtime.relays)
