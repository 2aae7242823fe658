"""The long form: `python -m tests.faults [--seed N] [--events N] [--keys N]`, with a table at the end."""

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.ground import Ground
from tests.faults.plan import LONG, MOMENTS, Step, plan
from tests.faults.soak import Outcome, soak
from tests.node import RabbitMQ


def main() -> int:
    """Soak, and print what came of it; 1 where the promise was not kept."""
    parser = argparse.ArgumentParser(prog="make soak", description="Break everything for some minutes.")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="repeats a run's plan")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=40, help="routing keys of each user and of the poll feed")
    chosen = parser.parse_args()
    console = Console(stderr=True, highlight=False)
    steps = plan(chosen.seed, LONG, MOMENTS)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pulseshim-soak-", ignore_cleanup_errors=True) as directory:
        root, broker = Path(directory, "ground"), Path(directory, "broker")
        Path(directory).chmod(0o755)
        root.mkdir()
        broker.mkdir()
        node = RabbitMQ(broker)
        node.start()
        version = node.api("GET", "overview")["rabbitmq_version"]
        try:
            ground = Ground(root, node, events=chosen.events, keys=chosen.keys)
            try:
                with console.status(f"seed {chosen.seed}, RabbitMQ {version}") as status:

                    def tell(number: int, step: Step) -> None:
                        what = ", ".join(word for word in (step.spell, *step.blows, step.moment) if word)
                        status.update(f"seed {chosen.seed}: step {number} of {len(steps)}: {what}")

                    outcome = soak(ground, steps, chosen.seed, tell)
            except BaseException:
                kept = Path(tempfile.mkdtemp(prefix="pulseshim-soak-log-"), "log")
                kept.write_bytes((root / "log").read_bytes())
                console.print(f"failed with seed {chosen.seed}; the service's log is in {kept}")
                raise
            finally:
                ground.close()
        finally:
            node.kill()
    show(ground, outcome, f"seed {chosen.seed}, RabbitMQ {version}, {time.monotonic() - began:.0f} s")
    return 0 if outcome.verdict.duplicates <= outcome.most_duplicates else 1


def show(ground: Ground, outcome: Outcome, title: str) -> None:
    """Print what happened and what came of it."""
    verdict = outcome.verdict
    table = Table("", "count", box=None, pad_edge=False, title=title, title_justify="left")
    for name, count in sorted(outcome.faults.items()):
        table.add_row(name, str(count))
    table.add_section()
    users = ", ".join(map(str, ground.uids)) if len(set(ground.uids)) > 1 else f"{ground.uids[0]} alone"
    table.add_row(f"hooks of the users {users}: events accepted", str(verdict.accepted - ground.polled))
    table.add_row("poll feed: events", str(ground.polled))
    table.add_row("lost, out of order, gaps in a sequence", "0")
    table.add_row("messages at the consumer", str(verdict.messages))
    table.add_row(f"duplicates (at most {outcome.most_duplicates})", str(verdict.duplicates))
    table.add_row("messages nacked at least once", str(verdict.nacked))
    table.add_row("envelopes parked, and gone out by `parked retry`", str(verdict.parked))
    table.add_row("starts of the service", str(outcome.starts))
    for code, count in sorted(outcome.exits.items()):
        table.add_row(f"the service ended with {code}", str(count))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
