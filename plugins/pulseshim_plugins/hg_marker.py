"""Obsolescence markers, with what the repository knows of the changesets that they name."""

from collections.abc import Mapping

from pulseshim import readable
from pulseshim_plugins.hg_record import Record
from pulseshim_plugins.hg_repository import Repository
from pulseshim_plugins.hg_visible import visible, with_precursors
from pulseshim_shims.hg_payload import MarkedNode, Marker, PushEntry


def described_markers(place: Repository, record: Record, log: Mapping[str, PushEntry]) -> tuple[Marker, ...]:
    """Give markers as they are announced: those of what may not be told are not, nor are such successors."""
    nodes = {node for marker in record.markers for node in (marker.precursor, *marker.successors)}
    there = place.known(nodes) if nodes and place.exists else set()
    told = with_precursors(visible(place, record, nodes), there, record.markers)
    hidden = place.known(there & told, "%s and hidden()") if there else set()
    texts = place.descriptions(sorted(there & told)) if there else {}

    def described(node: str) -> MarkedNode:
        if node not in texts:
            return MarkedNode(node, known=False, visible=None, desc=None, push=None)
        text = readable(texts[node])
        return MarkedNode(node, known=True, visible=node not in hidden, desc=text, push=log.get(node))

    return tuple(
        Marker(
            described(marker.precursor),
            [described(node) for node in marker.successors if node in told],
            None if marker.user is None else readable(marker.user),
            marker.time,
        )
        for marker in record.markers
        if marker.precursor in told
    )
