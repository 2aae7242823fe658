"""A spool full of what no recorder has written, and pushes in between."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import Site
    from tests.conftest import VirtualHost

pytestmark = pytest.mark.broker

EXCHANGE = "exchange/gitpushes/v1"
JUNK, PUSHES = 10_000, 4
DAY = 24 * 3600 * 10**9
MORE_MEMORY = 32
"""MiB that the junk may cost the service."""
SCREEN = 25
"""Lines that a person reads at once."""


def named(number: int, ahead: int = 0) -> str:
    """Give a name such as a recorder gives now."""
    return f"{time.time_ns() + ahead:020}-00000000-0000-4000-8000-{number:012}"


def sparse(path: Path) -> None:
    """Make a file that is larger than memory and takes no room."""
    path.touch()
    os.truncate(path, 1 << 36)


KINDS: list[Callable[[Path, int], object]] = [
    lambda new, number: (new / named(number)).write_bytes(b"pulseshim-invocation/1\0id="),
    lambda new, number: (new / named(number)).write_bytes(b""),
    lambda new, number: (new / named(number)).symlink_to("/etc/passwd"),
    lambda new, number: (new / named(number)).mkdir(),
    lambda new, number: os.mkfifo(new / named(number)),
    lambda new, number: sparse(new / named(number)),
    lambda new, number: (new / named(number, 2 * DAY)).touch(),
    lambda new, number: (new / f"!{number}").touch(),
    lambda new, number: (new / f"{'x' * 210}{number}").touch(),
    lambda new, number: Path(os.fsdecode(os.fsencode(new) + b"/\xff\x1b[2J\n%d" % number)).touch(),
]
"""What a stranger may drop into a spool."""


def memory(process: "subprocess.Popen[str]") -> int:
    """Give the most memory that a process has held, in MiB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) // 1024


@pytest.mark.timeout(600)
def test_a_spool_full_of_junk_holds_up_no_push(
    make_site: Callable[..., "Site"], vhost: "VirtualHost"
) -> None:
    """All pushes are read before any of it is set aside; it is counted, in few lines and little memory."""
    site = make_site(vhost.url, extra='[log]\nformat = "json"')
    queue = vhost.bind_queue(EXCHANGE)
    idle = site.start()
    site.wait_until(lambda: "broker connected" in site.log, "connected")
    site.wait_until(site.is_done, "idle: the baseline of the hook is read")
    without = memory(idle)
    idle.terminate()
    idle.wait(60)
    (site.root / "log").unlink()
    pushed, new = [], site.store / "spool" / "new"
    for number in range(JUNK):
        if number % (JUNK // PUSHES) == 0:
            pushed.append(site.push(f"behind {number}"))
        KINDS[number % len(KINDS)](new, number)

    service = site.start()
    site.wait_until(lambda: not any(new.iterdir()), "set aside", 240)
    site.wait_until(lambda: site.log.count("file set aside") == JUNK, "told", 240)
    site.wait_until(site.is_done, "published", 240)
    more = memory(service) - without
    shown, checked = site.pulseshim("status"), site.pulseshim("check")
    service.terminate()

    announced = [json.loads(message.body)["payload"]["branches"]["main"] for message in vhost.take(queue)]
    events = [json.loads(line)["event"] for line in site.log.splitlines() if line.startswith("{")]
    assert service.wait(60) == 0
    assert announced == pushed
    assert [event for event in events if event in ("invocation read", "file set aside")] == [
        *["invocation read"] * PUSHES,
        *["file set aside"] * JUNK,
    ]
    assert len(os.listdir(site.store / "spool" / "aside")) == JUNK
    assert f"parked   {JUNK} file" in shown.stdout
    assert f"{JUNK} items are parked" in checked.stdout
    assert max(len(done.stdout.splitlines()) for done in (shown, checked)) < SCREEN
    assert more < MORE_MEMORY
