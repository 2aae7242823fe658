"""From the spans that were recorded to the changesets that are in the repository now.

A span is the revisions from a first to a last node, as they followed each other then. What strips a changeset
moves others, also to behind those of other transactions: a span is read as a range only where its ends and
its number are what they were. Else only those are given that are certain to have been part of it: its ends,
the heads that were recorded, and whatever descends from one of these and is an ancestor of another.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

from pulseshim_plugins.hg_record import Span
from pulseshim_plugins.hg_repository import Repository, RevisionsGone
from pulseshim_shims.hg_payload import Phase

LISTED = 30_000
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Found:
    """The changesets of spans that are there and not secret: as revsets, oldest first, each with its phase.

    `newest` are the last of them, oldest first. `count` is how many they are, with those that are `lost`: not
    in the repository any more, or not to be told from others. `moved` says that the history was rewritten.
    """

    sets: tuple[tuple[str, Phase], ...] = ()
    heads: tuple[str, ...] = ()
    newest: tuple[str, ...] = ()
    count: int = 0
    lost: bool = False
    moved: bool = False


@dataclass(frozen=True, slots=True)
class _Range:
    """Spans that follow each other, with the revision numbers of their ends."""

    first: str
    last: str
    low: int
    high: int
    phase: Phase


def read_spans(place: Repository, spans: Sequence[Span], heads: Sequence[str]) -> Found:
    """Give what is left of spans; `heads` are those that were recorded of them, none where many came."""
    revisions = place.revisions({node for span in spans for node in (span.first, span.last)})
    ranges = _ranges(spans, revisions)
    if ranges:
        try:
            whole = _whole(place, ranges)
            if _as_recorded(place, spans, ranges, whole, heads):
                return whole
        except RevisionsGone:  # while they were read
            pass
    return _certain(place, spans, heads)


def _ranges(spans: Sequence[Span], revisions: Mapping[str, int]) -> list[_Range]:
    """Give spans in the order of their revisions, joined where they meet; none if one is not as it was."""
    ranges: list[_Range] = []
    for span in sorted(spans, key=lambda span: revisions.get(span.first, -1)):
        low, high = revisions.get(span.first), revisions.get(span.last)
        if low is None or high is None or high - low + 1 != span.count:
            return []
        before = ranges[-1] if ranges else None
        if before and low <= before.high:
            return []
        if before and before.high + 1 == low and before.phase == span.new:
            ranges[-1] = _Range(before.first, span.last, before.low, high, before.phase)
        else:
            ranges.append(_Range(span.first, span.last, low, high, cast(Phase, span.new)))
    return ranges


def _whole(place: Repository, ranges: Sequence[_Range]) -> Found:
    """Give the changesets of ranges that are as they were, without what became secret since."""
    sets = [(f"({_union(some)}) and not secret()", some[0].phase) for some in _batches(ranges)]
    newest: list[str] = []
    for revset, _ in reversed(sets):
        newest[:0] = place.nodes(f"sort(last({revset}, {LISTED - len(newest)}), rev)")
        if len(newest) >= LISTED:
            break
    count = sum(of.high - of.low + 1 for of in ranges)
    if count <= LISTED:
        count = len(newest)
    else:
        count -= sum(len(place.nodes(f"({_union(some)}) and secret()")) for some in _batches(ranges))
    heads = _heads(place, ranges, " and not secret()")
    return Found(tuple(sets), tuple(heads), tuple(newest), count)


def _as_recorded(
    place: Repository, spans: Sequence[Span], ranges: Sequence[_Range], whole: Found, heads: Sequence[str]
) -> bool:
    """Say whether ranges have the heads that were recorded: those of all that came, and no others."""
    if not heads or any(span.old is not None for span in spans):
        return True
    return set(heads) == set(whole.heads) or set(heads) == set(_heads(place, ranges, ""))


def _heads(place: Repository, ranges: Sequence[_Range], condition: str) -> list[str]:
    """Give those of some ranges that have no child among them, in the order of their revisions."""
    found: list[str] = []
    parents: set[str] = set()
    batches = [f"(({_union(some)}){condition})" for some in _batches(ranges)]
    for revset in batches:
        found += place.nodes(f"heads({revset})")
        if len(batches) > 1:
            parents.update(place.nodes(f"parents({revset}) - {revset}"))
    return [node for node in found if node not in parents]


def _batches(ranges: Sequence[_Range]) -> Iterator[list[_Range]]:
    """Give ranges by so many at once as Mercurial is asked about; those of a batch are of one phase."""
    some: list[_Range] = []
    for one in ranges:
        if some and (len(some) == _AT_ONCE or some[0].phase != one.phase):
            yield some
            some = []
        some.append(one)
    if some:
        yield some


def _union(ranges: Iterable[_Range]) -> str:
    return " or ".join(f"({one.first}:{one.last})" for one in ranges)


def _certain(place: Repository, spans: Sequence[Span], heads: Sequence[str]) -> Found:
    """Give those changesets of spans that are certain; all of them, if they are as many as there were."""
    phases = {span.new for span in spans}
    sets: list[tuple[str, Phase]] = []
    for phase in sorted(phases, reverse=True):
        nodes = {node for span in spans if span.new == phase for node in (span.first, span.last)}
        if len(phases) == 1:
            nodes.update(heads)
        sets += [(revset, cast(Phase, phase)) for revset in _between(list(place.revisions(nodes)))]
    told = [node for revset, _ in sets for node in place.nodes(f"({revset}) and not secret()")]
    secret = sum(len(place.nodes(f"({revset}) and secret()")) for revset, _ in sets)
    total = sum(span.count for span in spans)
    ends = heads or known_heads(spans)
    visible = set(ends) - place.known(ends, "%s and secret()")
    if not visible:
        ends = told[-1:]
        visible = set(ends)
    return Found(
        tuple((f"({revset}) and not secret()", phase) for revset, phase in sets),
        tuple(node for node in ends if node in visible),
        tuple(told[-LISTED:]),
        max(total - secret, len(told)) if visible else 0,
        lost=len(told) + secret < total,
        moved=True,
    )


def known_heads(spans: Sequence[Span]) -> tuple[str, ...]:
    """Give the heads that are known of spans of which none were recorded: the last, which has no child."""
    return tuple(span.last for span in spans[-1:])


def _between(nodes: Sequence[str]) -> Iterator[str]:
    """Give revsets of nodes, with all that lies between them unless they are many."""
    rest = iter(nodes)
    while some := list(islice(rest, _AT_ONCE)):
        ends = " or ".join(f"id({node})" for node in some)
        yield f"({ends})::({ends})" if len(nodes) <= _AT_ONCE else ends
