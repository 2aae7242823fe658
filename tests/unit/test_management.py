"""The management API: what answers in its place is no defect."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pulseshim.errors import BrokerUnreachable
from pulseshim.management import Management
from tests.web import Web


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (404, {"message": "no Route matched with those values"}),
        (404, {"error": "not found"}),
        (404, {"reason": "Object Not Found", "error": "Not Found"}),
        (404, []),
        (200, []),
        (200, {}),
        (200, {"name": "guest", "tags": 1}),
        (500, {"message": "trouble"}),
        (200, "guest"),
    ],
)
def test_another_server_that_speaks_json_is_told_from_the_management_api(
    web: Web, status: int, answer: Any
) -> None:
    """A gateway that knows no such path, another API: it is named, with the remedy."""
    web.answer = lambda _path, _number: (status, "application/json", json.dumps(answer).encode())

    with (
        pytest.raises(BrokerUnreachable, match="is not RabbitMQ's management API") as raised,
        Management(web.url, "guest", "guest"),
    ):
        pass

    assert "provision.url" in raised.value.remedy
