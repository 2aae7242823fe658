"""What authors of plugins test with: a check that a shim keeps the rules, and twins that live in memory.

    def test_a_merged_change_becomes_one_message() -> None:
        (message,) = check_shim(merged_messages, [event])

        assert message.routing_key == "project"

Nothing here needs pytest, a broker or a file.
"""

import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from pulseshim.envelope import Envelope, seal
from pulseshim.errors import (
    BrokerError,
    BrokerUnreachable,
    ExchangeRefused,
    InvalidDeclaration,
    PublishRefused,
)
from pulseshim.exchange import Exchange
from pulseshim.feed import Invocation
from pulseshim.message import ROUTING_KEY_BYTES, Message, payload_schema
from pulseshim.publisher import Settled

__all__ = ["MemoryPublisher", "MemoryState", "check_shim", "invocation"]

E = TypeVar("E")

_SOME_ID = "00000000-0000-4000-8000-000000000001"
_SOME_TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_ANYWHERE = "exchange/testing/check"


def check_shim(
    shim: Callable[[E], Iterable[Message]], events: Iterable[E], exchange: Exchange | None = None
) -> list[Message]:
    """Give the messages that a shim makes of events, having asserted that it keeps the rules of shims.

    It is pure: the same event, and an equal copy of it, give the same messages, and it stays as it was. Every
    message has an id of its own, a routing key of 1 to 255 bytes and a payload that is JSON and fits the
    schema of its type. Where an exchange is given, it declares the type. Raises `AssertionError`, which
    names the message and the rule.
    """
    messages = [message for event in events for message in _run_twice(shim, event)]
    for message in messages:
        _check_message(message, exchange)
    for message_id, times in Counter(message.message_id for message in messages).items():
        named = [_name(message) for message in messages if message.message_id == message_id]
        assert times == 1, (
            f"{' and '.join(named)} have one message_id: give each event an event_id of its own"
        )
    return messages


def _run_twice(shim: Callable[[E], Iterable[Message]], event: E) -> list[Message]:
    """Give what a shim makes of an event, having asserted that it makes the same of an equal one."""
    twin, untouched = copy.deepcopy(event), copy.deepcopy(event)
    assert event == untouched, (
        f"{event!r} is not equal to its own copy: events are values, such as dataclasses"
    )
    first, second = list(shim(event)), list(shim(twin))
    assert event == untouched, f"the shim changed an event: it was {untouched!r} and is {event!r}"
    for message in first:
        assert isinstance(message, Message), f"{message!r} is no Message: a shim gives nothing else"
    assert len(first) == len(second), (
        f"the shim gave {len(first)} messages for {event!r}, then {len(second)}: a shim must be pure"
    )
    for one, other in zip(first, second, strict=True):
        assert one.event_id == other.event_id, (
            f"{_name(one)} has the event_id {other.event_id!r} the second time: it must be the same for ever"
        )
        assert one == other, f"{_name(one)} is another the second time, {other!r}: a shim must be pure"
    return first


def _check_message(message: Message, exchange: Exchange | None) -> None:
    """Assert what holds for one message by itself."""
    kind = type(message)
    assert getattr(kind, "type", ""), f"{kind.__name__} has no type: give it one, type: ClassVar[str] = …"
    name = _name(message)
    key_bytes = len(message.routing_key.encode("utf-8", "surrogatepass"))
    assert 1 <= key_bytes <= ROUTING_KEY_BYTES, (
        f"the routing key of {name} is {key_bytes} bytes long: give 1 to {ROUTING_KEY_BYTES},"
        " bounded_routing_key() shortens a long text"
    )
    if exchange is not None:
        declared = ", ".join(sorted(other.type for other in exchange.messages)) or "none"
        assert kind in exchange.messages, (
            f"{name} is not declared by {exchange.name}, which declares {declared}"
        )
    sealed_for = exchange or Exchange(_ANYWHERE, "", "", (kind,))
    try:
        body = seal(message, sealed_for, sequence=1, sent=0).body
    except InvalidDeclaration as error:
        raise AssertionError(f"{name} cannot be sealed: {error}") from error
    _check_schema(message, msgspec.json.decode(body)["payload"])


def _check_schema(message: Message, payload: dict[str, Any]) -> None:
    """Assert that a payload, as its consumer reads it, is what the type of the message says."""
    name = _name(message)
    try:
        payload_schema(type(message))
    except TypeError as error:
        raise AssertionError(f"{name} has a type that no JSON Schema can describe: {error}") from error
    address = {"routing_key": message.routing_key, "event_id": message.event_id, **message.meta()}
    try:
        msgspec.json.decode(msgspec.json.encode({**payload, **address}), type=type(message))
    except msgspec.ValidationError as error:
        raise AssertionError(f"the payload of {name} does not fit its type: {error}") from error


def _name(message: Message) -> str:
    return f"{getattr(message, 'type', type(message).__name__)} (event_id {message.event_id!r})"


def invocation(
    feed: str,
    *arguments: str,
    stdin: bytes = b"",
    environ: Mapping[str, str] | None = None,
    cwd: str = "/",
    id: str = _SOME_ID,  # noqa: A002 - the field's name
    recorded_at: datetime = _SOME_TIME,
    owner: int | None = None,
) -> Invocation:
    """Give an invocation as a hook would have recorded it: `invocation("gerrit", "project=tools")`."""
    return Invocation(
        id=id,
        feed=feed,
        arguments=arguments,
        environ=dict(environ or {}),
        stdin=stdin,
        cwd=cwd,
        recorded_at=recorded_at,
        owner=owner,
    )


class MemoryState:
    """A twin of a feed's state: `entries` by key, and `counts` of what the source counted."""

    def __init__(self, entries: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self.entries: dict[str, dict[str, str]] = {key: dict(value) for key, value in (entries or {}).items()}
        self.counts: Counter[str] = Counter()

    def get(self, key: str) -> dict[str, str]:
        """Give what was last set under a key; `{}` where nothing was."""
        return dict(self.entries.get(key, {}))

    def set(self, key: str, value: Mapping[str, str]) -> None:
        """Replace what stands under a key."""
        self.entries[key] = dict(value)

    def keys(self) -> list[str]:
        """Give the keys that hold something, in their order."""
        return sorted(key for key, value in self.entries.items() if value)

    def count(self, name: str) -> None:
        """Add one to a counter."""
        self.counts[name] += 1


class MemoryPublisher:
    """A twin of `Publisher`: `held` is what the broker has taken, in order and each time it came.

    It fails as it is told: by `fault` (raised by `open` while it is set), `nack` (message ids, and how often
    each is still to be nacked), `refuse` (ids of messages over which the channel is closed),
    `refuse_exchanges` (names), `unbound` (names of exchanges that nothing is bound to), `lose_connection`
    and `block`.
    """

    def __init__(self) -> None:
        self.held: list[Envelope] = []
        self.fault: BrokerError | None = None
        self.nack: Counter[str] = Counter()
        self.refuse: set[str] = set()
        self.refuse_exchanges: set[str] = set()
        self.unbound: set[str] = set()
        self.connected = False
        self.blocked: str | None = None
        self._unblocked = threading.Event()
        self._in_flight: list[tuple[int, Envelope]] = []
        self._confirmed: list[int] = []
        self._lost_after: int | None = None
        self._takes_what_is_lost = False

    @property
    def address(self) -> str:
        """Give where it is connected to; empty while it is not."""
        return "memory" if self.connected else ""

    @property
    def in_flight(self) -> int:
        """Give how many messages await the broker's word."""
        return len(self._in_flight)

    def lose_connection(self, *, after: int = 0, taken: bool = False) -> None:
        """Lose the connection when so many more messages were published, or at once.

        `taken` says whether the broker had taken what was in flight: its confirms are lost either way.
        """
        self._lost_after, self._takes_what_is_lost = after, taken

    def block(self, reason: str) -> None:
        """Take no more messages, as a broker that runs short of memory or disk."""
        self._unblocked.clear()
        self.blocked = reason

    def unblock(self) -> None:
        """Take messages again."""
        self.blocked = None
        self._unblocked.set()

    def open(self) -> None:
        """Connect; raise the fault that is set."""
        self._in_flight.clear()
        if self.fault is not None:
            raise self.fault
        self.connected = True

    def publish(self, tag: int, envelope: Envelope) -> None:
        """Put an envelope in flight under the caller's number for it."""
        self._check_connection()
        if envelope.exchange in self.refuse_exchanges:
            raise ExchangeRefused(f"{envelope.exchange} cannot be declared", "it is in refuse_exchanges")
        self._in_flight.append((tag, envelope))
        if self._lost_after is not None:
            self._lost_after -= 1

    def settle(self, timeout: float) -> Settled:
        """Give what the broker said of what is in flight; while blocked, wait `timeout` seconds at most."""
        if not self.connected and self._confirmed:
            return self._take((), 0)
        self._check_connection()
        if self.blocked and self._in_flight:
            self._unblocked.wait(timeout)
        nacked, returned = [], 0
        while self._in_flight and not self.blocked:
            tag, envelope = self._in_flight.pop(0)
            if self.nack[envelope.message_id] > 0:
                self.nack[envelope.message_id] -= 1
                nacked.append(tag)
            elif envelope.message_id in self.refuse:
                self._drop()
                raise PublishRefused(f"the broker refused {envelope.message_id}", "it is in refuse")
            else:
                returned += envelope.exchange in self.unbound
                self.held.append(envelope)
                self._confirmed.append(tag)
        return self._take(nacked, returned)

    def close(self) -> None:
        """Close the connection; what is in flight is forgotten."""
        self._drop()

    def _take(self, nacked: Iterable[int], returned: int) -> Settled:
        confirmed, self._confirmed = self._confirmed, []
        return Settled(confirmed=tuple(confirmed), nacked=tuple(nacked), returned=returned)

    def _check_connection(self) -> None:
        if self.connected and self._lost_after is not None and self._lost_after <= 0:
            if self._takes_what_is_lost:
                self.held += [envelope for _, envelope in self._in_flight]
            self._lost_after = None
            self._drop()
        if not self.connected:
            raise BrokerUnreachable("there is no connection to the broker", "open it again")

    def _drop(self) -> None:
        self.connected = False
        self._in_flight.clear()
