"""`pulseshim demo`: real repositories, real hooks, real pushes, on the embedded broker."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from pulseshim.account import resolve
from pulseshim.commands.demo_push import lines
from pulseshim.commands.publishing import runtime_of
from pulseshim.commands.session import Session, fail
from pulseshim.commands.terminal import PlainConsole, console
from pulseshim.consumer import Consumer, Delivery
from pulseshim.settings import load
from pulseshim.store import held_store

_PATIENCE = 20.0
_SETTINGS = """\
[store]
directory = "{root}/store"

[plugins.git]
repositories = {{"{root}/srv" = "https://git.example.org"}}
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One push: what it shows, and the shell commands that make it."""

    title: str
    commands: str


STEPS = (
    Step(
        "A new branch with its first commits",
        """
        echo '# Project' > README; git add README; git commit -qm 'Say what it is'
        printf 'def main():\\n    return 0\\n' > main.py; git add main.py; git commit -qm 'Add the program'
        git push -q origin main
        """,
    ),
    Step(
        "A rename, a merge and a removal",
        """
        git mv main.py program.py; git commit -qm 'Give the program its name'
        git switch -qc docs; echo 'Run it.' > USAGE; git add USAGE; git commit -qm 'Explain the usage'
        git switch -q main; git rm -q README; git commit -qm 'Drop the README'
        git merge -q --no-ff -m 'Merge the documentation' docs
        git push -q origin main
        """,
    ),
    Step("An annotated tag", "git tag -a v1.0 -m 'The first release'; git push -q origin v1.0"),
    Step(
        "A force push: one commit goes, another comes",
        """
        git switch -qc topic; echo one > topic; git add topic; git commit -qm 'Try one way'
        git push -q origin topic main:stable
        git commit -q --amend -m 'Try another way'; git push -qf origin topic
        """,
    ),
    Step("A deletion", "git push -q origin :topic"),
)


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep the repositories and the store, and say where they are.")
@click.pass_obj
def command(session: Session, *, keep: bool) -> int:
    """Push to a real bare repository with the hook installed, and show the messages a consumer gets.

    Everything happens below a temporary directory and in this process: no service, no network, no root.
    """
    shown = console(soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="pulseshim-demo-") as directory:
        root = Path(os.path.realpath(directory))
        play(session, root, shown)
        if keep:
            kept = root.with_name(root.name + "-kept")
            root.rename(kept)
            root.mkdir()
            shown.print()
            shown.print(f"kept in {kept}")
    return 0


def play(session: Session, root: Path, shown: PlainConsole) -> None:
    """Set everything up, push step by step, and print each message as it comes."""
    config = root / "pulseshim.toml"
    config.write_text(_SETTINGS.format(root=root))
    session.config, session.settings = str(config), load(str(config), {})
    repository, work = root / "srv" / "group" / "project.git", root / "work"
    environ = _environment(root)
    _run(["git", "init", "-q", "--bare", "-b", "main", str(repository)], root, environ)
    _run(["git", "clone", "-q", str(repository), str(work)], root, environ)
    install = [sys.executable, "-m", "pulseshim", "hook", "install", "git", str(repository)]
    _run([*install, "--config", str(config)], root, environ)
    shown.print("$ pulseshim hook install git srv/group/project.git")
    account = resolve(session.settings.broker, "", {})
    with (
        held_store(session.settings, "demo") as store,
        Consumer(account, "exchange/gitpushes/v1") as consumer,
    ):
        runtime = runtime_of(session, store)
        runtime.start()
        try:
            for step in STEPS:
                shown.print()
                shown.print(step.title, style="bold")
                for line in filter(str.strip, step.commands.splitlines()):
                    shown.print(f"$ {line.strip()}", style="dim")
                    _run(["sh", "-ec", line], work, environ)
                    for _ in range(line.count("git push")):
                        _show(_next(consumer), shown)
        finally:
            left = runtime.stop()
        if left.work or left.parked:
            fail(f"the demo left something behind: {left}", "run it again with --debug")
    shown.print()
    shown.print(
        "Every push was recorded by the hook, read, sealed, published and confirmed. Nothing is left."
    )


def _environment(root: Path) -> dict[str, str]:
    """Give an environment in which git depends on nobody's configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PULSESHIM_"))}
    names = {f"GIT_{role}_{what}": text for role in ("AUTHOR", "COMMITTER") for what, text in _IDENTITY}
    return {**kept, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(root)}


_IDENTITY = (("NAME", "pulseshim demo"), ("EMAIL", "demo@example.org"))


def _run(command: Sequence[str], directory: Path, environ: dict[str, str]) -> None:
    try:
        subprocess.run(command, cwd=directory, env=environ, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        fail(f"{command[0]} is not installed", "install git, then run the demo again")
    except subprocess.CalledProcessError as error:
        fail(f"`{' '.join(command)}` failed: {error.stderr.strip()}", "run it again with --debug")


def _next(consumer: Consumer) -> Delivery:
    delivery = consumer.receive(_PATIENCE)
    if delivery is None:
        fail(f"no message came within {_PATIENCE:.0f} s", "run it again with --debug")
    return delivery


def _show(delivery: Delivery, shown: PlainConsole) -> None:
    message = msgspec.json.decode(delivery.body)
    meta = message["_meta"]
    address = f"{meta['exchange']}  {meta['routing_key']}  {meta['type']} no. {meta['sequence']}"
    shown.print(f"  → {address}", style="green")
    for line in lines(message["payload"]):
        shown.print(f"    {line}")
