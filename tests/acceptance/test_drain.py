"""Without a service: `drain` from cron, and the hook that starts it by itself."""

import json
import re
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import Site
    from tests.conftest import LateBroker, VirtualHost

pytestmark = pytest.mark.broker

EXCHANGE = "exchange/gitpushes/v1"


def push_ids(vhost: "VirtualHost", queue: str) -> list[int]:
    """Give the push ids of what is in a queue."""
    return [json.loads(message.body)["payload"]["push_id"] for message in vhost.take(queue)]


def test_drain_publishes_what_is_there_and_ends(
    make_site: Callable[..., "Site"], vhost: "VirtualHost"
) -> None:
    """Two pushes that nobody has read go out in order; a second drain finds nothing to do."""
    site = make_site(vhost.url)
    queue = vhost.bind_queue(EXCHANGE)
    site.push("one")
    site.push("two")

    first, second = site.pulseshim("drain"), site.pulseshim("drain")

    assert (first.returncode, second.returncode) == (0, 0)
    assert push_ids(vhost, queue) == [1, 2]


def test_a_hook_that_drains_needs_no_service(make_site: Callable[..., "Site"], vhost: "VirtualHost") -> None:
    """Every push of a burst is announced once, though each hook starts a drain: they are one."""
    site = make_site(vhost.url, drain=True)
    queue = vhost.bind_queue(EXCHANGE)

    for number in range(6):
        site.push(str(number))
    site.wait_until(site.is_done, "published")
    site.wait_until(lambda: site.seen()["running"] is None, "ended")

    assert push_ids(vhost, queue) == [1, 2, 3, 4, 5, 6]


def test_drain_beside_a_service_waits_until_that_has_nothing_left(
    make_site: Callable[..., "Site"], vhost: "VirtualHost", late: "LateBroker"
) -> None:
    """It does not work on the store itself: it ends well once the service has published everything."""
    site = make_site(late.url)
    queue = vhost.bind_queue(EXCHANGE)
    service = site.start()
    site.push("one")
    site.wait_until(lambda: site.seen()["outbox"]["count"] == 1, "stored")

    hasty = site.pulseshim("drain", "--timeout", "0.5")
    patient = site.start("drain")
    late.come()

    assert hasty.returncode == 2
    assert f"pulseshim run (process {service.pid})" in hasty.stderr
    assert patient.wait(60) == 0
    assert push_ids(vhost, queue) == [1]


def test_drain_gives_up_on_a_broker_that_is_down(
    make_site: Callable[..., "Site"], vhost: "VirtualHost", late: "LateBroker"
) -> None:
    """It exits 3, says why and what is left, and the next one publishes it."""
    site = make_site(late.url)
    queue = vhost.bind_queue(EXCHANGE)
    site.push("one")

    down = site.pulseshim("drain", "--timeout", "1")
    late.come()
    up = site.pulseshim("drain")

    assert down.returncode == 3
    assert "0 in the spool, 1 to publish, 0 parked" in down.stderr
    assert re.search(rf"^relay: unreachable: .*127\.0\.0\.1:{late.port}", down.stderr, re.MULTILINE)
    assert up.returncode == 0
    assert push_ids(vhost, queue) == [1]


def test_a_parked_invocation_can_be_retried(make_site: Callable[..., "Site"], vhost: "VirtualHost") -> None:
    """What a plugin could not read is parked, blocks nothing, and goes on when its cause is mended."""
    site = make_site(vhost.url)
    queue = vhost.bind_queue(EXCHANGE)
    site.pulseshim("drain")
    site.git("config", "pulseshim.url", "no-url", directory=site.repository)
    site.push("one")
    broken = site.pulseshim("drain")
    (item,) = [json.loads(line) for line in site.pulseshim("parked", "list", "--json").stdout.splitlines()]
    shown = site.pulseshim("parked", "show", str(item["id"]))

    site.git("config", "pulseshim.url", "https://git.example.org/own", directory=site.repository)
    retried = site.pulseshim("parked", "retry", str(item["id"]))
    mended = site.pulseshim("drain")

    assert broken.returncode == 4
    assert item["kind"] == "invocation"
    assert "refs/heads/main" in shown.stdout
    assert "Traceback" in shown.stdout
    assert (retried.returncode, mended.returncode) == (0, 0)
    assert push_ids(vhost, queue) == [1]
    assert site.pulseshim("parked", "list").stdout == "nothing is parked\n"


def test_replay_publishes_again_with_the_same_ids(
    make_site: Callable[..., "Site"], vhost: "VirtualHost"
) -> None:
    """A consumer that lost its queue gets what it missed; the bodies are the same to the byte."""
    site = make_site(vhost.url)
    queue = vhost.bind_queue(EXCHANGE)
    site.push("one")
    site.push("two")
    site.pulseshim("drain")
    before = vhost.take(queue)

    replayed = site.pulseshim("replay", "--since", "1h")
    site.pulseshim("drain")
    after = vhost.take(queue)
    by_id = site.pulseshim("replay", "--id", before[0].properties["message_id"])
    nothing = site.pulseshim("replay", "--id", "unknown")

    assert replayed.stdout == "2 messages are queued again\n"
    assert [bytes(m.body) for m in after] == [bytes(m.body) for m in before]
    assert [m.properties["message_id"] for m in after] == [m.properties["message_id"] for m in before]
    assert by_id.stdout == "1 message is queued again\n"
    assert nothing.returncode == 1
    assert "Traceback" not in nothing.stderr


def test_a_drain_that_is_told_to_stop_leaves_the_rest(
    make_site: Callable[..., "Site"], late: "LateBroker"
) -> None:
    """SIGTERM ends it in good order; nothing is lost."""
    site = make_site(late.url)
    site.push("one")
    drain = site.start("drain")
    site.wait_until(lambda: site.seen()["outbox"]["count"] == 1, "stored")

    drain.send_signal(signal.SIGTERM)

    assert drain.wait(60) == 3
    assert site.status()["outbox"]["count"] == 1


def test_an_account_that_publishes_nothing_holds_up_nobody(
    make_site: Callable[..., "Site"], vhost: "VirtualHost"
) -> None:
    """Its password may be missing: `check` and `drain` ask for those of the feeds alone."""
    site = make_site(vhost.url, extra='[broker.accounts.idle]\nuser = "idle"\npassword_file = "/nonexistent"')
    queue = vhost.bind_queue(EXCHANGE)
    site.push("one")

    drained, checked = site.pulseshim("drain"), site.pulseshim("check")

    assert (drained.returncode, checked.returncode) == (0, 0), drained.stderr + checked.stdout
    assert push_ids(vhost, queue) == [1]
