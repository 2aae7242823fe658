"""What a proxy before a master answers in its place: nothing is lost by it, and nothing told again."""

import json
from collections.abc import Iterator
from itertools import product

import pytest

from pulseshim.testing import MemoryState
from pulseshim_plugins.buildbot_client import Client, MasterUnavailable
from pulseshim_plugins.buildbot_listen import catch_up
from pulseshim_plugins.buildbot_options import MasterOptions
from pulseshim_shims.buildbot import buildbot_messages
from pulseshim_shims.buildbot_event import BuildEvent
from pulseshim_shims.buildbot_payload import Row
from tests.buildbot_rows import ROWS, master_answer
from tests.web import Answer, Web

RUNNING = {**ROWS, "builds": [{**ROWS["builds"][0], "complete": False, "results": None}]}
STARTED, ENDED = ["build.b.1.started"], ["build.b.1.finished", "build.b.1.log_uploaded"]
GONE = "not found while getting from <StepsEndpoint> with arguments ResultSpec() and {'buildid': 1}"


@pytest.fixture
def web() -> Iterator[Web]:
    """Give a server that answers as the test says."""
    found = Web()
    yield found
    found.close()


def said(status: int, **content: object) -> Answer:
    """Give an answer in JSON."""
    return status, "application/json", json.dumps(content).encode()


def told_of(web: Web, state: MemoryState) -> Iterator[str]:
    """Give the routing keys of the builds that one look tells of."""
    for event in catch_up(state, MasterOptions(url=web.url, heartbeat="0s")):
        if isinstance(event, BuildEvent):
            yield from (message.routing_key for message in buildbot_messages(event))


def begun(web: Web) -> MemoryState:
    """Give the state where a build was told to have started."""
    state = MemoryState()
    web.answer = lambda path, _number: master_answer(path, filled=False)
    before = list(told_of(web, state))
    web.answer = lambda path, _number: master_answer(path, filled=True, rows=RUNNING)
    assert [*before, *told_of(web, state)] == STARTED
    return state


STRANGE = [
    said(404, message="no Route matched with those values"),
    said(200),
    said(200, meta={}),
    said(200, masters=[]),
]


@pytest.mark.parametrize(
    ("resource", "answer"),
    [("builds", said(404, error=GONE)), *product(("builds", "steps", "logs"), STRANGE)],
)
def test_an_answer_that_is_not_the_masters_loses_no_build(web: Web, resource: str, answer: Answer) -> None:
    """A collection is there even where it is empty, and a row that is not is told of in Buildbot's words."""
    state = begun(web)

    def answered(path: str, _number: int) -> Answer:
        is_spoilt = path.partition("?")[0].endswith(f"/{resource}")
        return answer if is_spoilt else master_answer(path, filled=True)

    web.answer = answered
    told: list[str] = []
    with pytest.raises(MasterUnavailable):
        told += told_of(web, state)
    web.answer = lambda path, _number: master_answer(path, filled=True)
    told += told_of(web, state)

    assert told == ENDED


def test_a_row_that_is_not_there_has_none_below_it(web: Web) -> None:
    """A build that the master has forgotten since is none that cannot be read."""
    web.answer = lambda _path, _number: said(404, error=GONE)

    with Client(MasterOptions(url=web.url)) as client:
        assert client.rows("builds/1/steps") == []


@pytest.mark.parametrize("rows", [[], [{**ROWS["builds"][0], "buildid": 0}]])
def test_an_old_answer_from_a_cache_is_no_master_that_began_anew(web: Web, rows: list[Row]) -> None:
    """That the last build has a lower number is not enough: the one that was read last is there."""
    state = begun(web)
    web.answer = lambda path, _number: (
        said(200, builds=rows) if "order=-buildid" in path else master_answer(path, filled=True)
    )

    told = list(told_of(web, state))

    assert told == ENDED


def test_a_master_without_the_build_that_was_read_last_began_anew(web: Web) -> None:
    """What was known of the one before is forgotten, and its numbers may come again."""
    state = begun(web)
    web.answer = lambda path, _number: master_answer(path, filled=False)

    emptied = list(told_of(web, state))
    web.answer = lambda path, _number: master_answer(path, filled=True)
    told = list(told_of(web, state))

    assert (emptied, told) == ([], [*STARTED, *ENDED])
