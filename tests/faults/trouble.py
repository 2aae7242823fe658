"""The faults: each makes trouble on the ground, some for a moment, some for as long as one is inside."""

import contextlib
import random
import time
import urllib.error
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

import amqp

from tests.faults.ground import EXCHANGE, USER, Ground, wait_until

Blow: TypeAlias = Callable[[Ground], None]
"""A fault that is over at once."""
Spell: TypeAlias = Callable[[Ground], AbstractContextManager[None]]
"""A fault that lasts while inside."""

PATH = quote(EXCHANGE, safe="")
CLOCK_STEP = 7200
MANY_BYTES = "100000GB"


def cut(ground: Ground) -> None:
    """Cut the connection."""
    ground.proxy.cut()


def kill(ground: Ground) -> None:
    """Kill the service."""
    ground.service.kill()


def restart_broker(ground: Ground) -> None:
    """Restart the broker in good order."""
    ground.node.stop()
    ground.node.start()


def kill_broker(ground: Ground) -> None:
    """Kill the broker and start it again."""
    ground.node.kill()
    ground.node.start()


def delete_exchange(ground: Ground) -> None:
    """Delete the exchange while it is published to."""
    with contextlib.suppress(urllib.error.HTTPError):  # it may be gone already
        ground.node.api("DELETE", f"exchanges/{ground.vhost.name}/{PATH}")


def misfit(ground: Ground) -> None:
    """Drop something into the spool that no hook has written."""
    place = ground.store / "spool" / "new"
    with contextlib.suppress(OSError):  # the disk may be full
        (place / f"foreign-{len(list(place.parent.glob('aside/foreign-*')))}").write_text("hostile")


def too_large(ground: Ground) -> None:
    """Record an event whose message is larger than the broker takes."""
    ground.record("large", 0, "huge")


def poison(ground: Ground) -> None:
    """Record an event that a broken plugin fails on, and wait until it has failed."""
    before = _failed(ground)
    ground.record("poison", 0, "poison")
    wait_until(lambda: _failed(ground) > before, "the plugin fails")


def _failed(ground: Ground) -> int:
    return sum(item["kind"] == "invocation" for item in ground.parked())


@contextmanager
def black_hole(ground: Ground) -> Iterator[None]:
    """Swallow all that is sent, with every connection open."""
    ground.proxy.black_hole()
    yield
    ground.proxy.restore()


@contextmanager
def stall(ground: Ground) -> Iterator[None]:
    """Take nothing that is sent, with every connection open."""
    ground.proxy.stall()
    yield
    ground.proxy.restore()


@contextmanager
def slow(ground: Ground) -> Iterator[None]:
    """Forward slowly."""
    ground.proxy.delay = 0.05
    yield
    ground.proxy.delay = 0.0


@contextmanager
def memory_alarm(ground: Ground) -> Iterator[None]:
    """Let the broker run short of memory."""
    ground.node.ctl("set_vm_memory_high_watermark", "absolute", "1")
    yield
    ground.node.ctl("set_vm_memory_high_watermark", "0.4")


@contextmanager
def disk_alarm(ground: Ground) -> Iterator[None]:
    """Let the broker run short of disk."""
    ground.node.ctl("set_disk_free_limit", MANY_BYTES)
    yield
    ground.node.ctl("set_disk_free_limit", "1MB")


@contextmanager
def wrong_type(ground: Ground) -> Iterator[None]:
    """Have an exchange of another type in the place of ours."""

    def is_replaced() -> bool:
        delete_exchange(ground)
        try:
            with ground.node.connect(ground.vhost.name) as connection:
                connection.channel().exchange_declare(EXCHANGE, "fanout", durable=True, auto_delete=False)
        except amqp.PreconditionFailed:  # the service was faster
            return False
        return True

    wait_until(is_replaced, "the exchange is replaced")
    yield
    delete_exchange(ground)


@contextmanager
def no_permission(ground: Ground) -> Iterator[None]:
    """Forbid to write to the exchange; a channel that is open may go on, so it is cut."""
    ground.node.permit(ground.vhost.name, USER, write="^$")
    ground.proxy.cut()
    yield
    ground.node.permit(ground.vhost.name, USER)


@contextmanager
def locked_out(ground: Ground) -> Iterator[None]:
    """Let the account into the virtual host no more."""
    ground.node.api("DELETE", f"permissions/{ground.vhost.name}/{USER}")
    ground.proxy.cut()
    yield
    ground.node.permit(ground.vhost.name, USER)


@contextmanager
def full_queue(ground: Ground) -> Iterator[None]:
    """Have the queue full until the broker has nacked something: the hooks may have nothing to record now."""
    policy = {"pattern": f"^{ground.queue}$", "apply-to": "queues", "definition": {"max-length": 1}}
    before = _nacked(ground)
    ground.node.api("PUT", f"policies/{ground.vhost.name}/full", policy)
    yield

    def is_nacked() -> bool:
        # Again and again: what comes before the queue has heard of the policy is taken.
        ground.record("full", sum(words[2] == "full" for words in ground.tries()))
        return _nacked(ground) > before

    wait_until(is_nacked, "the broker nacks")
    ground.node.api("DELETE", f"policies/{ground.vhost.name}/full")


def _nacked(ground: Ground) -> int:
    return sum(line["event"] == "message nacked" for line in ground.logged())


@contextmanager
def full_disk(ground: Ground) -> Iterator[None]:
    """Have no room for the store and the spool."""
    with ground.disk.filled(ground.service.process.pid):
        yield


@contextmanager
def broken_plugin(ground: Ground) -> Iterator[None]:
    """Let the plugin fail on some invocations."""
    (ground.control / "broken").touch()
    yield
    (ground.control / "broken").unlink()


def set_clock(ground: Ground, seconds: int) -> None:
    """Set the clock, the spool being empty: what waits there has its place by the time it was recorded at."""
    wait_until(ground.hooks_are_quiet, "the hooks are quiet")
    waiting = Path(ground.store, "spool", "new")
    wait_until(lambda: not any(waiting.iterdir()), "the spool is empty")
    new = ground.control / "clock.new"
    new.write_text(str(seconds))
    new.rename(ground.control / "clock")


def clock_forward(ground: Ground) -> None:
    """Set the clock forward by hours."""
    set_clock(ground, CLOCK_STEP)


def clock_back(ground: Ground) -> None:
    """Set the clock back by hours."""
    set_clock(ground, -CLOCK_STEP)


def arm(ground: Ground, moment: str) -> None:
    """Have the next process killed at a moment, such as `outbox.store before`, and start it."""
    times = random.Random(moment).randint(1, 3) if moment.startswith(OFTEN) else 1
    (ground.control / "die").write_text(f"{moment} {times}")
    ground.service.kill()


OFTEN = ("outbox.store", "spool.remove")
"""What happens again and again while the service runs."""


def pause(chance: random.Random) -> None:
    """Let a moment pass."""
    time.sleep(chance.uniform(0.02, 0.25))


BLOWS: Mapping[str, Blow] = {
    "connection cut": cut,
    "service killed": kill,
    "broker restarted": restart_broker,
    "broker killed": kill_broker,
    "exchange deleted": delete_exchange,
    "foreign file": misfit,
    "message too large": too_large,
    "poison": poison,
    "clock set forward": clock_forward,
    "clock set back": clock_back,
}
SPELLS: Mapping[str, Spell] = {
    "black hole": black_hole,
    "connection stalled": stall,
    "connection slow": slow,
    "memory alarm": memory_alarm,
    "disk alarm": disk_alarm,
    "exchange of another type": wrong_type,
    "permission taken": no_permission,
    "locked out": locked_out,
    "queue full": full_queue,
    "disk full": full_disk,
    "plugin broken": broken_plugin,
}
MOMENTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "outbox.store": ("", ()),
    "outbox.confirm": ("", ()),
    "spool.remove": ("", ()),
    "outbox.readdress": ("", ()),
    "outbox.prune": ("", ()),
    "condition.set": ("", ()),
    "condition.clear": ("", ()),
    "parked.release": ("", ()),
    "parked.park_envelope": ("exchange of another type", ()),
    "parked.park_invocation": ("plugin broken", ("poison",)),
    "parked.park_files": ("", ("foreign file",)),
}
"""The commit points of the outbox while the service runs, each with the trouble that leads to it."""
