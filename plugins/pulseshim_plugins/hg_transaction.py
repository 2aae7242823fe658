"""From what the hook recorded to the transaction, and to each changeset that came with it.

What came is asked for by the nodes that were recorded, never by what is the tip by the time it is read. What
is secret, then or now, is left out: when it leaves that phase, it is announced as if it was pushed then.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import cast
from urllib.parse import unquote

from pulseshim import Invocation, State, readable, seconds
from pulseshim_plugins.git_url import public_url, url_path
from pulseshim_plugins.hg_belief import check_loss, check_transaction, store_directory
from pulseshim_plugins.hg_changesets import changesets
from pulseshim_plugins.hg_marker import described_markers
from pulseshim_plugins.hg_options import HgOptions
from pulseshim_plugins.hg_pushlog import Entry, has_pushlog, pushes_of
from pulseshim_plugins.hg_record import Record, Span, parse_record
from pulseshim_plugins.hg_repository import Repository, repository
from pulseshim_plugins.hg_server import HgFailed, RevisionsGone, Servers
from pulseshim_plugins.hg_spans import Found, known_heads, read_spans
from pulseshim_plugins.hg_visible import visible
from pulseshim_plugins.trust import check_url, pusher, remember_believed, was_believed
from pulseshim_shims.hg_event import HgChangeset, HgEvent, HgTransaction
from pulseshim_shims.hg_payload import BookmarkMove, Phase, PhaseMove, PushEntry

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+")
_LONGEST_ADDRESS = 254
_BRACKETED = re.compile(r"<([^<>]+)>")
_UNFIT = re.compile(r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
_USERS = ("REMOTE_USER", "LOGNAME", "USER")
_OWN = {"strip", "repair"}


def read_transaction(
    invocation: Invocation, state: State, options: HgOptions, servers: Servers
) -> Iterator[HgEvent]:
    """Give the transaction that an invocation of the hook recorded, then its changesets, oldest first.

    Nothing comes of a private repository, or where all that changed is secret.
    """
    record = parse_record(invocation)
    place = repository(invocation.cwd, seconds(options.timeout), servers)
    key = f"repository:{readable(place.path)}"
    known = state.get(key)
    url = _url(invocation, place, known, options)
    if not url:
        state.count("private")
        if known or public_url(place.path, None, options.repositories, ()):
            state.set(key, {**known, "url": ""})
        return
    if known.get("transaction") == record.id:
        return  # two hooks of one repository recorded it
    if place.exists or not was_believed(invocation, state, readable(place.path)):
        check_transaction(invocation, place, options)
        remember_believed(invocation, state, readable(place.path), options.trusted_users)
    arrived = _arrived(invocation, place, record)
    push_id = int(known.get("push_id", "0")) + bool(arrived.count)
    transaction = _transaction(invocation, record, place, url, arrived, push_id, options)
    is_new = not known.get("url")
    state.set(key, {"push_id": str(push_id), "url": url, "transaction": record.id})
    if not place.exists or arrived.lost:
        state.count("gone")
    something = transaction.changeset_count or transaction.markers or transaction.bookmarks
    if something or transaction.phases or is_new:
        yield replace(transaction, is_new=is_new)
    if "code" in options.feeds and place.exists:
        try:
            yield from _each(place, transaction, arrived)
        except RevisionsGone:
            state.count("gone")  # stripped while it was read


def _url(invocation: Invocation, place: Repository, known: Mapping[str, str], options: HgOptions) -> str:
    """Give the public URL of a repository; of one that is gone, the last that is known."""
    exists = place.exists
    if not exists and "url" in known:
        return known["url"]
    file = os.path.join(place.path, ".hg", "hgrc")
    before = os.lstat(file) if os.path.lexists(file) else None
    own = place.url if exists else None
    try:
        url = public_url(place.path, own, options.repositories, ())
        if own and before and invocation.owner is not None and url != _mapped(place.path, options):
            check_url(url, file, before, options.repositories, options.trusted_users)
        return url
    except ValueError as error:
        raise HgFailed(
            f"{readable(place.path)} has a public URL without host or path ({error})",
            "correct pulseshim.url in its hgrc, or plugins.hg.repositories, and retry",
        ) from error


def _mapped(path: str, options: HgOptions) -> str:
    """Give the URL that the settings give a repository, whatever it says itself; "" for none."""
    try:
        return public_url(path, None, options.repositories, ())
    except ValueError:
        return ""


def _arrived(invocation: Invocation, place: Repository, record: Record) -> Found:
    """Give what came visibly, by the recorded spans: what is gone since is counted as it was recorded."""
    if record.source in _OWN:
        return Found()  # strip puts back what it took out with what it was told to
    spans = [span for span in record.spans if span.new != "secret" and span.old in (None, "secret")]
    if not spans:
        return Found()
    if not place.exists:
        return Found(heads=record.heads or known_heads(spans), count=sum(span.count for span in spans))
    arrived = read_spans(place, spans, record.heads)
    if arrived.moved:
        check_loss(invocation, place)
    return arrived


def _transaction(
    invocation: Invocation,
    record: Record,
    place: Repository,
    url: str,
    arrived: Found,
    push_id: int,
    options: HgOptions,
) -> HgTransaction:
    """Give the transaction: what came, with the entries of the push log; markers, bookmarks, phases."""
    claimed = _user(invocation.environ, record.url)
    user = email(
        pusher(invocation, claimed, store_directory(place), options.trusted_users), options.user_suffix
    )
    own = Entry(push_id, int(invocation.recorded_at.timestamp()), user)

    def entry(of: Entry) -> PushEntry:
        return _push_entry(of, url, options)

    logged = has_pushlog(place.path)
    found = pushes_of(place.path, arrived.heads, place.deadline) if logged else {}
    pushes = sorted(set(found.values())) if logged else [own]
    marked = {node for m in record.markers for node in (m.precursor, *m.successors)}
    log = pushes_of(place.path, marked, place.deadline) if logged and marked else {}
    if not logged:
        log = dict.fromkeys(marked.intersection(arrived.newest), own)
    return HgTransaction(
        id=record.id,
        url=url,
        path=url_path(url),
        time=own.time,
        user=user,
        source=record.source,
        heads=arrived.heads,
        changesets=arrived.newest,
        changeset_count=arrived.count,
        pushes=tuple(map(entry, pushes)) if arrived.count else (),
        markers=described_markers(place, record, {node: entry(push) for node, push in log.items()}),
        bookmarks=_moves(place, record),
        phases=tuple(_phases(place, record)),
    )


def _moves(place: Repository, record: Record) -> tuple[BookmarkMove, ...]:
    """Give the moves of bookmarks, to and from what may be told."""
    told = visible(place, record, {node for move in record.moves for node in (move.old, move.new) if node})
    moves = []
    for move in record.moves:
        old, new = (node if node in told else None for node in (move.old, move.new))
        if old != new:
            moves.append(BookmarkMove(readable(move.name), old, new))
    return tuple(moves)


def _phases(place: Repository, record: Record) -> Iterator[PhaseMove]:
    """Give the changes of phase between draft and public, those of each kind together."""
    kinds: dict[tuple[str, str], list[Span]] = {}
    for span in record.spans:
        if span.old is not None and "secret" not in (span.old, span.new):
            kinds.setdefault((span.old, span.new), []).append(span)
    for (old, new), spans in kinds.items():
        last = spans[-1].last  # which has no child among them
        moved = Found(heads=(last,), count=sum(span.count for span in spans))
        if place.exists:
            moved = read_spans(place, spans, (last,))
        if moved.heads:
            yield PhaseMove(
                old=cast(Phase, old),
                new=cast(Phase, new),
                heads=list(moved.heads),
                changesets=list(moved.newest or moved.heads),
                changeset_count=moved.count,
            )


def _each(place: Repository, transaction: HgTransaction, arrived: Found) -> Iterator[HgChangeset]:
    """Give the changesets that came, as they are read."""
    if not arrived.sets:
        return
    tags = place.tags()
    bookmarks: dict[str, list[str]] = {}
    for move in transaction.bookmarks:
        bookmarks.setdefault(move.new or "", []).append(move.bookmark)
    for revset, phase in arrived.sets:
        for found in changesets(place, revset):
            yield HgChangeset(
                transaction=transaction.id,
                url=transaction.url,
                path=transaction.path,
                phase=phase,
                bookmarks=tuple(bookmarks.get(found["node"], ())),
                tags=tuple(tags.get(found["node"], ())),
                **found,
            )


def _push_entry(entry: Entry, url: str, options: HgOptions) -> PushEntry:
    path = url.partition("://")[2].partition("/")[2]
    places = {"repo_url": url, "path": path, "push_id": entry.push_id, "before": entry.push_id - 1}
    return PushEntry(
        entry.push_id,
        entry.time,
        email(entry.user, options.user_suffix),
        options.push_json_url.format(**places),
        options.push_full_json_url.format(**places),
    )


def email(user: str, suffix: str) -> str:
    """Give an e-mail address for a user: the one that a name holds, else the name with a suffix."""
    match = _BRACKETED.search(user)
    for candidate in (user.strip(), match[1].strip() if match else ""):
        if len(candidate) <= _LONGEST_ADDRESS and _ADDRESS.fullmatch(candidate):
            return candidate
    words = [word for word in _UNFIT.sub(".", user).split(".") if word]
    return ".".join(words)[:64].rstrip(".") + suffix if words else f"unknown{suffix}"


def _user(environ: Mapping[str, str], url: str) -> str:
    """Give who pushed: REMOTE_USER, which hgweb tells in the URL of the push, or the user of ssh, or USER."""
    kind, _, rest = url.removeprefix("remote:").partition(":")
    of_web = unquote(rest.rpartition(":")[2]) if url.startswith("remote:http") and kind else ""
    names: Sequence[str] = [environ.get(name, "") for name in _USERS]
    return next(filter(None, chain(names[:1], [of_web], names[1:])), "")
