"""What Mercurial's hook recorded of a transaction, unpacked: arguments are facts, the rest is on stdin."""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pulseshim import Invocation
from pulseshim.errors import PulseshimError

_NODE = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PHASES = {"0": "public", "1": "draft", "2": "secret"}
# Archived and internal changesets are nobody's business: as good as secret.
_HIDDEN_PHASES = {"32": "secret", "96": "secret"}
_FIELDS = {"added": 4, "head": 1, "phase": 5, "bookmark": 3, "marker": 4}


class NotATransaction(PulseshimError):
    """What was recorded is not what the hook writes: look where it came from, then discard it."""


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive revisions, by the first and the last of them, that came into or changed to a phase.

    `old` is None where they came with the transaction.
    """

    old: str | None
    new: str
    first: str
    last: str
    count: int


@dataclass(frozen=True, slots=True)
class Move:
    """A bookmark and where it pointed before and after; None: it was or is not there."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class MarkerRecord:
    """An obsolescence marker: the node it obsoletes, those that replace it, who and when (seconds)."""

    precursor: str
    successors: tuple[str, ...]
    user: str | None
    time: float


@dataclass(frozen=True, slots=True)
class Record:
    """A transaction as it was recorded. `heads` may be empty where many changesets came."""

    id: str
    source: str
    url: str
    spans: tuple[Span, ...]
    heads: tuple[str, ...]
    moves: tuple[Move, ...]
    markers: tuple[MarkerRecord, ...]


def parse_record(invocation: Invocation) -> Record:
    """Give the transaction that an invocation holds. Raises `NotATransaction`."""
    facts = dict(argument.partition("=")[::2] for argument in invocation.arguments)
    lines = list(_lines(invocation.stdin))
    try:
        return Record(
            id=facts.get("txnid") or invocation.id,
            # A repository that is pulled into has no source of a push; what is committed has none at all.
            source=facts.get("source") or facts.get("txnname", "").partition("\n")[0] or "unknown",
            url=facts.get("url", ""),
            spans=tuple(_span(kind, fields) for kind, fields in lines if kind in ("added", "phase")),
            heads=tuple(_node(fields[0]) for kind, fields in lines if kind == "head"),
            moves=tuple(_move(*fields) for kind, fields in lines if kind == "bookmark"),
            markers=tuple(_marker(*fields) for kind, fields in lines if kind == "marker"),
        )
    except ValueError as error:
        raise _not_a_transaction(str(error)) from error


def _lines(stdin: bytes) -> Iterator[tuple[str, list[str]]]:
    """Give kind and fields of each line: NUL ends a field, and the kind says how many there are."""
    fields = iter(os.fsdecode(stdin).split("\0")[:-1])
    for kind in fields:
        if kind not in _FIELDS:
            raise _not_a_transaction(f"it has a line of kind {kind[:100]!r}")
        line = [field for _, field in zip(range(_FIELDS[kind]), fields, strict=False)]
        if len(line) < _FIELDS[kind]:
            raise _not_a_transaction(f"its last line, {kind}, is cut")
        yield kind, line


def _span(kind: str, fields: list[str]) -> Span:
    old = None if kind == "added" else _phase(fields.pop(0))
    new, first, last, count = fields
    if not (count.isascii() and count.isdigit()):
        raise ValueError(f"{count[:20]!r} is no count")
    return Span(old, _phase(new), _node(first), _node(last), int(count))


def _phase(number: str) -> str:
    names = _PHASES | _HIDDEN_PHASES
    if number not in names:
        raise ValueError(f"{number[:20]!r} is no phase")
    return names[number]


def _move(name: str, old: str, new: str) -> Move:
    return Move(name, _node(old) if old else None, _node(new) if new else None)


def _marker(precursor: str, successors: str, user: str, time: str) -> MarkerRecord:
    nodes = tuple(_node(node) for node in successors.split(" ") if node)
    seconds = float(time)
    if not math.isfinite(seconds):
        raise ValueError(f"{time[:20]!r} is no time")
    return MarkerRecord(_node(precursor), nodes, user or None, seconds)


def _node(text: str) -> str:
    if not _NODE.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no node")
    return text


def _not_a_transaction(problem: str) -> NotATransaction:
    return NotATransaction(
        f"this is no transaction of Mercurial: {problem}", "look at what recorded it, then discard it"
    )
