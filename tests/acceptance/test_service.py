"""From a real push to a consumer on a real RabbitMQ node, through whatever happens on the way."""

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import Site
    from tests.conftest import RabbitMQ, TcpProxy, VirtualHost

pytestmark = pytest.mark.broker

EXCHANGE = "exchange/gitpushes/v1"


def announced(messages: list[Any]) -> list[tuple[int, str]]:
    """Give push id and new value of main of each message, in order."""
    payloads = [json.loads(message.body)["payload"] for message in messages]
    return [(payload["push_id"], payload["branches"]["main"]) for payload in payloads]


def first_ones(pushes: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Give pushes without repetitions, in the order they first came."""
    return list(dict.fromkeys(pushes))


def test_a_push_reaches_a_consumer(make_site: Callable[..., "Site"], vhost: "VirtualHost") -> None:
    """What is pushed is announced, with its commit, under the repository's path."""
    site = make_site(vhost.url)
    queue = vhost.bind_queue(EXCHANGE)
    service = site.start()

    commit = site.push("the first")
    site.wait_until(site.is_done, "published")
    service.terminate()

    (message,) = vhost.take(queue)
    body = json.loads(message.body)
    assert service.wait(60) == 0
    assert body["payload"]["branches"] == {"main": commit}
    assert body["payload"]["repo_url"] == "https://git.example.org/group/project"
    assert body["_meta"]["routing_key"] == message.delivery_info["routing_key"] == "group/project"
    assert body["_meta"]["message_id"] == message.properties["message_id"]
    assert message.properties["delivery_mode"] == 2


def test_the_broker_may_be_down_before_during_and_after(
    make_site: Callable[..., "Site"], own_rabbitmq: "RabbitMQ"
) -> None:
    """A consumer ends up with every push, in order, whenever the broker was stopped."""
    vhost = own_rabbitmq.add_vhost()
    site = make_site(vhost.url)
    queue = vhost.bind_queue(EXCHANGE)
    own_rabbitmq.stop()
    service = site.start()

    pushed = [site.push("while it is down")]
    site.wait_until(lambda: site.seen()["outbox"]["count"] == 1, "stored")
    own_rabbitmq.start()
    pushed += [site.push("while it is up")]
    site.wait_until(site.is_done, "published")
    own_rabbitmq.kill()
    pushed += [site.push("after it was killed"), site.push("and once more")]
    site.wait_until(lambda: site.seen()["outbox"]["count"] == 2, "stored")
    site.wait_until(lambda: site.seen()["conditions"][0]["condition"] == "unreachable", "unreachable")
    own_rabbitmq.start()
    site.wait_until(site.is_done, "published", 60)
    service.terminate()

    assert service.wait(60) == 0
    assert first_ones(announced(vhost.take(queue))) == list(enumerate(pushed, 1))


def test_a_service_that_is_killed_loses_nothing(
    make_site: Callable[..., "Site"], vhost: "VirtualHost"
) -> None:
    """Killed at any instant and started again, it announces each push with one id, in order."""
    site = make_site(vhost.url)
    queue = vhost.bind_queue(EXCHANGE)
    pushed: list[str] = []

    for number in range(5):
        service = site.start()
        # The instants differ: before it has started, while it reads, while it publishes.
        pushed += [site.push(f"{number}-{n}") for n in range(number)]
        service.send_signal(signal.SIGKILL)
        service.wait()
    last = site.start()
    site.wait_until(site.is_done, "published")
    last.terminate()

    messages = vhost.take(queue)
    ids = {json.loads(m.body)["payload"]["push_id"]: m.properties["message_id"] for m in messages}
    assert last.wait(60) == 0
    assert first_ones(announced(messages)) == list(enumerate(pushed, 1))
    assert all(m.properties["message_id"] == ids[json.loads(m.body)["payload"]["push_id"]] for m in messages)
    assert site.status()["parked"]["count"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_even_when_the_broker_is_silent(
    make_site: Callable[..., "Site"],
    vhost: "VirtualHost",
    tcp_proxy: Callable[[int], "TcpProxy"],
    number: signal.Signals,
) -> None:
    """It ends within ten seconds, says what is left, and the next start publishes that."""
    proxy = tcp_proxy(vhost.node.port)
    site = make_site(vhost.url.replace(str(vhost.node.port), str(proxy.port)))
    queue = vhost.bind_queue(EXCHANGE)
    service = site.start()
    site.wait_until(lambda: "broker connected" in site.log, "connected")
    proxy.black_hole()
    commit = site.push("into the void")
    site.wait_until(lambda: site.seen()["outbox"]["count"] == 1, "stored")

    service.send_signal(number)

    assert service.wait(30) == 0, site.log
    assert "left for the next start: 0 in the spool, 1 to publish, 0 parked" in site.log
    proxy.restore()
    assert site.pulseshim("drain").returncode == 0
    assert first_ones(announced(vhost.take(queue))) == [(1, commit)]


def test_a_second_runtime_says_who_holds_the_store(
    make_site: Callable[..., "Site"], vhost: "VirtualHost"
) -> None:
    """`run` and `poll` beside a live `run` exit 2 and name it; `status` does too."""
    site = make_site(vhost.url)
    service = site.start()
    site.wait_until(lambda: "runtime started" in site.log, "started")

    second, poll = site.pulseshim("run"), site.pulseshim("poll")

    name = f"pulseshim run (process {service.pid})"
    assert (second.returncode, poll.returncode) == (2, 2)
    assert name in second.stderr
    assert name in poll.stderr
    assert site.status()["running"] == name


def test_a_broker_that_blocks_is_seen_in_status(
    make_site: Callable[..., "Site"], own_rabbitmq: "RabbitMQ"
) -> None:
    """A memory alarm shows as `blocked` with the broker's reason, and what waited goes out when it clears."""
    vhost = own_rabbitmq.add_vhost()
    site = make_site(vhost.url)
    queue = vhost.bind_queue(EXCHANGE)
    service = site.start()
    site.push("before")
    site.wait_until(site.is_done, "published")
    own_rabbitmq.ctl("set_vm_memory_high_watermark", "0.0000001")

    site.push("while it blocks")
    site.wait_until(lambda: site.seen()["conditions"][0]["condition"] == "blocked", "seen as blocked")
    blocked = site.status()
    own_rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    site.wait_until(site.is_done, "published")
    service.terminate()

    assert service.wait(60) == 0
    assert "memory" in blocked["conditions"][0]["detail"]
    assert blocked["outbox"]["count"] == 1
    assert [number for number, _ in first_ones(announced(vhost.take(queue)))] == [1, 2]


def test_metrics_and_health_are_served(make_site: Callable[..., "Site"], vhost: "VirtualHost") -> None:
    """Prometheus finds the counts, `/live` and `/ready` answer yes while the broker is connected."""
    site = make_site(vhost.url, extra="[metrics]\nport = 0")
    service = site.start()
    site.push("to be counted")
    site.wait_until(site.is_done, "published")
    port = int(site.log.partition("metrics served address=127.0.0.1:")[2].split()[0])

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""

    _, metrics = get("/metrics")

    assert f'pulseshim_confirmed_total{{exchange="{EXCHANGE}"}} 1.0' in metrics
    assert 'pulseshim_connected{account=""} 1.0' in metrics
    assert 'pulseshim_returned_total{account=""} 1.0' in metrics
    assert get("/live") == (200, "yes\n")
    assert get("/ready") == (200, "yes\n")
    assert get("/else")[0] == 404
    service.terminate()
    assert service.wait(60) == 0


def test_a_client_of_the_metrics_that_says_nothing_keeps_no_service_from_ending(
    make_site: Callable[..., "Site"], vhost: "VirtualHost"
) -> None:
    """SIGTERM ends it as ever, and `/live` is answered before."""
    site = make_site(vhost.url, extra="[metrics]\nport = 0")
    service = site.start()
    site.wait_until(lambda: "runtime started" in site.log, "started")
    port = int(site.log.partition("metrics served address=127.0.0.1:")[2].split()[0])

    with socket.create_connection(("127.0.0.1", port), 10):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/live", timeout=60) as answer:
            live = answer.status
        service.terminate()

        assert service.wait(60) == 0
    assert live == 200


def test_logs_are_json_on_request(make_site: Callable[..., "Site"], vhost: "VirtualHost") -> None:
    """Each line is an object, and a message can be followed by its id from the hook to the confirm."""
    site = make_site(vhost.url, extra='[log]\nformat = "json"')
    site.push("to be followed")

    done = site.pulseshim("drain")

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    (read,) = [line for line in lines if line["event"] == "invocation read" and line["messages"]]
    (confirmed,) = [line for line in lines if line["event"] == "messages confirmed"]
    assert done.returncode == 0
    assert read["messages"] == confirmed["messages"]
    assert read["invocation"]
