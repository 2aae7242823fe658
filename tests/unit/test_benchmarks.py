"""The command that measures: what it was told to keep, and what becomes of a benchmark that fails."""

import io
import json
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console

from benchmarks.__main__ import NAMES, PAGE, main, run_all
from benchmarks.measure import Row, ratio_row
from benchmarks.table import as_json, rewritten

ROW = Row("relay / Kombu", "at least 8 ×", "9.00 ×", "8.50 to 9.50", met=True)
PAGE_TEXT = (
    "# Speed\n\n<!-- measured relay -->\nold\n<!-- end -->\n\nWhy.\n\n<!-- measured hook -->\n<!-- end -->\n"
)


def fail() -> Sequence[Row]:
    """Be a benchmark that cannot be run."""
    raise RuntimeError("there is no broker")


def test_every_benchmark_has_its_place_on_the_page() -> None:
    """`--write` finds where to put what it measured, whichever benchmark it is."""
    page = rewritten(PAGE.read_text(), {name: [ROW] for name in NAMES}, "a machine")

    assert page.count(ROW.spread) == len(NAMES)


def test_what_was_measured_replaces_what_stood_there_and_nothing_else() -> None:
    """A part of the benchmarks can be measured again: words and other figures stay."""
    page = rewritten(PAGE_TEXT, {"relay": [ROW]}, "4 cores")

    assert page == PAGE_TEXT.replace(
        "old\n",
        "`python -m benchmarks relay`, 4 cores:\n\n"
        "| what | target | measured | middle half | |\n|---|---|---|---|---|\n"
        "| relay / Kombu | at least 8 × | 9.00 × | 8.50 to 9.50 | met |\n",
    )


def test_measuring_twice_leaves_one_table() -> None:
    """The second one stands where the first one stood."""
    once = rewritten(PAGE_TEXT, {"relay": [ROW]}, "4 cores")

    assert rewritten(once, {"relay": [ROW]}, "4 cores") == once


def test_a_page_without_a_place_is_no_page_to_write() -> None:
    """It says what to write where, and a figure gets lost nowhere."""
    with pytest.raises(ValueError, match="no place for latency: write <!-- measured latency --> and"):
        rewritten(PAGE_TEXT, {"latency": [ROW]}, "4 cores")


def test_a_benchmark_that_fails_takes_no_other_with_it() -> None:
    """It is named with its cause, and those behind it are measured."""
    measures: dict[str, Callable[[], Sequence[Row]]] = {"hook": fail, "relay": lambda: [ROW]}
    told = io.StringIO()

    measured, failed = run_all(measures, Console(file=told))

    assert (measured, failed) == ({"relay": [ROW]}, ["hook"])
    assert "hook could not be measured" in told.getvalue()
    assert "there is no broker" in told.getvalue()


def test_a_program_reads_what_was_measured() -> None:
    """Each row says which benchmark it is of."""
    told = json.loads(json.dumps(as_json({"relay": [ROW]}, "4 cores")))

    assert told["machine"] == "4 cores"
    assert [(row["benchmark"], row["what"], row["met"]) for row in told["rows"]] == [
        ("relay", "relay / Kombu", True)
    ]


def test_a_ratio_is_that_of_each_round() -> None:
    """A round on which the machine was busy was slow for both: it counts like any other."""
    row = ratio_row("ours / theirs", [10, 100, 12], [5, 50, 6], "at least", 2)

    assert (row.measured, row.spread, row.met) == ("2.00 ×", "2.00 to 2.00", True)


def test_a_benchmark_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With those that are, before anything is measured."""
    with pytest.raises(SystemExit, match="2"):
        main(["relays"])

    assert "there is no benchmark relays: there are hook, emit, relay" in capsys.readouterr().err
