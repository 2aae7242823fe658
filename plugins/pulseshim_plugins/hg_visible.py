"""What may be told of: changesets that are there and not secret, or that were recorded as not secret.

A node that is neither may have been secret: it is not told, unless what replaced it is told of, with which
Mercurial itself gives the marker to whoever pulls.
"""

from collections import defaultdict
from collections.abc import Iterable

from pulseshim_plugins.hg_record import MarkerRecord, Record
from pulseshim_plugins.hg_repository import Repository


def visible(place: Repository, record: Record, nodes: Iterable[str]) -> set[str]:
    """Give those of some nodes that may be told of."""
    wanted = set(nodes)
    there = place.known(wanted) if wanted and place.exists else set()
    secret = place.known(there, "%s and secret()") if there else set()
    recorded = {node for span in record.spans if span.new != "secret" for node in (span.first, span.last)}
    return (there - secret) | (wanted & recorded.union(record.heads)) - there


def with_precursors(told: Iterable[str], known: Iterable[str], markers: Iterable[MarkerRecord]) -> set[str]:
    """Give nodes that may be told of, with those that the repository does not know and they replaced."""
    replaced: defaultdict[str, list[str]] = defaultdict(list)
    there = set(known)
    for marker in markers:
        if marker.precursor not in there:
            for successor in marker.successors:
                replaced[successor].append(marker.precursor)
    found = set(told)
    rest = list(found)
    while rest:
        new = [node for node in replaced.get(rest.pop(), ()) if node not in found]
        found.update(new)
        rest += new
    return found
