"""`python -m benchmarks [NAME…]`: measures pulseshim against its peers and prints a table of ratios.

Every pair is measured in turn in one run, so that what else the machine does falls on both. A ratio is the
median of the rounds' ratios; beside it stands the middle half of them. With `--json`, the same for programs;
with `--write`, it goes into docs/explanation/performance.md as well, in the place of what stood there of the
benchmarks that were run.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from rich.console import Console

from benchmarks.machine import machine
from benchmarks.measure import Row
from benchmarks.table import as_json, rewritten, terminal_table

NAMES = ("hook", "emit", "relay", "describe", "latency", "idle", "mercurial", "bugzilla", "buildbot")
PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "performance.md"


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks that are named, or all; give 1 where one failed or a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure against the peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help=f"write into {PAGE.name}, too")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {min(unknown)}: there are {', '.join(NAMES)}")
    measures = {name: _measure_of(name) for name in chosen.names or NAMES}
    measured, failed = run_all(measures, Console(stderr=True, highlight=False))
    if chosen.json:
        print(json.dumps(as_json(measured, machine()), indent=2, ensure_ascii=False))
    else:
        Console(highlight=False, width=140).print(terminal_table(measured, machine()))
    if chosen.write:
        PAGE.write_text(rewritten(PAGE.read_text(), measured, machine()))
    return 0 if not failed and all(row.met for rows in measured.values() for row in rows) else 1


def run_all(
    measures: Mapping[str, Callable[[], Sequence[Row]]], console: Console
) -> tuple[dict[str, Sequence[Row]], list[str]]:
    """Give the rows of each benchmark by its name, and which ones failed: the others go on."""
    measured: dict[str, Sequence[Row]] = {}
    failed = []
    for name, measure in measures.items():
        with console.status(f"measuring {name}"):
            try:
                measured[name] = measure()
            except Exception:  # noqa: BLE001 - whatever it is, the others are measured
                failed.append(name)
                console.print(f"{name} could not be measured:")
                console.print_exception()
    return measured, failed


def _measure_of(name: str) -> Callable[[], Sequence[Row]]:
    """Give what measures, loaded when it is called: it brings its peers along."""
    return lambda: import_module(f"benchmarks.{name}").measure()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
