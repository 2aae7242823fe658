"""How far a collection of a master was read, by the numbers that Buildbot gives its rows.

Numbers grow, but where several masters share a database a lower one may become visible later than a higher:
so a number that was left out is looked for again for a while.
"""

from collections.abc import Iterator

from pulseshim import State
from pulseshim_plugins.buildbot_client import Client
from pulseshim_shims.buildbot_payload import Row

SEEN = "seen"
"""What stands beside the number of a row that was read and is still to be announced."""

_GAP_SECONDS = 120
_GAPS = 50


def new_rows(
    client: Client, state: State, resource: str, field: str, now: int, *more: tuple[str, str]
) -> Iterator[list[Row]]:
    """Give pages of the rows that were not given before, and move the cursor behind each page.

    The rows of a page are noted as seen (in the state, under the resource) before it is given: whoever
    announces them takes them out one by one, and a crash in between leaves the rest to be found there.
    """
    gaps = state.get(f"gaps {resource}")
    if gaps:
        found = client.among(resource, field, map(int, gaps), *more)
        left = {
            number: since
            for number, since in gaps.items()
            if now - int(since) < _GAP_SECONDS and int(number) not in {row[field] for row in found}
        }
        if left != gaps:
            state.set(f"gaps {resource}", left)
        if found:
            _note(state, resource, [row[field] for row in found])
            yield found
    while True:
        last = int(state.get("cursor").get(resource, "0"))
        page = client.after(resource, field, last, *more)
        if not page:
            return
        _move(state, resource, last, [row[field] for row in page], now)
        yield page


def _note(state: State, resource: str, numbers: list[int]) -> None:
    state.set(resource, {**dict.fromkeys(map(str, numbers), SEEN), **state.get(resource)})


def _move(state: State, resource: str, last: int, numbers: list[int], now: int) -> None:
    _note(state, resource, numbers)
    state.set("cursor", {**state.get("cursor"), resource: str(numbers[-1])})
    missing = sorted(set(range(max(last + 1, numbers[-1] - _GAPS), numbers[-1])) - set(numbers))
    if missing:
        gaps = state.get(f"gaps {resource}")
        state.set(f"gaps {resource}", {**gaps, **{str(number): str(now) for number in missing}})
