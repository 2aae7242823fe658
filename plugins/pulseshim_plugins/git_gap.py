"""Pushes of one ref that are not read in the order in which they happened.

A push that does not begin where the last one ended leaves a gap: something unknown brought the ref from the
one value to the other. It may be a push whose hook was overtaken on its way to the spool, or one that was
parked. If that comes a moment later, or was recorded before the gap was opened, it fills the gap, from either
end, and sets nothing back: what the ref is now was announced.
"""

from collections.abc import Iterable, Mapping, Sequence

from pulseshim import readable
from pulseshim_plugins.git_update import Line

_MOMENT = 60_000_000
_MONTH = 30 * 86_400 * 1_000_000


def fill(
    gaps: Mapping[str, str], announced: Mapping[str, str], lines: Iterable[Line], now: int, *, late: bool
) -> tuple[list[Line], dict[str, str]]:
    """Give the lines that announce a ref's latest value, and the gaps as these lines leave them.

    `gaps` has for a ref its value before and after the gap, and when it was opened; `now` is when the lines
    were recorded, both in microseconds since 1970. `late` says that later ones were read already.
    """
    left = {ref: gap for ref, gap in gaps.items() if abs(now - int(gap.split(",")[2])) <= _MONTH}
    latest = []
    for line in lines:
        ref, old, new = readable(line.ref), line.old or "", line.new or ""
        before, after, opened = _parts(left.get(ref))
        moved = announced.get(ref, "") != old
        earlier = late and opened and now < int(opened)
        fits = earlier or (opened and moved and abs(now - int(opened)) <= _MOMENT)
        if fits and (old == before or new == after):
            left.pop(ref)
            if old != before:
                left[ref] = f"{before},{old},{opened}"
            elif new != after:
                left[ref] = f"{new},{after},{opened}"
            continue
        latest.append(line)
        if moved:
            left[ref] = f"{announced.get(ref, '')},{old},{now}"
    return latest, left


def _parts(gap: str | None) -> Sequence[str]:
    return gap.split(",") if gap else ("", "", "")
