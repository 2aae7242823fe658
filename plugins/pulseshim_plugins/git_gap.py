"""Pushes of one ref whose hooks recorded them in the reverse order.

A push that does not begin where the last one ended leaves a gap: something unknown brought the ref from the
one value to the other. It may be a push whose hook was overtaken on its way to the spool. If that comes a
moment later, it fills the gap, from either end, and sets nothing back: what the ref is now was announced.
"""

from collections.abc import Iterable, Mapping, Sequence

from pulseshim import readable
from pulseshim_plugins.git_update import Line

_MOMENT = 60_000_000


def fill(
    gaps: Mapping[str, str], announced: Mapping[str, str], lines: Iterable[Line], now: int
) -> tuple[list[Line], dict[str, str]]:
    """Give the lines that announce a ref's latest value, and the gaps as these lines leave them.

    `gaps` has for a ref its value before and after the gap, and when it was opened; `now` is when the lines
    were recorded, both in microseconds since 1970.
    """
    left = {ref: gap for ref, gap in gaps.items() if abs(now - int(gap.split(",")[2])) <= _MOMENT}
    latest = []
    for line in lines:
        ref, old, new = readable(line.ref), line.old or "", line.new or ""
        before, after, opened = _parts(left.get(ref))
        fits = opened and announced.get(ref, "") != old
        if fits and (old == before or new == after):
            left.pop(ref)
            if old != before:
                left[ref] = f"{before},{old},{opened}"
            elif new != after:
                left[ref] = f"{new},{after},{opened}"
            continue
        latest.append(line)
        if announced.get(ref, "") != old:
            left[ref] = f"{announced.get(ref, '')},{old},{now}"
    return latest, left


def _parts(gap: str | None) -> Sequence[str]:
    return gap.split(",") if gap else ("", "", "")
