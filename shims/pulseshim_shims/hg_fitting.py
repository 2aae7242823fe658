"""Making what a transaction brought fit into messages of bounded size: by several, then by cutting."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from pulseshim import readable
from pulseshim_shims.hg_payload import FileChange, MarkedNode, Marker

T = TypeVar("T")

_SHORTEST_TEXT = 64


def size(value: object) -> int:
    """Say how many bytes a value takes in a list, its comma included."""
    return len(msgspec.json.encode(value)) + 1


def sections(items: Iterable[T], room: int) -> Iterator[list[T]]:
    """Give items in lists that each take at most `room` bytes of JSON; one that takes more is alone."""
    section: list[T] = []
    left = room
    for item in items:
        taken = size(item)
        if section and taken > left:
            yield section
            section, left = [], room
        section.append(item)
        left -= taken
    if section:
        yield section


def newest(nodes: list[str], room: int) -> list[str]:
    """Give the last of some nodes that take at most `room` bytes of JSON."""
    if not nodes:
        return []
    fit = max(room // size(nodes[0]), 0)
    return nodes[max(len(nodes) - fit, 0) :] if fit else []


def first_files(files: list[FileChange], room: int) -> list[FileChange]:
    """Give the first files that take at most `room` bytes of JSON."""
    for number, file in enumerate(files):
        room -= size(file)
        if room < 0:
            return files[:number]
    return files


def beginning(text: str, room: int) -> str:
    """Give the beginning of a text that takes at most `room` bytes of JSON."""
    while text and size(text) > room:
        text = text[: min(len(text) - 1, max(room, 0) * len(text) // size(text))]
    return text


def first_names(names: Iterable[str], room: int) -> list[str]:
    """Give the first of some names that take at most `room` bytes of JSON, each cut to an eighth of that."""
    found, left = [], room
    for name in names:
        found.append(beginning(readable(name), room // 8))
        left -= size(found[-1])
        if left < 0:
            return found[:-1]
    return found


def fitting_marker(marker: Marker, room: int) -> list[Marker]:
    """Give a marker in at most `room` bytes: with shorter texts, else its successors over several markers."""
    if size(marker) <= room:
        return [marker]
    nodes = 1 + len(marker.successors)
    share = max(room // 2 // nodes, _SHORTEST_TEXT)
    short = replace(
        marker,
        precursor=_shortened(marker.precursor, share),
        successors=[_shortened(node, share) for node in marker.successors],
        user=None if marker.user is None else beginning(marker.user, 1024),
    )
    if size(short) <= room:
        return [short]
    left = room - size(replace(short, successors=[]))
    return [replace(short, successors=part) for part in sections(short.successors, left)]


def _shortened(node: MarkedNode, room: int) -> MarkedNode:
    return node if node.desc is None else replace(node, desc=beginning(node.desc, room))
