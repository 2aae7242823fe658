"""What objects of a repository are: their types, the commits behind them, annotated tags, and the refs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import IO, cast

from msgspec import UNSET

from pulseshim import readable
from pulseshim_plugins.git_history import whole_characters
from pulseshim_plugins.git_repository import Repository
from pulseshim_shims.git_payload import ObjectType, Person, Tag, original, person

_LINE = 4096
_PIECE = 1 << 16
# What is read of a tag in any case: object, type, name and tagger, and a message of a few lines.
_HEAD = 1024


@dataclass(frozen=True, slots=True)
class Found:
    """An object that is there: its type, and the commit that it is or that, as a tag, it leads to."""

    type: ObjectType
    commit: str | None


def find(repository: Repository, ids: Iterable[str]) -> dict[str, Found]:
    """Give those of the objects that the repository has."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return {}
    questions = (question for wanted_id in wanted for question in (wanted_id, wanted_id + "^{commit}"))
    answers = repository.lines(
        ("cat-file", "--buffer", "--batch-check=%(objectname) %(objecttype)"), questions
    )
    types: dict[str, Found] = {}
    for wanted_id, itself, peeled in zip(wanted, answers, answers, strict=False):
        kind = itself.rpartition(b" ")[2].decode()
        if kind in ("commit", "tag", "tree", "blob"):
            commit, _, peeled_kind = peeled.decode().rpartition(" ")
            types[wanted_id] = Found(cast(ObjectType, kind), commit if peeled_kind == "commit" else None)
    return types


def read_tags(repository: Repository, ids: Iterable[str], most: int, left: int) -> dict[str, Tag]:
    """Give annotated tags by id, each read up to `most` bytes, and together up to `left`.

    Once `left` is used up, the first kilobyte is read of each.
    """
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return {}
    tags: dict[str, Tag] = {}
    with repository.running(("cat-file", "--buffer", "--batch"), wanted) as output:
        for tag_id in wanted:
            content, cut = _content(output, max(min(most, left), _HEAD))
            left -= len(content)
            tag = _tag(content, cut=cut)
            if tag is not None:
                tags[tag_id] = tag
    return tags


def current_refs(repository: Repository) -> tuple[dict[str, str], set[str]]:
    """Give the refs that the repository has now with their values, and the names of those that are symbolic.

    Names are as `readable` gives them. A symbolic ref is no value of its own: it moves with another.
    """
    refs: dict[str, str] = {}
    symbolic: set[str] = set()
    for line in repository.lines(("for-each-ref", "--format=%(objectname) %(symref) %(refname)")):
        value, target, name = line.decode("utf-8", "surrogateescape").split(" ", 2)
        if target:
            symbolic.add(readable(name))
        else:
            refs[readable(name)] = value
    return refs, symbolic


def _content(output: IO[bytes], most: int) -> tuple[bytes, bool]:
    """Give the beginning of the next object that `cat-file --batch` prints, and whether it goes on.

    Empty where the object is missing.
    """
    header = output.readline(_LINE).split()
    if len(header) != 3:  # noqa: PLR2004 - id, type and size, or something that is missing or ambiguous
        return b"", False
    left = int(header[2])
    content = output.read(min(left, most))
    left -= len(content)
    cut = left > 0
    while left > 0 and (piece := output.read(min(left, _PIECE))):
        left -= len(piece)
    output.read(1)
    return whole_characters(content) if cut else content, cut


def _tag(content: bytes, *, cut: bool) -> Tag | None:
    """Give the tag that is written so, of which the end may be cut off; None where its head is broken."""
    head, _, text = content.decode("utf-8", "surrogateescape").partition("\n\n")
    message, nul, _ = text.partition("\0")
    fields: Mapping[str, str] = dict(_split(line) for line in head.split("\n"))
    if fields.get("type") not in ("commit", "tag", "tree", "blob") or "object" not in fields:
        return None
    name = fields.get("tag", "")
    return Tag(
        name=readable(name),
        tagger=_tagger(fields["tagger"]) if "tagger" in fields else None,
        message=readable(message),
        object=readable(fields["object"]),
        object_type=cast(ObjectType, fields["type"]),
        name_bytes=original(name),
        message_bytes=original(message),
        message_truncated=True if cut and not nul else UNSET,
    )


def _split(line: str) -> tuple[str, str]:
    name, _, text = line.partition(" ")
    return name, text


def _tagger(text: str) -> Person:
    """Give the person of `Name <email> seconds zone`, whatever of it there is."""
    people, _, when = text.rpartition(">")
    name, _, email = people.partition("<")
    return person(name.strip(), email, (when.split() or [""])[0])
