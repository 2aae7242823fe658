"""A walk over all bugs that changed since a time, page by page, while they go on changing.

A page begins at the last time that the page before it showed. A bug that changes during the walk moves to its
end and is met there; so nothing is passed over. Only where one second fills a page is an offset the way on,
and there each page begins with the last bug of the one before: if it does not, bugs have left that second,
which is then read anew.
"""

from collections.abc import Iterator

from pulseshim import SourceUnavailable
from pulseshim_plugins.bugzilla_client import Row, Search


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


def walk(search: Search, since: str, capacity: Capacity) -> Iterator[tuple[list[Row], bool]]:
    """Give page after page, each without what earlier ones showed, and with it whether more may come."""
    seen: set[Row] = set()
    offset = 0
    last: Row | None = None
    while True:
        page = search(since, offset)
        _check_order(page, since)
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


def _check_order(page: list[Row], since: str) -> None:
    if page != sorted(page) or (page and page[0][0] < since):
        raise SourceUnavailable(
            "the server does not keep to the order or the time that it is asked for",
            "it cannot be polled: its order changeddate,bug_id and its last_change_time must work",
        )
