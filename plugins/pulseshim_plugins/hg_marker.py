"""Obsolescence markers, with what the repository knows of the changesets that they name."""

from collections.abc import Mapping, Sequence

from pulseshim import readable
from pulseshim_plugins.hg_record import MarkerRecord
from pulseshim_plugins.hg_repository import Repository
from pulseshim_shims.hg_payload import MarkedNode, Marker, PushEntry


def described_markers(
    place: Repository, records: Sequence[MarkerRecord], log: Mapping[str, PushEntry]
) -> tuple[Marker, ...]:
    """Give markers as they are announced: those of secret changesets are not, nor are secret successors."""
    nodes = {node for record in records for node in (record.precursor, *record.successors)}
    there = place.known(nodes) if nodes and place.exists else set()
    secret = place.known(there, "%s and secret()") if there else set()
    hidden = place.known(there, "%s and hidden()") if there else set()
    texts = place.descriptions(sorted(there - secret)) if there else {}

    def described(node: str) -> MarkedNode:
        if node not in texts:
            return MarkedNode(node, known=False, visible=None, desc=None, push=None)
        visible, text = node not in hidden, readable(texts[node])
        return MarkedNode(node, known=True, visible=visible, desc=text, push=log.get(node))

    return tuple(
        Marker(
            described(record.precursor),
            [described(node) for node in record.successors if node not in secret],
            None if record.user is None else readable(record.user),
            record.time,
        )
        for record in records
        if record.precursor not in secret
    )
