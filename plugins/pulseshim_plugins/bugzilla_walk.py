"""A walk over all bugs that changed since a time, page by page, while they go on changing.

A page begins at the last time that the page before it showed. A bug that changes during the walk moves to its
end and is met there; so nothing is passed over. Only where one second fills a page is an offset the way on,
and there each page begins with the last bug of the one before: if it does not, bugs have left that second,
which is then read anew.

A server looks up which bugs there are, and then each of them. One that changes in between stands at its old
place with its new time, and a walk that went on from there would pass over others. So a page is read until it
stays the same where it is not in order, or ends with a change after the walk began and may have a next one.
"""

from collections.abc import Iterator

from pulseshim import SourceUnavailable
from pulseshim_plugins.bugzilla_client import Row, Search

_READINGS = 5
_SAME_PAGES = 8
"""So many times the same page from another offset is no chance: bugs that move can make a few of them."""


class Capacity:
    """How many bugs a server is known to show in one answer: a shorter answer is all there is.

    A server cuts an answer at a maximum of its own and says nothing. So no answer is taken to be complete
    unless a longer one has been seen.
    """

    def __init__(self, shown: int = 0) -> None:
        self.shown = shown

    def learn(self, rows: int) -> None:
        """Take note that the server showed so many bugs at once."""
        self.shown = max(self.shown, rows)

    def is_whole(self, rows: int) -> bool:
        """Say whether an answer of so many bugs cannot have been cut."""
        return rows < self.shown or not rows


class _Offsets:
    """The offsets that were asked for: a server that takes no notice gives the same page for ever."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._last: tuple[str, list[Row]] = ("", [])
        self._offset = 0
        self._same = 0

    def check(self, since: str, offset: int, page: list[Row]) -> None:
        """See that a page is not the one before, again and again. Raises `SourceUnavailable`."""
        is_same = bool(page) and (since, page) == self._last and offset != self._offset
        self._same = self._same + 1 if is_same else 0
        self._last, self._offset = (since, page), offset
        if self._same == _SAME_PAGES:
            raise SourceUnavailable(
                f"{self._server} takes no notice of offset, and more bugs changed at {since} than it shows",
                "let it show more bugs at once (max_search_results), or see what removes the offset",
            )


def walk(
    search: Search, since: str, now: str, capacity: Capacity, server: str
) -> Iterator[tuple[list[Row], bool]]:
    """Give page after page, each without what earlier ones showed, and with it whether more may come.

    `now` is the server's time as the walk begins.

    Raises `SourceUnavailable`, naming the server, where its pages cannot be put together.
    """
    offsets = _Offsets(server)
    seen: set[Row] = set()
    offset = 0
    last: Row | None = None
    while True:
        page = _read(search, since, offset, now, capacity, server)
        offsets.check(since, offset, page)
        if last is not None and (not page or page[0] != last):
            # What stood before the offset is not what it was: this second is read again from its first bug.
            offset, last = 0, None
            continue
        whole = capacity.is_whole(len(page))
        capacity.learn(len(page))
        yield [row for row in page if row not in seen], not whole
        if whole:
            return
        end = page[-1][0]
        seen = {row for row in (*seen, *page) if row[0] == end}
        if page[0][0] == end == since:
            # With one bug a page there is nothing to overlap with.
            offset += max(1, len(page) - 1)
            last = page[-1] if len(page) > 1 else None
        else:
            since, offset, last = end, 0, None


def _read(search: Search, since: str, offset: int, now: str, capacity: Capacity, server: str) -> list[Row]:
    """Read a page, and read it again as long as a bug may have changed while the server made it."""
    before: list[Row] | None = None
    for _ in range(_READINGS):
        page = search(since, offset)
        in_order = page == sorted(page) and (not page or page[0][0] >= since)
        ends_well = capacity.is_whole(len(page)) or page[-1][0] < now
        if in_order and (ends_well or page == before):
            return page
        if page == before:
            raise SourceUnavailable(
                f"{server} does not keep to the order or the time that it is asked for",
                "it cannot be polled: its order changeddate,bug_id and its last_change_time must work",
            )
        before = page
    raise SourceUnavailable(f"bugs of {server} change faster than it shows them", "it is asked again later")
