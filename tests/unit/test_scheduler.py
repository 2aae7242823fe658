"""When a poll is due again beside its schedule."""

import threading
from datetime import timedelta

from pulseshim.scheduler import Scheduler


def test_a_poll_that_is_to_be_tried_again_does_not_wait_for_its_schedule() -> None:
    """With an hour between polls, a second one comes when it was asked for."""
    scheduler = Scheduler()
    polled: list[int] = []
    twice = threading.Event()

    def poll() -> None:
        polled.append(1)
        if len(polled) == 1:
            scheduler.again("bell", 0.05)
            scheduler.again("bell", 0.1)
        else:
            twice.set()

    scheduler.add("bell", timedelta(hours=1), poll)
    scheduler.start()
    came = twice.wait(30)
    scheduler.stop()

    assert came
    assert len(polled) == 2
