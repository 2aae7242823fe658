"""What rows are joined with, and what of it is remembered."""

import json
import urllib.parse
from collections.abc import Iterator

import pytest

from pulseshim_plugins.buildbot_client import Client
from pulseshim_plugins.buildbot_options import MasterOptions
from pulseshim_plugins.buildbot_rows import Rows
from pulseshim_shims.buildbot_payload import Row
from tests.web import Answer, Web

FIELDS = {"buildrequests": "buildrequestid", "buildsets": "bsid"}


@pytest.fixture
def web() -> Iterator[Web]:
    """Give a master that has each request that it is asked for, and a buildset of the same number."""
    found = Web()
    found.answer = answer
    yield found
    found.close()


def answer(path: str, _number: int) -> Answer:
    """Give the rows with the numbers that a request names."""
    resource, _, query = path.rpartition("/")[2].partition("?")
    numbers = [int(text) for text in urllib.parse.parse_qs(query)[FIELDS[resource]]]
    rows = [request(number) if resource == "buildrequests" else buildset(number) for number in numbers]
    return 200, "application/json", json.dumps({resource: rows, "meta": {}}).encode()


def request(number: int) -> Row:
    """Give a request."""
    return {
        "buildrequestid": number,
        "buildsetid": number,
        "builderid": 1,
        "complete": True,
        "claimed_by_masterid": 1,
    }


def buildset(number: int) -> Row:
    """Give a buildset."""
    return {"bsid": number, "reason": f"because of {number}"}


@pytest.mark.parametrize("kept", [0, 1, 2000, 2001, 5000])
def test_a_build_has_its_buildset_however_many_requests_are_remembered(web: Web, kept: int) -> None:
    """Also where some of its page are remembered, others are not, and those are about to be forgotten."""
    wanted = [1, 2, kept, kept + 1, kept + 2]

    with Client(MasterOptions(url=web.url)) as client:
        rows = Rows(client, "ci", "boot1")
        rows.remember([request(number) for number in range(1, kept + 1)])
        found = rows.buildsets_of([{"buildrequestid": number} for number in wanted])

    assert found == {number: buildset(number) for number in wanted}
