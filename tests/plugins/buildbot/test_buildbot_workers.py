"""Workers: who connected and disconnected, also between two looks."""

from typing import Any

import pytest

from pulseshim.testing import MemoryState
from pulseshim_plugins.buildbot_arrivals import Workers
from pulseshim_plugins.buildbot_client import Client
from pulseshim_plugins.buildbot_options import MasterOptions
from pulseshim_plugins.buildbot_rows import Rows
from tests.buildbot_master import BuildbotMaster


@pytest.mark.parametrize("way", ["websocket", "sse"])
def test_a_worker_that_comes_and_goes_is_told_of(master: BuildbotMaster, listening: Any, way: Any) -> None:
    """Both are announced as they happen, long before the next look is due."""
    with listening(MasterOptions(url=master.url, events=way, every="1h")) as ear:
        master.start_worker("w-2")
        master.kill_worker("w-2")
        ear.wait_for("slave.w-2.connected", "slave.w-2.disconnected")

    assert ear.keys() == ["slave.w-2.connected", "slave.w-2.disconnected"]


def test_a_worker_that_was_gone_again_before_the_look_is_told_of_where_events_were_heard(
    master: BuildbotMaster,
) -> None:
    """What events brought is compared one by one, then what is there now; a repetition says nothing."""
    (away,) = [row for row in master.rows("workers") if row["name"] == "w-2"]
    here = {**away, "connected_to": [{"masterid": 1}]}
    state = MemoryState()

    with Client(MasterOptions(url=master.url)) as client:
        workers = Workers(client, state, Rows(client, "ci", "boot1"))
        workers.begin()
        heard = [(event.state, event.number) for event in workers.look(1000, [away, here, here, away])]
        again = [event.state for event in workers.look(1000, [here])]
        unheard = [event.state for event in workers.look(1000)]

    assert heard == [("connected", 1000), ("disconnected", 1001)]
    assert again == ["connected", "disconnected"]
    assert unheard == []


def test_a_worker_has_no_number_again_when_the_state_is_lost(master: BuildbotMaster) -> None:
    """As when the master's table is renamed. An exchange would not take what it seems to have had before.

    Also a clock that is set back gives no number twice.
    """
    (away,) = [row for row in master.rows("workers") if row["name"] == "w-2"]
    here = {**away, "connected_to": [{"masterid": 1}]}

    def numbers(times: list[int]) -> list[int]:
        workers = Workers(client, MemoryState(), Rows(client, "ci", "boot1"))
        workers.begin()
        return [event.number for now in times for event in workers.look(now, [here, away])]

    with Client(MasterOptions(url=master.url)) as client:
        before, after = numbers([1000, 1010, 500]), numbers([1020, 1030])

    assert before == [1000, 1001, 1010, 1011, 1012, 1013]
    assert after == [1020, 1021, 1030, 1031]
