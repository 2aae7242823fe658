"""An event of the tests, its messages and the exchange that declares them."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from pulseshim import Exchange, Message


@dataclass
class Landing:
    """An event, changeable as an author's may be."""

    branch: str
    number: int
    labels: list[str] = field(default_factory=list)


class Landed(Message, frozen=True, kw_only=True):
    """A message of the tests."""

    type: ClassVar[str] = "tests.landed"
    number: int
    labels: tuple[str, ...] = ()
    detail: Any = None


EXCHANGE = Exchange("exchange/tests/v1", "Tests", "Of the tests.", (Landed,))


def landed(event: Landing, **changes: Any) -> Landed:
    fields = {"routing_key": event.branch, "event_id": str(event.number), "number": event.number, **changes}
    return Landed(**fields)
