"""Exchanges: what may be declared, and what is refused before anything is published."""

from typing import ClassVar

import pytest

from pulseshim import Exchange, Message
from pulseshim.errors import InvalidDeclaration


class Landed(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.landed"


class Nameless(Message, frozen=True, kw_only=True):
    """A message whose author forgot its type."""


@pytest.mark.parametrize(
    "name",
    [
        "exchange/gitpushes/v1",
        "exchange/code/",
        "exchange/build/normalized/v2",
        "exchange/päckchen/v1",
        "exchange/a/" + "x" * 244,
    ],
)
def test_an_exchange_is_named_for_its_account(name: str) -> None:
    """What comes behind the account is the owner's to choose, and may be empty."""
    exchange = Exchange(name, "Tests", "Of the tests.", (Landed,))

    assert exchange.name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gitpushes",
        "amq.topic",
        "exchange/gitpushes",
        "exchange//v1",
        "queue/gitpushes/v1",
        "exchange/git pushes/v1",
        "exchange/gitpushes/v 1",
        "exchange/gitpushes/v1\n",
        "exchange/gitpushes/\x7f",
        "exchange/a/" + "x" * 245,
        "exchange/a/" + "ä" * 123,
    ],
)
def test_a_name_that_no_account_owns_or_amqp_cannot_carry_is_refused(name: str) -> None:
    """The error says how an exchange is named; 255 is counted in bytes."""
    with pytest.raises(InvalidDeclaration, match="is no name of an exchange: name it exchange/<account>"):
        Exchange(name, "Tests", "Of the tests.", (Landed,))


def test_a_message_without_a_type_is_refused_with_the_line_to_add() -> None:
    """It would have no identity."""
    with pytest.raises(InvalidDeclaration, match=r"Nameless of exchange/tests/v1 has no type: .*ClassVar"):
        Exchange("exchange/tests/v1", "Tests", "Of the tests.", (Landed, Nameless))
