"""Commits as a stream of `git log -z --raw`, and which of them a push brought or discarded."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO

from msgspec.structs import replace

from pulseshim import readable
from pulseshim_plugins.git_repository import OutOfMemory, Repository, chunks
from pulseshim_shims.git_payload import Commit, FileChange, FileStatus, file_change, original, person

_WALK = ("rev-list", "--topo-order", "--parents", "--ignore-missing", "--stdin")
_LOG = (
    "log",
    "--stdin",
    "--no-walk=unsorted",
    "-z",
    "--raw",
    "-c",
    "-l1000",
    "--combined-all-paths",
    "--format=%H%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B",
    "--encoding=UTF-8",
    "--no-abbrev",
    "--no-color",
    "--no-decorate",
    "--no-ext-diff",
    "--no-mailmap",
    "--no-notes",
    "--no-relative",
    "--no-show-signature",
    "--no-textconv",
    "--ignore-submodules=none",
    "-O/dev/null",
)
# To find renames git holds the files in memory, however large they are.
_SIMILAR, _EQUAL = "-M", "-M100%"
_MEMORY_KIB = 256 << 10
_STATUS: dict[str, FileStatus] = {
    "A": "added",
    "C": "copied",
    "D": "removed",
    "R": "renamed",
    "T": "type-changed",
}
# What the JSON of a commit and of a file takes at least, beside the texts in it.
COMMIT_BYTES = 170
_FILE_BYTES = 40
# Up to so many pairs, and commits that are too large, are asked about one by one.
_FEW = 8


@dataclass(frozen=True, slots=True)
class Brought:
    """The commits that a push brought, by the index of the update they belong to.

    `newest` holds the ids of at most as many as could be wanted, newest first; `counts` all of them.
    `descending` are the updates whose new value was seen to descend from the old one. `bounded` are those of
    which the way back led to something that was excluded, and not just to the beginning of all history.
    """

    newest: Mapping[int, list[str]]
    counts: Mapping[int, int]
    descending: frozenset[int]
    bounded: frozenset[int]


def brought(
    repository: Repository,
    tips: Mapping[int, str],
    olds: Mapping[int, str],
    excluded: Iterable[str],
    most: int,
) -> Brought:
    """Give the commits that `tips` reach and none of `excluded` does, each with the first tip to reach it.

    Children come before parents, so that one pass tells the first tip of each. `most` bounds the ids that are
    kept for an update.
    """
    if not tips:
        return Brought({}, {}, frozenset(), frozenset())
    owners: dict[bytes, int] = {}
    for index, tip in sorted(tips.items(), reverse=True):
        owners[tip.encode()] = index
    old_values = {index: old.encode() for index, old in olds.items()}
    newest: dict[int, list[str]] = {}
    counts: Counter[int] = Counter()
    sound = {index for index, tip in tips.items() if olds.get(index) == tip}
    given = chain(tips.values(), (f"^{value}" for value in excluded))
    for line in repository.lines(_WALK, given):
        commit, *parents = line.split()
        owner = owners.pop(commit)
        counts[owner] += 1
        if counts[owner] <= most:
            newest.setdefault(owner, []).append(commit.decode())
        if old_values.get(owner) in parents:
            sound.add(owner)
        for parent in parents:
            if owners.get(parent, owner) >= owner:
                owners[parent] = owner
    return Brought(newest, counts, frozenset(sound), frozenset(owners.values()))


def discarded(repository: Repository, olds: Iterable[str], kept: Iterable[str]) -> dict[str, int]:
    """Say for each old value how many commits it reaches that none of `kept` does; 0 is left out."""
    tips = list(dict.fromkeys(olds))
    if not tips:
        return {}
    sizes = Counter(tips_of_it for _, tips_of_it in _reached(repository, tips, kept))
    # Each bit becomes a number of 32 bits, so that one addition counts for all tips: there may be thousands.
    total = 0
    for tips_of_it, size in sizes.items():
        total += size * int(f"{tips_of_it:b}".replace("0", "0" * 8).replace("1", "00000001"), 16)
    numbers = total.to_bytes(4 * len(tips), "little")
    counts = {tip: int.from_bytes(numbers[4 * at : 4 * at + 4], "little") for at, tip in enumerate(tips)}
    return {tip: count for tip, count in counts.items() if count}


def descending(repository: Repository, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Give those pairs of an old and a new value in which the new one descends from the old one."""
    pairs = set(pairs)
    if len(pairs) <= _FEW:
        arguments = ("rev-list", "--max-count=1", "--stdin")
        return {(old, new) for old, new in pairs if not list(repository.lines(arguments, (old, f"^{new}")))}
    # One walk through all of the history is cheaper than many through parts of it.
    tips = list({new for _, new in pairs})
    olds = {old.encode() for old, _ in pairs}
    reaching = {commit: tips_of_it for commit, tips_of_it in _reached(repository, tips, ()) if commit in olds}
    bits = {tip: 1 << position for position, tip in enumerate(tips)}
    return {(old, new) for old, new in pairs if reaching.get(old.encode(), 0) & bits[new]}


def _reached(
    repository: Repository, tips: Sequence[str], excluded: Iterable[str]
) -> Iterator[tuple[bytes, int]]:
    """Give the commits that `tips` reach and `excluded` do not, each with its tips: bit n is number n."""
    bits = {tip.encode(): 1 << position for position, tip in enumerate(tips)}
    reaching: dict[bytes, int] = {}
    for line in repository.lines(_WALK, chain(tips, (f"^{value}" for value in excluded))):
        commit, *parents = line.split()
        tips_of_it = reaching.pop(commit, 0) | bits.get(commit, 0)
        for parent in parents:
            reaching[parent] = reaching.get(parent, 0) | tips_of_it
        yield commit, tips_of_it


def read_commits(repository: Repository, ids: Iterable[str], budget: int) -> Iterator[Commit]:
    """Give commits in the order of their ids, until the JSON of what was given is surely over `budget` bytes.

    A commit that is larger by itself is given with as many of its files, and of its message's bytes. Where
    files are too large to be compared, those that are equal are taken for renamed, and no others.
    """
    wanted, left, large = deque(ids), budget, 0
    renames, some = _SIMILAR, tuple(wanted)
    while some and left >= 0:
        try:
            for commit, size in _read(repository, renames, some, budget, left):
                # A commit is printed after its files were compared: those that were given are done.
                wanted.popleft()
                left -= size
                yield commit
            if renames == _SIMILAR or large > _FEW:
                return
            renames, some = _SIMILAR, tuple(wanted)
        except OutOfMemory:
            if renames == _EQUAL:
                raise
            large += 1
            renames, some = _EQUAL, (wanted[0],) if large <= _FEW else tuple(wanted)


def _read(
    repository: Repository, renames: str, ids: Sequence[str], budget: int, left: int
) -> Iterator[tuple[Commit, int]]:
    """Give commits, each with the least that its JSON can take, until that is over `left` bytes."""
    # Where no contents are compared, what git takes depends on the number of files, and that is as it is.
    memory = _MEMORY_KIB if renames == _SIMILAR else 0
    with repository.running((*_LOG, renames), ids, memory=memory) as output:
        tokens = chain.from_iterable(_tokens(output, budget))
        head = next(tokens, None)
        while head is not None and left >= 0:
            commit, size, head = _commit(head, tokens, budget)
            left -= size
            yield commit, size


def _tokens(output: IO[bytes], limit: int) -> Iterator[list[str]]:
    """Give the texts between NULs, each at most `limit` bytes long and some more."""
    rest = b""
    dropping = False
    for piece in chunks(output):
        if dropping:
            end = piece.find(b"\0")
            if end < 0:
                continue
            piece = piece[end:]  # noqa: PLW2901 - what is left of it
            dropping = False
        data = rest + piece if rest else piece
        end = data.rfind(b"\0")
        rest = data[end + 1 :]
        if end >= 0:
            yield data[:end].decode("utf-8", "surrogateescape").split("\0")
        if len(rest) > limit:
            rest = whole_characters(rest)
            dropping = True


def whole_characters(data: bytes) -> bytes:
    """Give bytes without a character of UTF-8 that is cut off at their end."""
    end = len(data)
    while end and data[end - 1] & 0xC0 == 0x80:  # noqa: PLR2004 - the bits of a byte that continues one
        end -= 1
    return data[: max(end - 1, 0)]


def _commit(commit_id: str, tokens: Iterator[str], budget: int) -> tuple[Commit, int, str | None]:
    """Give a commit, the least that its JSON can take, and the text after it: the next one's id."""
    parents = next(tokens)
    author_is = (next(tokens), next(tokens), next(tokens))
    committer_is = (next(tokens), next(tokens), next(tokens))
    message = next(tokens)
    size = COMMIT_BYTES + len(message)
    files: list[FileChange] = []
    count = 0
    text = next(tokens, None)
    # The diff of a commit starts with a line's end, that of a merge with an empty text.
    while text is not None and (not text or text[0] in ":\n"):
        if text and text != "\n":
            file = _file(text.lstrip("\n"), tokens)
            count += 1
            if size <= budget:
                files.append(file)
                size += _FILE_BYTES + len(file.path)
        text = next(tokens, None)
    author = person(*author_is)
    commit = Commit(
        commit_id,
        parents.split(),
        author,
        author if committer_is == author_is else person(*committer_is),
        message if message.isascii() else readable(message),
        files,
        original(message),
    )
    if count > len(files):
        commit = replace(commit, file_count=count)
    return commit, size, text


def _file(meta: str, tokens: Iterator[str]) -> FileChange:
    """Give the changed file of an entry `:<modes> <objects> <status>`, with its paths next in `tokens`."""
    status = meta[meta.rfind(" ") + 1 :]
    parents = len(meta) - len(meta.lstrip(":"))
    if parents > 1:
        return _merged_file(meta, status, [next(tokens) for _ in range(parents + 1)])
    letter = status[0]
    path = next(tokens)
    if letter in "RC":
        return file_change(_STATUS[letter], next(tokens), path)
    return file_change(_STATUS.get(letter, "modified"), path)


def _merged_file(meta: str, status: str, paths: list[str]) -> FileChange:
    """Give the changed file of a merge; `status` has a letter, `paths` a path for each parent."""
    *earlier, path = paths
    resulting_mode = meta.lstrip(":").split(" ", len(earlier) + 1)[len(earlier)]
    if resulting_mode == "000000":
        return file_change("removed", path)
    if set(status) == {"A"}:
        return file_change("added", path)
    for letter, old_path in zip(status, earlier, strict=False):
        if letter in "RC":
            return file_change(_STATUS[letter], path, old_path)
    return file_change("type-changed" if "T" in status else "modified", path)
