"""What integration tests share: publishers with an account of the test's own virtual host."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pulseshim.account import Account
from pulseshim.publisher import Publisher
from tests.publishing import EXCHANGE

if TYPE_CHECKING:
    from tests.conftest import VirtualHost


@pytest.fixture
def make() -> Iterator[Callable[[Account], Publisher]]:
    """Give a maker of publishers, which are closed at the end."""
    publishers: list[Publisher] = []

    def make(account: Account) -> Publisher:
        publishers.append(Publisher(account, [EXCHANGE]))
        return publishers[-1]

    yield make
    for publisher in publishers:
        publisher.close()


@pytest.fixture
def account(vhost: "VirtualHost") -> Account:
    """Give an account of the test's virtual host."""
    return Account(
        name="", urls=(vhost.url,), user="guest", password="guest", connect_timeout=60, confirm_timeout=60
    )


@pytest.fixture
def impatient(account: Account) -> Account:
    """Give it with a second for each confirm, for brokers that never give one."""
    return replace(account, confirm_timeout=1)
