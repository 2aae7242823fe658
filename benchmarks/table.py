"""The table of what was measured: on a terminal, as JSON, and in docs/explanation/performance.md."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from benchmarks.measure import Row

_HEAD = "| what | target | measured | middle half | |\n|---|---|---|---|---|\n"


def terminal_table(measured: Mapping[str, Sequence[Row]], machine: str) -> Table:
    """Give the rows of all benchmarks as a table of rich."""
    table = Table("what", "target", "measured", "middle half", "", title=machine, box=None, pad_edge=False)
    for rows in measured.values():
        for row in rows:
            table.add_row(row.what, row.target, row.measured, row.spread, _verdict(row))
    return table


def as_json(measured: Mapping[str, Sequence[Row]], machine: str) -> dict[str, Any]:
    """Give the same for programs: the machine, and each row with the name of its benchmark."""
    rows = [{"benchmark": name, **asdict(row)} for name, rows in measured.items() for row in rows]
    return {"machine": machine, "rows": rows}


def rewritten(page: str, measured: Mapping[str, Sequence[Row]], machine: str) -> str:
    """Give a page with the part of each benchmark replaced by what was measured; the rest is as it was.

    It stands between `<!-- measured NAME -->` and `<!-- end -->`. Raises `ValueError` where it does not.
    """
    for name, rows in measured.items():
        begin, end = f"<!-- measured {name} -->\n", "<!-- end -->"
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"the page has no place for {name}: write {begin.strip()} and {end}")
        command = f"`python -m benchmarks {name}`, {machine}:\n\n"
        page = "".join([before, begin, command, _HEAD, *map(_line, rows), end, after])
    return page


def _line(row: Row) -> str:
    return f"| {row.what} | {row.target} | {row.measured} | {row.spread} | {_verdict(row)} |\n"


def _verdict(row: Row) -> str:
    if not row.target:
        return ""
    return "met" if row.met else "**missed**"
