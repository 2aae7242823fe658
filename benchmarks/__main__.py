"""`python -m benchmarks [NAME…]`: measures pulseshim against its peers and prints a table of ratios.

Every pair is measured in turn in one run, so that what else the machine does falls on both. A ratio is the
median of the rounds' ratios; beside it stands the middle half of them.
"""

import sys
from importlib import import_module

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Row, machine

NAMES = ("hook", "emit", "relay", "describe", "latency", "idle", "mercurial", "bugzilla", "buildbot")


def main(names: list[str]) -> int:
    """Run the benchmarks that are named, or all; give 1 where a target was missed."""
    console = Console(highlight=False)
    unknown = set(names) - set(NAMES)
    if unknown:
        console.print(f"there is no benchmark {min(unknown)}: there are {', '.join(NAMES)}")
        return 2
    rows: list[Row] = []
    for name in names or NAMES:
        with console.status(f"measuring {name}"):
            rows += import_module(f"benchmarks.{name}").measure()
    table = Table("what", "target", "measured", "middle half", "", title=machine(), box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.what, row.target, row.measured, row.spread, "met" if row.met else "MISSED")
    Console(highlight=False, width=140).print(table)
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
